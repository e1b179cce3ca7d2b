//! Points of the specification that cross modules.

use client_api::Support;
use http::StatusCode;
use ruma::api::client::discovery::discover_support::{Contact, ContactRole};
use serde_json::{Value, json};
use users::Registration;

use crate::{
    database_page::keys::{Signing, cross_signing, device_keys},
    person::User,
    server::{TestOptions, TestServer},
};

#[tokio::test]
async fn an_empty_event_is_not_json() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    for path in ["send/m.room.message/1", "state/m.room.topic"] {
        let path = format!("/v3/rooms/{room}/{path}");
        for body in [b"".to_vec(), b"  ".to_vec()] {
            let answer = server
                .request("PUT", &path, Some(&alice.token), Some(body))
                .await;
            answer.expect_error(StatusCode::BAD_REQUEST, "M_NOT_JSON");
        }
    }
}

#[tokio::test]
async fn registration_tokens_are_not_checked_while_registration_is_closed() {
    let path = "/v1/register/m.login.registration_token/validity?token=a";
    let options = TestOptions {
        registration: Registration::Closed,
        ..TestOptions::default()
    };
    let closed = TestServer::with(options).await.get(path).await;
    closed.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let options = TestOptions {
        registration: Registration::Token("a".to_owned()),
        ..TestOptions::default()
    };
    let server = TestServer::with(options).await;
    assert_eq!(server.get(path).await.expect_ok(), json!({ "valid": true }));
}

#[tokio::test]
async fn support_is_published_if_there_is_any() {
    let path = "/.well-known/matrix/support";
    let none = TestServer::new().await.get(path).await;
    none.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    let mail = "admin@example.org".to_owned();
    let options = TestOptions {
        support: Support {
            contacts: vec![Contact::with_email_address(ContactRole::Admin, mail)],
            page: Some("https://example.org/help".to_owned()),
        },
        ..TestOptions::default()
    };
    let answer = TestServer::with(options).await.get(path).await;
    let expected = json!({
        "contacts": [{ "role": "m.role.admin", "email_address": "admin@example.org" }],
        "support_page": "https://example.org/help",
    });
    assert_eq!(answer.expect_ok(), expected);
}

#[tokio::test]
async fn a_device_cannot_have_the_id_of_a_cross_signing_key() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let upload = cross_signing(&alice, 11);
    alice
        .post("/v3/keys/device_signing/upload", upload)
        .await
        .expect_ok();
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": User::password_of("alice"),
        "device_id": Signing::new(11).public(),
    });
    let answer = server.post("/v3/login", login).await;
    answer.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn null_is_no_name_and_no_avatar() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    for field in ["displayname", "avatar_url"] {
        let path = format!("/v3/profile/{}/{field}", alice.user_id);
        let answer = alice.put(&path, json!({ field: null })).await;
        answer.expect_error(StatusCode::BAD_REQUEST, "M_BAD_JSON");
    }
}

#[tokio::test]
async fn account_data_does_not_reveal_whether_a_room_exists() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let secret = alice.create_room("private_chat").await;
    let path = |room: &str| format!("/v3/user/{}/rooms/{room}/account_data/a", bob.user_id);
    let missing = path("!missing:example.org");

    let (there, not) = (bob.get(&path(&secret)).await, bob.get(&missing).await);
    assert_eq!((there.status, there.body), (not.status, not.body));
    let there = bob.put(&path(&secret), json!({ "a": 1 })).await;
    let not = bob.put(&missing, json!({ "a": 1 })).await;
    assert_eq!(not.status, StatusCode::NOT_FOUND);
    assert_eq!((there.status, there.body), (not.status, not.body));
}

#[tokio::test]
async fn keys_of_unknown_users_are_left_out() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let query = json!({ "device_keys": { "@nobody:example.org": [], &alice.user_id: [] } });
    let answer = alice.post("/v3/keys/query", query).await.expect_ok();
    assert_eq!(answer["device_keys"], json!({ &alice.user_id: {} }));
}

