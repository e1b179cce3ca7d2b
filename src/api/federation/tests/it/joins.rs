//! Users of this server join rooms of other servers.

use bytes::Bytes;
use http::{Request, Response};
use rooms_store::{Membership, RoomError};
use rooms_writer::{Change, MembershipRequest};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};

use crate::server::{Servers, TestServer};

struct Scene {
    servers: Servers,
    a: TestServer,
    b: TestServer,
    alice: OwnedUserId,
    bob: OwnedUserId,
    room: OwnedRoomId,
}

/// Alice on server a has a public room; Bob is on server b.
async fn scene() -> Scene {
    let servers = Servers::new();
    let [a, b] = servers.start_all(["a.test", "b.test"]).await;
    let alice = a.rooms.person("alice").await;
    let bob = b.rooms.person("bob").await;
    let room = a.rooms.public_room(&alice).await;
    Scene {
        servers,
        a,
        b,
        alice,
        bob,
        room,
    }
}

async fn join(
    server: &TestServer,
    room: &RoomId,
    user: &UserId,
    via: &[&str],
) -> Result<(), RoomError> {
    let name = |name: &&str| OwnedServerName::try_from(*name).expect("a server name");
    let via: Vec<_> = via.iter().map(name).collect();
    let request = MembershipRequest::own(user.to_owned(), Change::Join);
    server.remote.join(room, request, &via).await
}

/// Changes the JSON of the answers of server a to requests whose path has this part.
fn tamper(scene: &Scene, part: &'static str, change: impl Fn(&mut Value) + Send + Sync + 'static) {
    let tampering = move |request: &Request<Bytes>, answer: Response<Bytes>| {
        if !request.uri().path().contains(part) {
            return answer;
        }
        answer.map(|body| {
            let mut json: Value = serde_json::from_slice(&body).expect("JSON");
            change(&mut json);
            json.to_string().into()
        })
    };
    scene.servers.network.change_answers("a.test", tampering);
}

#[tokio::test]
async fn a_user_joins_a_room_of_another_server_and_talks_there() {
    let Scene {
        a,
        b,
        alice,
        bob,
        room,
        ..
    } = scene().await;
    a.rooms.say(&room, &alice, "before").await.expect("said");
    join(&b, &room, &bob, &["a.test"]).await.expect("joined");
    for server in [&a, &b] {
        let membership = server.rooms.membership(&room, &bob).await;
        assert_eq!(membership, Some(Membership::Join));
        let other = server.rooms.membership(&room, &alice).await;
        assert_eq!(other, Some(Membership::Join));
    }
    let rules = b.rooms.state(&room, "m.room.join_rules", "").await;
    assert_eq!(rules, Some(json!({ "join_rule": "public" })));
    let timeline = b.rooms.timeline(&room).await;
    assert_eq!(
        timeline.len(),
        1,
        "the join alone: what was before is a gap"
    );
    b.rooms.say(&room, &bob, "hello").await.expect("he is in");

    let carol = b.rooms.person("carol").await;
    scene_is_quiet(&b, &room, &carol).await;
}

