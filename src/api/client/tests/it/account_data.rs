//! Account data, tags, filters: what clients see.

use http::StatusCode;
use serde_json::json;

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