#[tokio::test]
async fn messages_of_a_dehydrated_device_are_paged_by_get() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let base = "/unstable/org.matrix.msc3814.v1/dehydrated_device";
    let dry = json!({
        "device_id": "DRY",
        "device_data": { "algorithm": "org.matrix.msc3814.v2" },
        "device_keys": device_keys(&alice, "DRY", 21),
    });
    alice.put(base, dry).await.expect_ok();
    for number in 0..3 {
        let message = json!({ "messages": { &alice.user_id: { "DRY": { "n": number } } } });
        let path = format!("/v3/sendToDevice/m.test/{number}");
        bob.put(&path, message).await.expect_ok();
    }

    let path = format!("{base}/DRY/events?limit=2");
    let first = alice.get(&path).await.expect_ok();
    assert_eq!(first["events"].as_array().map(Vec::len), Some(2));
    let from = first["next_batch"].as_str().expect("there is more");
    let second = alice.get(&format!("{path}&from={from}")).await.expect_ok();
    assert_eq!(second["events"].as_array().map(Vec::len), Some(1));
    assert!(second["next_batch"].is_null(), "this is the end");
    let wrong = alice.get(&format!("{path}&from=nonsense")).await;
    wrong.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
}

#[tokio::test]
async fn registration_remembers_its_parameters_and_its_account() {
    let server = TestServer::new().await;
    let first = json!({ "username": "alice", "password": "a password", "device_id": "PHONE" });
    let asked = server.post("/v3/register", first).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    let last = json!({ "auth": { "type": "m.login.dummy", "session": asked.body["session"] } });
    let made = server.post("/v3/register", last.clone()).await.expect_ok();
    assert_eq!(made["user_id"], "@alice:example.org");
    assert_eq!(made["device_id"], "PHONE");

    let first = json!({ "username": "alice", "password": "a password", "device_id": "PHONE" });
    let mut again = first.clone();
    again["auth"] = last["auth"].clone();
    assert_eq!(server.post("/v3/register", again).await.expect_ok(), made);
    let mut other = first;
    other["password"] = "another".into();
    other["auth"] = last["auth"].clone();
    let other = server.post("/v3/register", other).await;
    other.expect_error(StatusCode::BAD_REQUEST, "M_USER_IN_USE");
}

#[tokio::test]
async fn a_stage_can_be_completed_in_a_web_page() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let request = json!({ "devices": ["A"] });
    let asked = alice.post("/v3/delete_devices", request).await;
    let session = asked.body["session"]
        .as_str()
        .expect("a session")
        .to_owned();
    let path = format!("/v3/auth/m.login.password/fallback/web?session={session}");
    let page = server.get(&path).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");

    let acknowledged = json!({ "devices": ["A"], "auth": { "session": session } });
    let submit = async |password: &str| {
        let form = format!("session={session}&username=alice&password={password}");
        let answer = server
            .request("POST", &path, None, Some(form.into_bytes()))
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        alice.post("/v3/delete_devices", acknowledged.clone()).await
    };
    assert_eq!(submit("wrong").await.status, StatusCode::UNAUTHORIZED);
    submit("password+of+alice").await.expect_ok();
    let unknown = server
        .get("/v3/auth/m.login.magic/fallback/web?session=a")
        .await;
    unknown.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
}

/// Returns the id of the redaction.
async fn redact(user: &User, room: &str, target: &str, transaction: &str) -> String {
    let path = format!("/v3/rooms/{room}/redact/{target}/{transaction}");
    let answer = user.put(&path, json!({})).await.expect_ok();
    answer["event_id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn the_same_transaction_id_on_another_path_is_another_request() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    let (first, second) = (alice.send(&room, "a").await, alice.send(&room, "b").await);

    let one = redact(&alice, &room, &first, "1").await;
    let other = redact(&alice, &room, &second, "1").await;
    assert_ne!(one, other);
    assert_eq!(redact(&alice, &room, &first, "1").await, one);
    assert_eq!(redact(&alice, &room, &second, "1").await, other);
    let third = alice.send(&room, "c").await;
    let path = format!("/v3/rooms/{room}/send/m.room.redaction/1");
    let sent = alice.put(&path, json!({ "redacts": third })).await;
    assert_ne!(sent.expect_ok()["event_id"], json!(one));
}

#[tokio::test]
async fn names_that_do_not_exist_can_be_invited() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    let body = json!({ "user_id": "@later:example.org" });
    let path = format!("/v3/rooms/{room}/invite");
    alice.post(&path, body).await.expect_ok();

    let later = server.user("later").await;
    let invites = later.sync(None).await;
    assert!(invites["rooms"]["invite"][&room].is_object());
    later.join(&room).await.expect_ok();
}