/// A second user of a server that is in the room joins without asking anybody.
async fn scene_is_quiet(b: &TestServer, room: &RoomId, user: &UserId) {
    join(b, room, user, &[]).await.expect("a public room");
    let membership = b.rooms.membership(room, user).await;
    assert_eq!(membership, Some(Membership::Join));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_passed_over() {
    let scene = scene().await;
    let joined = join(&scene.b, &scene.room, &scene.bob, &["gone.test", "a.test"]).await;
    joined.expect("the second server answers");
    scene.servers.network.part("a.test");
    let other = scene.a.rooms.public_room(&scene.alice).await;
    let refused = join(&scene.b, &other, &scene.bob, &["a.test"]).await;
    assert!(
        matches!(refused, Err(RoomError::NoServer(_))),
        "{refused:?}"
    );
    scene.servers.network.heal("a.test");
    let joined = join(&scene.b, &other, &scene.bob, &["a.test"]).await;
    joined.expect("nothing of the failure is left");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let scene = scene().await;
    let path = "/_matrix/federation/v2/send_join";
    scene.servers.network.lose_answers("a.test", path, 1);
    let lost = join(&scene.b, &scene.room, &scene.bob, &["a.test"]).await;
    assert!(matches!(lost, Err(RoomError::NoServer(_))), "{lost:?}");
    let joined = join(&scene.b, &scene.room, &scene.bob, &["a.test"]).await;
    joined.expect("the other server knows him already");
}

#[tokio::test]
async fn whoever_was_banned_is_refused_and_learns_why() {
    let scene = scene().await;
    let banned = scene
        .a
        .rooms
        .change(&scene.room, &scene.alice, &scene.bob, Change::Ban);
    if banned.await.is_err() {
        // The writer refuses changes of users of other servers: the rules are enough.
        let invite = json!({ "join_rule": "invite" });
        let rooms = &scene.a.rooms;
        let set = rooms.set(&scene.room, &scene.alice, "m.room.join_rules", "", invite);
        set.await.expect("she may");
    }
    let refused = join(&scene.b, &scene.room, &scene.bob, &["a.test"]).await;
    assert!(
        matches!(refused, Err(RoomError::Forbidden(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_template_for_something_else_is_not_signed() {
    let scene = scene().await;
    tamper(&scene, "/make_join/", |answer| {
        answer["event"]["type"] = json!("m.room.power_levels");
    });
    let refused = join(&scene.b, &scene.room, &scene.bob, &["a.test"]).await;
    assert!(
        matches!(refused, Err(RoomError::NoServer(_))),
        "{refused:?}"
    );
    let sent = scene.servers.network.asked();
    assert!(!sent.iter().any(|asked| asked.path.contains("/send_join/")));
}

#[tokio::test]
async fn a_room_without_its_create_event_is_not_entered() {
    let scene = scene().await;
    tamper(&scene, "/send_join/", |answer| {
        let state = answer["state"].as_array_mut().expect("a list");
        state.retain(|event| event["type"] != "m.room.create");
    });
    let refused = join(&scene.b, &scene.room, &scene.bob, &["a.test"]).await;
    assert!(
        matches!(refused, Err(RoomError::NoServer(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn forged_events_and_those_of_other_rooms_are_left_out() {
    let scene = scene().await;
    let other = scene.a.rooms.public_room(&scene.alice).await;
    let named = json!({ "name": "elsewhere" });
    let rooms = &scene.a.rooms;
    let set = rooms.set(&other, &scene.alice, "m.room.name", "", named);
    set.await.expect("her room");
    let strange = rooms.timeline(&other).await.pop().expect("an event");
    let strange: Value = serde_json::from_str(strange.json()).expect("JSON");
    let topic = json!({ "topic": "real" });
    let set = rooms.set(&scene.room, &scene.alice, "m.room.topic", "", topic);
    set.await.expect("her room");
    tamper(&scene, "/send_join/", move |answer| {
        let state = answer["state"].as_array_mut().expect("a list");
        for event in state.iter_mut() {
            if event["type"] == "m.room.topic" {
                // The signature no longer matches: the time is covered by it.
                event["origin_server_ts"] = json!(1);
            }
        }
        state.push(strange.clone());
        state.push(json!({ "type": "m.room.topic" }));
        state.push(json!(7));
    });
    let joined = join(&scene.b, &scene.room, &scene.bob, &["a.test"]).await;
    joined.expect("what is good is enough");
    let rooms = &scene.b.rooms;
    assert_eq!(rooms.state(&scene.room, "m.room.name", "").await, None);
    assert_eq!(rooms.state(&scene.room, "m.room.topic", "").await, None);
    let rules = rooms.state(&scene.room, "m.room.join_rules", "").await;
    assert!(rules.is_some());
}

#[tokio::test]
async fn an_auth_chain_that_lacks_events_is_completed() {
    let scene = scene().await;
    tamper(&scene, "/send_join/", |answer| {
        answer["auth_chain"] = json!([]);
        let state = answer["state"].as_array_mut().expect("a list");
        state.retain(|event| event["type"] != "m.room.power_levels");
    });
    let joined = join(&scene.b, &scene.room, &scene.bob, &["a.test"]).await;
    joined.expect("the server gives the event when it is asked");
    let asked = scene.servers.network.asked();
    assert!(asked.iter().any(|asked| asked.path.contains("/v1/event/")));
}

#[tokio::test]
async fn an_alias_of_another_server_leads_to_its_room() {
    let scene = scene().await;
    let alias = ruma::room_alias_id!("#room:a.test");
    let db = scene.a.users.snapshot().await.expect("a snapshot");
    let number = scene
        .a
        .users
        .number(&db, &scene.alice)
        .await
        .expect("a read");
    let number = number.expect("she is known");
    let directory = &scene.a.rooms.directory;
    let created = directory.create_alias(alias, &scene.room, number).await;
    created.expect("her room");
    let found = scene.b.remote.resolve_alias(alias).await.expect("found");
    assert_eq!(found.room_id, scene.room);
    let via: Vec<_> = found.servers.iter().map(|name| name.as_str()).collect();
    let joined = join(&scene.b, &found.room_id, &scene.bob, &via).await;
    joined.expect("the servers know the room");
    let unknown = ruma::room_alias_id!("#nothing:a.test");
    let unknown = scene.b.remote.resolve_alias(unknown).await;
    assert!(
        matches!(unknown, Err(RoomError::UnknownAlias)),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_user_comes_back_after_being_away() {
    let scene = scene().await;
    let joined = join(&scene.b, &scene.room, &scene.bob, &["a.test"]).await;
    joined.expect("the first time");
    let left = scene
        .b
        .rooms
        .change(&scene.room, &scene.bob, &scene.bob, Change::Leave);
    left.await.expect("he was in");
    let topic = json!({ "topic": "while he was away" });
    let rooms = &scene.a.rooms;
    let set = rooms.set(&scene.room, &scene.alice, "m.room.topic", "", topic.clone());
    set.await.expect("her room");
    let joined = join(&scene.b, &scene.room, &scene.bob, &["a.test"]).await;
    joined.expect("the second time");
    let rooms = &scene.b.rooms;
    let seen = rooms.state(&scene.room, "m.room.topic", "").await;
    assert_eq!(seen, Some(topic));
    let membership = rooms.membership(&scene.room, &scene.bob).await;
    assert_eq!(membership, Some(Membership::Join));
}

#[tokio::test]
async fn those_who_ask_at_once_wait_for_one_join() {
    let Scene {
        servers,
        a,
        b,
        bob,
        room,
        ..
    } = scene().await;
    let carol = b.rooms.person("carol").await;
    servers.network.asked();
    let by = |user| join(&b, &room, user, &["a.test"]);
    let (first, second, third) = tokio::join!(by(&bob), by(&bob), by(&carol));
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    let asked = servers.network.asked();
    let sent = asked
        .iter()
        .filter(|asked| asked.path.contains("/send_join/"));
    assert_eq!(sent.count(), 1);
    drop(a);
}
