//! Account data, tags, filters: what clients see.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{person::User, server::TestServer};

fn global(user: &User, kind: &str) -> String {
    format!("/v3/user/{}/account_data/{kind}", user.user_id)
}

fn of_room(user: &User, room: &str, kind: &str) -> String {
    format!("/v3/user/{}/rooms/{room}/account_data/{kind}", user.user_id)
}

#[tokio::test]
async fn account_data_is_kept_as_it_came() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    for path in [
        global(&alice, "org.example.x"),
        of_room(&alice, &room, "org.example.x"),
    ] {
        let nothing = alice.get(&path).await;
        nothing.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
        alice
            .put(&path, json!({ "value": "first" }))
            .await
            .expect_ok();
        alice
            .put(&path, json!({ "value": "second" }))
            .await
            .expect_ok();
        assert_eq!(
            alice.get(&path).await.expect_ok(),
            json!({ "value": "second" })
        );
    }
}

#[tokio::test]
async fn account_data_belongs_to_its_user_and_is_an_object() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("private_chat").await;
    for path in [global(&alice, "a"), of_room(&alice, &room, "a")] {
        let forbidden = StatusCode::FORBIDDEN;
        bob.get(&path).await.expect_error(forbidden, "M_FORBIDDEN");
        bob.put(&path, json!({}))
            .await
            .expect_error(forbidden, "M_FORBIDDEN");
        let list = alice.put(&path, json!([])).await;
        list.expect_error(StatusCode::BAD_REQUEST, "M_BAD_JSON");
    }
    let unknown = alice
        .get(&of_room(&alice, "!unknown:example.org", "a"))
        .await;
    unknown.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
}

#[tokio::test]
async fn what_the_server_keeps_itself_cannot_be_set() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    for kind in ["m.fully_read", "m.push_rules"] {
        for path in [global(&alice, kind), of_room(&alice, &room, kind)] {
            let refused = alice.put(&path, json!({})).await;
            refused.expect_error(StatusCode::METHOD_NOT_ALLOWED, "M_BAD_JSON");
        }
    }
    let rules = alice.get(&global(&alice, "m.push_rules")).await.expect_ok();
    assert_eq!(rules["global"]["override"][0]["rule_id"], ".m.rule.master");
}

#[tokio::test]
async fn changed_account_data_is_told_by_sync() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let first = alice.sync(None).await;
    let since = first["next_batch"].as_str().expect("a token").to_owned();
    alice
        .put(&global(&alice, "org.example.x"), json!({ "n": 1 }))
        .await
        .expect_ok();

    let events = alice.sync(Some(&since)).await["account_data"]["events"].clone();
    assert_eq!(
        events,
        json!([{ "type": "org.example.x", "content": { "n": 1 } }])
    );
}

/// What deletes account data: its unstable endpoint, or an empty object at the usual one.
async fn delete(user: &User, path: &str, by: &str) {
    let answer = match by {
        "DELETE" => {
            let unstable = path.replacen("/v3/", "/unstable/org.matrix.msc3391/", 1);
            user.delete(&unstable).await
        }
        _ => user.put(path, json!({})).await,
    };
    assert_eq!(answer.expect_ok(), json!({}));
}

/// The contents of a type in the sections of a /sync, global and of a room.
fn told(sync: &Value, room: &str, kind: &str) -> Vec<Value> {
    let sections = [
        &sync["account_data"],
        &sync["rooms"]["join"][room]["account_data"],
    ];
    let events = sections
        .into_iter()
        .filter_map(|section| section["events"].as_array());
    let events = events.flatten().filter(|event| event["type"] == kind);
    events.map(|event| event["content"].clone()).collect()
}