#[tokio::test]
async fn only_a_banned_user_is_unbanned() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    bob.join(&room).await.expect_ok();
    let refused = alice.unban(&bob, &room).await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_BAD_STATE");
}

#[tokio::test]
async fn initial_state_cannot_have_members_and_creators_keep_their_tombstone() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let member = json!({ "type": "m.room.member", "state_key": "@a:b", "content": {} });
    let refused = alice.post("/v3/createRoom", json!({ "initial_state": [member] }));
    let refused = refused.await;
    refused.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_ROOM_STATE");

    let levels = json!({ "events": { "m.room.name": 10 } });
    let body = json!({ "room_version": "12", "power_level_content_override": levels });
    let created = alice.post("/v3/createRoom", body).await.expect_ok();
    let room = created["room_id"].as_str().expect("an id");
    let path = format!("/v3/rooms/{room}/state/m.room.power_levels");
    let levels = alice.get(&path).await.expect_ok();
    let expected = json!({ "m.room.name": 10, "m.room.tombstone": 150 });
    assert_eq!(levels["events"], expected);
}

#[tokio::test]
async fn power_levels_are_integers_in_every_room_version() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    for version in ["3", "6", "11"] {
        let body = json!({ "room_version": version });
        let created = alice.post("/v3/createRoom", body).await.expect_ok();
        let room = created["room_id"].as_str().expect("an id");
        for levels in [
            json!({ "users": { &alice.user_id: 100 }, "ban": "50" }),
            json!({ "users": { &alice.user_id: "100" } }),
            json!({ "users": { &alice.user_id: 100 }, "events": { "a": null } }),
        ] {
            let set = alice.set_state(room, "m.room.power_levels", "", levels);
            set.await
                .expect_error(StatusCode::BAD_REQUEST, "M_BAD_JSON");
        }
        let levels = json!({ "users": { &alice.user_id: 100 }, "ban": 50 });
        let set = alice.set_state(room, "m.room.power_levels", "", levels);
        set.await.expect_ok();
    }
}

#[tokio::test]
async fn messages_and_members_have_what_they_must_have() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    for content in [
        json!({}),
        json!({ "body": "a" }),
        json!({ "msgtype": "m.text" }),
        json!({ "msgtype": "m.text", "body": 1 }),
    ] {
        let path = format!("/v3/rooms/{room}/send/m.room.message/1");
        let sent = alice.put(&path, content).await;
        sent.expect_error(StatusCode::BAD_REQUEST, "M_BAD_JSON");
    }
    let member = json!({ "displayname": "A" });
    let set = alice.set_state(&room, "m.room.member", &alice.user_id, member);
    set.await
        .expect_error(StatusCode::BAD_REQUEST, "M_BAD_JSON");
}

#[tokio::test]
async fn what_is_not_served_is_refused_and_not_done_otherwise() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    let delay = "org.matrix.msc4140.delay=1000";
    let content = json!({ "msgtype": "m.text", "body": "later" });
    for path in [
        format!("/v3/rooms/{room}/send/m.room.message/1?{delay}"),
        format!("/v3/rooms/{room}/state/m.room.topic/?{delay}"),
    ] {
        let sent = alice.put(&path, content.clone()).await;
        sent.expect_error(StatusCode::BAD_REQUEST, "M_UNRECOGNIZED");
    }
    let signed = json!({ "third_party_signed": { "token": "a" } });
    let joined = bob.post(&format!("/v3/join/{room}"), signed).await;
    joined.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let bridged = json!({ "third_party_instance_id": "irc" });
    let body = json!({ "visibility": "public", "preset": "public_chat" });
    alice.post("/v3/createRoom", body).await.expect_ok();
    let rooms = bob.post("/v3/publicRooms", bridged).await.expect_ok();
    assert_eq!(rooms["chunk"], json!([]));
}

