//! Users of other servers join, leave and knock.

use http::StatusCode;
use protocol::content::Content;
use rooms_store::Membership;
use rooms_testing::asked;
use rooms_writer::{Change, Preset};
use ruma::{OwnedRoomId, OwnedUserId, RoomVersionId};
use serde_json::{Value, json};

use crate::{
    guest::{acl_without, join, make, pairs, refused, send, sign},
    server::{Servers, TestServer},
};

const NAMES: [&str; 2] = ["a.test", "b.test"];

struct Scene {
    _servers: Servers,
    a: TestServer,
    b: TestServer,
    alice: OwnedUserId,
    bob: OwnedUserId,
    room: OwnedRoomId,
}

/// Alice on server a has a public room; Bob is on server b.
async fn scene() -> Scene {
    let servers = Servers::new();
    let [a, b] = servers.start_all(NAMES).await;
    let alice = a.rooms.person("alice").await;
    let bob = b.rooms.person("bob").await;
    let room = a.rooms.public_room(&alice).await;
    Scene {
        _servers: servers,
        a,
        b,
        alice,
        bob,
        room,
    }
}

impl Scene {
    async fn set_rules(&self, content: Value) {
        let set = self
            .a
            .rooms
            .set(&self.room, &self.alice, "m.room.join_rules", "", content);
        set.await.expect("she may");
    }

    async fn bobs(&self) -> Option<Membership> {
        self.a.rooms.membership(&self.room, &self.bob).await
    }

    async fn make(&self, word: &str) -> (StatusCode, Value) {
        make(&self.b, &self.a, word, &self.room, &self.bob).await
    }
}

#[tokio::test]
async fn a_user_of_another_server_joins() {
    let scene = scene().await;
    let (event, answer) = join(&scene.b, &scene.a, &scene.room, &scene.bob).await;
    assert_eq!(scene.bobs().await, Some(Membership::Join));
    let state = pairs(&answer["state"]);
    assert!(state.contains(&("m.room.create".to_owned(), String::new())));
    assert!(state.contains(&("m.room.member".to_owned(), scene.alice.to_string())));
    assert!(!state.contains(&("m.room.member".to_owned(), scene.bob.to_string())));
    assert_eq!(answer["event"]["state_key"], json!(scene.bob));
    assert_eq!(answer["members_omitted"], json!(false));
    assert_eq!(answer["origin"], json!("a.test"));
    let chain = pairs(&answer["auth_chain"]);
    assert!(chain.contains(&("m.room.power_levels".to_owned(), String::new())));

    for endpoint in ["v2/send_join", "v2/send_join?omit_members=true"] {
        let (status, again) = send(&scene.b, &scene.a, endpoint, &event).await;
        assert_eq!(status, StatusCode::OK, "the answer was lost: {again}");
    }
    let (status, old) = send(&scene.b, &scene.a, "v1/send_join", &event).await;
    assert_eq!((status, &old[0]), (StatusCode::OK, &json!(200)));
    assert_eq!(old[1], answer);
}

#[tokio::test]
async fn members_are_omitted_where_the_server_asks_for_it() {
    let scene = scene().await;
    let (_, template) = scene.make("join").await;
    let event = sign(&scene.b, &scene.bob, &template, |_| {});
    let (status, answer) = send(&scene.b, &scene.a, "v2/send_join?omit_members=true", &event).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["members_omitted"], json!(true));
    let servers = answer["servers_in_room"].as_array().expect("a list");
    assert!(servers.contains(&json!("a.test")));
    let member = |user: &OwnedUserId| ("m.room.member".to_owned(), user.to_string());
    let (state, chain) = (pairs(&answer["state"]), pairs(&answer["auth_chain"]));
    assert!(
        state.contains(&member(&scene.alice)),
        "the room is called after her"
    );
    assert!(
        !chain.iter().any(|pair| state.contains(pair)),
        "nothing is sent twice"
    );

    let named = json!({ "name": "Tea" });
    let set = scene
        .a
        .rooms
        .set(&scene.room, &scene.alice, "m.room.name", "", named);
    set.await.expect("she may");
    let carol = scene.b.rooms.person("carol").await;
    let (_, template) = make(&scene.b, &scene.a, "join", &scene.room, &carol).await;
    let event = sign(&scene.b, &carol, &template, |_| {});
    let (_, answer) = send(&scene.b, &scene.a, "v2/send_join?omit_members=true", &event).await;
    let state = pairs(&answer["state"]);
    assert!(!state.iter().any(|(kind, _)| kind == "m.room.member"));
    assert!(pairs(&answer["auth_chain"]).contains(&member(&scene.alice)));
}