#[tokio::test]
async fn deleted_account_data_is_gone_and_told_once() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    let kind = "org.example.x";
    for path in [global(&alice, kind), of_room(&alice, &room, kind)] {
        for by in ["DELETE", "PUT"] {
            alice.put(&path, json!({ "n": 1 })).await.expect_ok();
            let since = alice.sync(None).await["next_batch"].clone();

            delete(&alice, &path, by).await;

            let nothing = alice.get(&path).await;
            nothing.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
            let news = alice.sync(since.as_str()).await;
            assert_eq!(told(&news, &room, kind), [json!({})]);
            let later = alice.sync(news["next_batch"].as_str()).await;
            assert!(told(&later, &room, kind).is_empty());
            assert!(told(&alice.sync(None).await, &room, kind).is_empty());
        }
    }
}

#[tokio::test]
async fn only_its_user_deletes_account_data_and_not_what_the_server_keeps() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("private_chat").await;
    let path = |kind| {
        let paths = [global(&alice, kind), of_room(&alice, &room, kind)];
        paths.map(|path| path.replacen("/v3/", "/unstable/org.matrix.msc3391/", 1))
    };
    for path in path("org.example.x") {
        let refused = bob.delete(&path).await;
        refused.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    }
    for path in [path("m.fully_read"), path("m.push_rules")].concat() {
        let refused = alice.delete(&path).await;
        refused.expect_error(StatusCode::METHOD_NOT_ALLOWED, "M_BAD_JSON");
    }
}

#[tokio::test]
async fn local_notification_settings_end_with_their_device() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let second = server.device(&alice).await;
    let kind = format!(
        "org.matrix.msc3890.local_notification_settings.{}",
        second.device_id
    );
    let path = global(&alice, &kind);
    alice
        .put(&path, json!({ "is_silenced": true }))
        .await
        .expect_ok();
    let since = alice.sync(None).await["next_batch"].clone();

    second.post("/v3/logout", json!({})).await.expect_ok();

    alice
        .get(&path)
        .await
        .expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    let news = alice.sync(since.as_str()).await;
    assert_eq!(told(&news, "", &kind), [json!({})]);
}

#[tokio::test]
async fn tags_come_and_go() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    let tags = format!("/v3/user/{}/rooms/{room}/tags", alice.user_id);
    assert_eq!(alice.get(&tags).await.expect_ok(), json!({ "tags": {} }));

    alice
        .put(&format!("{tags}/m.favourite"), json!({ "order": 0.25 }))
        .await
        .expect_ok();
    alice
        .put(&format!("{tags}/u.work"), json!({}))
        .await
        .expect_ok();
    alice.delete(&format!("{tags}/u.work")).await.expect_ok();

    let expected = json!({ "tags": { "m.favourite": { "order": 0.25 } } });
    assert_eq!(alice.get(&tags).await.expect_ok(), expected);
    assert_eq!(
        alice
            .get(&of_room(&alice, &room, "m.tag"))
            .await
            .expect_ok(),
        expected
    );
}

#[tokio::test]
async fn filters_are_kept_and_checked() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let path = format!("/v3/user/{}/filter", alice.user_id);
    let filter = json!({ "room": { "timeline": { "limit": 10 } } });
    let kept = alice.post(&path, filter.clone()).await.expect_ok();
    let id = kept["filter_id"].as_str().expect("an id").to_owned();

    assert_eq!(alice.get(&format!("{path}/{id}")).await.expect_ok(), filter);
    let unknown = alice.get(&format!("{path}/unknown")).await;
    unknown.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    let stolen = bob.get(&format!("{path}/{id}")).await;
    stolen.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    for timeline in [
        json!("not an object"),
        json!({ "rooms": "not a list" }),
        json!({ "rooms": ["not_a_room_id"] }),
        json!({ "senders": ["not_a_sender_id"] }),
        json!({ "types": [1] }),
    ] {
        let refused = alice
            .post(&path, json!({ "room": { "timeline": timeline } }))
            .await;
        refused.expect_error(StatusCode::BAD_REQUEST, "M_BAD_JSON");
    }
}