#[tokio::test]
async fn the_directory_shows_the_plain_text_of_a_topic() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let texts = json!([
        { "mimetype": "text/html", "body": "<b>Plain</b>" },
        { "mimetype": "text/plain", "body": "Plain" },
    ]);
    let topic = json!({
        "type": "m.room.topic", "state_key": "",
        "content": { "topic": "old", "m.topic": { "m.text": texts } },
    });
    let body = json!({ "visibility": "public", "initial_state": [topic] });
    alice.post("/v3/createRoom", body).await.expect_ok();
    let rooms = server.get("/v3/publicRooms").await.expect_ok();
    assert_eq!(rooms["chunk"][0]["topic"], "Plain");
}

#[tokio::test]
async fn invites_are_blocked_by_their_target() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let early = alice.create_room("private_chat").await;
    alice.invite(&bob, &early).await.expect_ok();
    let path = format!(
        "/v3/user/{}/account_data/m.invite_permission_config",
        bob.user_id
    );
    let block = json!({ "default_action": "block" });
    bob.put(&path, block).await.expect_ok();

    let room = alice.create_room("private_chat").await;
    let refused = alice.invite(&bob, &room).await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_INVITE_BLOCKED");
    let member = json!({ "membership": "invite" });
    let refused = alice.set_state(&room, "m.room.member", &bob.user_id, member);
    let refused = refused.await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_INVITE_BLOCKED");
    let body = json!({ "invite": [&bob.user_id] });
    alice.post("/v3/createRoom", body).await.expect_ok();
    assert!(bob.sync(None).await["rooms"]["invite"].is_null());

    bob.put(&path, json!({ "default_action": "allow" }))
        .await
        .expect_ok();
    assert!(bob.sync(None).await["rooms"]["invite"][&early].is_object());
    alice.invite(&bob, &room).await.expect_ok();
}

#[tokio::test]
async fn patterns_of_push_rules_are_bounded_in_length_and_number() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let rule = |pattern: &str| json!({ "pattern": pattern, "actions": [] });
    let path = "/v3/pushrules/global/content/a";
    let long = alice.put(path, rule(&"a".repeat(1025))).await;
    long.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
    alice.put(path, rule(&"a".repeat(1024))).await.expect_ok();

    let condition = json!({ "kind": "event_match", "key": "a", "pattern": "b" });
    let many = json!({ "conditions": vec![condition; 500], "actions": [] });
    let refused = alice.put("/v3/pushrules/global/override/b", many).await;
    refused.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_rejected_invite_is_in_the_state_after_its_timeline() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("private_chat").await;
    alice.invite(&bob, &room).await.expect_ok();
    let since = bob.sync(None).await["next_batch"].clone();
    bob.leave(&room).await.expect_ok();
    let since = since.as_str().expect("a token");
    let path = format!("/v3/sync?timeout=0&use_state_after=true&since={since}");
    let left = &bob.get(&path).await.expect_ok()["rooms"]["leave"][&room];
    let state = &left["state_after"]["events"];
    assert_eq!(state[0]["content"]["membership"], "leave");
    assert_eq!(state.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn heroes_are_in_stream_order_and_there_again_when_a_room_loses_its_name() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let others = server.users(["f", "e", "d", "c", "b", "a"]).await;
    let room = alice.create_room("public_chat").await;
    let order = [3, 5, 0, 4, 1, 2].map(|place| &others[place]);
    for user in order {
        user.join(&room).await.expect_ok();
    }
    let heroes = |synced: &Value| synced["rooms"]["join"][&room]["summary"]["m.heroes"].clone();
    let expected: Vec<_> = order[..5].iter().map(|user| &user.user_id).collect();
    let synced = alice.sync(None).await;
    assert_eq!(heroes(&synced), json!(expected));

    let name = json!({ "name": "Kitchen" });
    alice
        .set_state(&room, "m.room.name", "", name)
        .await
        .expect_ok();
    let named = alice.sync(synced["next_batch"].as_str()).await;
    assert_eq!(heroes(&named), json!(null));
    let none = json!({});
    alice
        .set_state(&room, "m.room.name", "", none)
        .await
        .expect_ok();
    let unnamed = alice.sync(named["next_batch"].as_str()).await;
    assert_eq!(heroes(&unnamed), json!(expected));
}