#[tokio::test]
async fn a_server_that_does_not_know_the_version_is_told() {
    let scene = scene().await;
    let path = format!(
        "/_matrix/federation/v1/make_join/{}/{}",
        scene.room, scene.bob
    );
    for query in ["", "?ver=1&ver=11"] {
        let (status, body) = scene
            .b
            .ask(&scene.a, "GET", &format!("{path}{query}"))
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(body["errcode"], json!("M_INCOMPATIBLE_ROOM_VERSION"));
        assert_eq!(body["room_version"], json!("12"));
    }
}

#[tokio::test]
async fn templates_are_for_users_of_the_server_and_rooms_that_are_known() {
    let scene = scene().await;
    let foreign = make(&scene.b, &scene.a, "join", &scene.room, &scene.alice).await;
    assert_eq!(refused(&foreign), (403, "M_FORBIDDEN".to_owned()));
    let unknown = ruma::room_id!("!unknown:a.test");
    let unknown = make(&scene.b, &scene.a, "join", unknown, &scene.bob).await;
    assert_eq!(refused(&unknown), (404, "M_NOT_FOUND".to_owned()));
    assert_eq!(
        refused(&scene.make("leave").await),
        (403, "M_FORBIDDEN".to_owned())
    );
    assert_eq!(
        refused(&scene.make("knock").await),
        (403, "M_FORBIDDEN".to_owned())
    );

    let ban = scene
        .a
        .rooms
        .change(&scene.room, &scene.alice, &scene.bob, Change::Ban);
    ban.await.expect("she may");
    assert_eq!(
        refused(&scene.make("join").await),
        (403, "M_FORBIDDEN".to_owned())
    );
}

#[tokio::test]
async fn excluded_servers_are_refused() {
    let scene = scene().await;
    let (_, template) = scene.make("join").await;
    let event = sign(&scene.b, &scene.bob, &template, |_| {});
    let acl = acl_without("B.test");
    let set = scene
        .a
        .rooms
        .set(&scene.room, &scene.alice, "m.room.server_acl", "", acl);
    set.await.expect("she may");
    for word in ["join", "leave", "knock"] {
        assert_eq!(
            refused(&scene.make(word).await),
            (403, "M_FORBIDDEN".to_owned()),
            "{word}"
        );
    }
    for endpoint in [
        "v2/send_join",
        "v1/send_join",
        "v2/send_leave",
        "v1/send_knock",
    ] {
        let answer = send(&scene.b, &scene.a, endpoint, &event).await;
        assert_eq!(
            refused(&answer),
            (403, "M_FORBIDDEN".to_owned()),
            "{endpoint}"
        );
    }
    assert_eq!(scene.bobs().await, None);
}

#[tokio::test]
async fn only_the_event_of_the_template_is_accepted() {
    let scene = scene().await;
    let (_, template) = scene.make("join").await;
    let carol = scene.b.rooms.person("carol").await;
    let good = sign(&scene.b, &scene.bob, &template, |_| {});
    let content = |text: &str| Content::parse(text).expect("JSON");
    let mut bad = vec![
        sign(&scene.b, &scene.bob, &template, |draft| {
            draft.content = content(r#"{"membership":"leave"}"#);
        }),
        sign(&scene.b, &scene.bob, &template, |draft| {
            draft.kind = "m.room.message".into();
        }),
        sign(&scene.b, &scene.bob, &template, |draft| {
            draft.state_key = Some(carol.to_string());
        }),
    ];
    let mut of_another = good.clone();
    of_another.json = of_another.json.replace("@bob:b.test", "@bob:c.test");
    let mut unsigned = good.clone();
    unsigned.json = unsigned.json.replace("\"ed25519:", "\"ed25519:x");
    let mut other_id = good.clone();
    other_id.event_id = sign(&scene.b, &carol, &template, |_| {}).event_id;
    let mut changed = good.clone();
    changed.json = changed
        .json
        .replace(r#""membership":"join""#, r#""membership":"join","x":1"#);
    bad.extend([of_another, unsigned, other_id, changed]);
    for (at, event) in bad.iter().enumerate() {
        let answer = send(&scene.b, &scene.a, "v2/send_join", event).await;
        assert_eq!(
            refused(&answer),
            (400, "M_INVALID_PARAM".to_owned()),
            "{at}: {}",
            answer.1
        );
    }
    let leave = send(&scene.b, &scene.a, "v2/send_leave", &good).await;
    assert_eq!(refused(&leave), (400, "M_INVALID_PARAM".to_owned()));

    let elsewhere = sign(&scene.b, &scene.bob, &template, |draft| {
        draft.prev_events = vec![good.event_id.clone()];
    });
    let answer = send(&scene.b, &scene.a, "v2/send_join", &elsewhere).await;
    assert_eq!(refused(&answer), (403, "M_FORBIDDEN".to_owned()));
    assert_eq!(scene.bobs().await, None);
}

#[tokio::test]
async fn a_ban_between_template_and_join_holds() {
    let scene = scene().await;
    let (_, template) = scene.make("join").await;
    let event = sign(&scene.b, &scene.bob, &template, |_| {});
    let ban = scene
        .a
        .rooms
        .change(&scene.room, &scene.alice, &scene.bob, Change::Ban);
    ban.await.expect("she may");
    for _ in 0..2 {
        let answer = send(&scene.b, &scene.a, "v2/send_join", &event).await;
        assert_eq!(refused(&answer), (403, "M_FORBIDDEN".to_owned()));
    }
    assert_eq!(scene.bobs().await, Some(Membership::Ban));
}

#[tokio::test]
async fn a_member_of_another_server_leaves() {
    let scene = scene().await;
    join(&scene.b, &scene.a, &scene.room, &scene.bob).await;
    let (status, template) = scene.make("leave").await;
    assert_eq!(status, StatusCode::OK, "{template}");
    let event = sign(&scene.b, &scene.bob, &template, |_| {});
    let answer = send(&scene.b, &scene.a, "v2/send_leave", &event).await;
    assert_eq!(answer, (StatusCode::OK, json!({})));
    assert_eq!(scene.bobs().await, Some(Membership::Leave));
    let answer = send(&scene.b, &scene.a, "v1/send_leave", &event).await;
    assert_eq!(answer, (StatusCode::OK, json!([200, {}])));
}

#[tokio::test]
async fn a_user_of_another_server_knocks_and_takes_it_back() {
    let scene = scene().await;
    scene.set_rules(json!({ "join_rule": "knock" })).await;
    assert_eq!(
        refused(&scene.make("join").await),
        (403, "M_FORBIDDEN".to_owned())
    );
    let (status, template) = scene.make("knock").await;
    assert_eq!(status, StatusCode::OK, "{template}");
    let event = sign(&scene.b, &scene.bob, &template, |_| {});
    let (status, answer) = send(&scene.b, &scene.a, "v1/send_knock", &event).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(scene.bobs().await, Some(Membership::Knock));
    let state = &answer["knock_room_state"];
    let create = ("m.room.create".to_owned(), String::new());
    assert!(pairs(state).contains(&create));
    assert!(state[0]["signatures"].is_object(), "these are whole events");

    let (status, template) = scene.make("leave").await;
    assert_eq!(status, StatusCode::OK, "{template}");
    let event = sign(&scene.b, &scene.bob, &template, |_| {});
    send(&scene.b, &scene.a, "v2/send_leave", &event).await;
    assert_eq!(scene.bobs().await, Some(Membership::Leave));
}

#[tokio::test]
async fn a_restricted_room_lets_in_members_of_the_other_room() {
    let scene = scene().await;
    let mut request = asked(&scene.alice, Preset::PublicChat);
    request.version = Some(RoomVersionId::V11.to_string());
    let hall = scene
        .a
        .rooms
        .writer
        .create_room(request)
        .await
        .expect("a room");
    let allow = |id: &str| json!([{ "type": "m.room_membership", "room_id": id }]);
    let restricted = |id: &str| json!({ "join_rule": "restricted", "allow": allow(id) });

    scene.set_rules(restricted("!elsewhere:c.test")).await;
    let unsure = scene.make("join").await;
    assert_eq!(
        refused(&unsure),
        (400, "M_UNABLE_TO_AUTHORISE_JOIN".to_owned())
    );

    scene.set_rules(restricted(hall.as_str())).await;
    assert_eq!(
        refused(&scene.make("join").await),
        (403, "M_FORBIDDEN".to_owned())
    );
    join(&scene.b, &scene.a, &hall, &scene.bob).await;
    let (status, template) = scene.make("join").await;
    assert_eq!(status, StatusCode::OK, "{template}");
    let via = &template["event"]["content"]["join_authorised_via_users_server"];
    assert_eq!(*via, json!(scene.alice));
    let event = sign(&scene.b, &scene.bob, &template, |_| {});
    let (status, answer) = send(&scene.b, &scene.a, "v2/send_join", &event).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let signatures = answer["event"]["signatures"]
        .as_object()
        .expect("signatures");
    let signers: Vec<_> = signatures.keys().collect();
    assert_eq!(signers, ["a.test", "b.test"]);
    assert_eq!(scene.bobs().await, Some(Membership::Join));
}

#[tokio::test]
async fn nothing_is_signed_for_who_meets_no_condition() {
    let scene = scene().await;
    let hall = scene.a.rooms.public_room(&scene.alice).await;
    let (_, template) = scene.make("join").await;
    let allow = json!([{ "type": "m.room_membership", "room_id": hall }]);
    scene
        .set_rules(json!({ "join_rule": "restricted", "allow": allow }))
        .await;
    let forged = |content: &str| {
        let content = Content::parse(content).expect("JSON");
        sign(&scene.b, &scene.bob, &template, |draft| {
            draft.content = content;
        })
    };
    let via = r#"{"join_authorised_via_users_server":"@alice:a.test","membership":"join"}"#;
    let answer = send(&scene.b, &scene.a, "v2/send_join", &forged(via)).await;
    assert_eq!(refused(&answer), (403, "M_FORBIDDEN".to_owned()));
    let stranger = r#"{"join_authorised_via_users_server":"@carol:c.test","membership":"join"}"#;
    let answer = send(&scene.b, &scene.a, "v2/send_join", &forged(stranger)).await;
    assert_eq!(refused(&answer), (400, "M_INVALID_PARAM".to_owned()));
    assert_eq!(scene.bobs().await, None);

    scene.set_rules(json!({ "join_rule": "public" })).await;
    let answer = send(&scene.b, &scene.a, "v2/send_join", &forged(via)).await;
    assert_eq!(
        refused(&answer),
        (400, "M_INVALID_PARAM".to_owned()),
        "nobody has to sign it"
    );
}

#[tokio::test]
async fn a_server_that_can_let_nobody_in_says_so() {
    let scene = scene().await;
    let hall = scene.a.rooms.public_room(&scene.alice).await;
    join(&scene.b, &scene.a, &hall, &scene.bob).await;
    join(&scene.b, &scene.a, &scene.room, &scene.bob).await;
    let carol = scene.b.rooms.person("carol").await;
    join(&scene.b, &scene.a, &hall, &carol).await;
    let dave = scene.a.rooms.person("dave").await;
    scene
        .a
        .rooms
        .join(&scene.room, &dave)
        .await
        .expect("it is public");
    let allow = json!([{ "type": "m.room_membership", "room_id": hall }]);
    scene
        .set_rules(json!({ "join_rule": "restricted", "allow": allow }))
        .await;
    let levels = json!({ "invite": 50, "users": {} });
    let set = scene
        .a
        .rooms
        .set(&scene.room, &scene.alice, "m.room.power_levels", "", levels);
    set.await.expect("she may");
    let leave = scene
        .a
        .rooms
        .change(&scene.room, &scene.alice, &scene.alice, Change::Leave);
    leave.await.expect("she may");
    let answer = make(&scene.b, &scene.a, "join", &scene.room, &carol).await;
    assert_eq!(refused(&answer), (400, "M_UNABLE_TO_GRANT_JOIN".to_owned()));
}
