//! Endpoints of relations and threads: forms of requests and answers. What is related is tested in the rooms crates.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{person::User, server::TestServer};

async fn relate(user: &User, room: &str, kind: &str, relation: &str, parent: &str) -> String {
    let transaction = format!("{kind}-{relation}");
    let path = format!("/v3/rooms/{room}/send/{kind}/{transaction}");
    let content = json!({
        "msgtype": "m.text",
        "body": "related",
        "m.new_content": { "msgtype": "m.text", "body": "related" },
        "m.relates_to": { "rel_type": relation, "event_id": parent, "key": "+" },
    });
    let sent = user.put(&path, content).await.expect_ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

fn ids(answer: &Value) -> Vec<&str> {
    let chunk = answer["chunk"].as_array().expect("a chunk");
    let id = |event: &'_ Value| event["event_id"].as_str().is_some();
    assert!(chunk.iter().all(id));
    chunk
        .iter()
        .filter_map(|event| event["event_id"].as_str())
        .collect()
}

#[tokio::test]
async fn children_are_listed_in_all_forms_and_bundled_where_events_are_read() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    let root = alice.send(&room, "root").await;
    let kind = "m.room.message";
    let edit = relate(&alice, &room, kind, "m.replace", &root).await;
    let reply = relate(&alice, &room, kind, "m.thread", &root).await;
    let reaction = relate(&alice, &room, "m.reaction", "m.annotation", &root).await;
    let base = format!("/v1/rooms/{room}/relations/{root}");

    let all = alice.get(&base).await.expect_ok();
    let thread = alice.get(&format!("{base}/m.thread")).await.expect_ok();
    let stickers = format!("{base}/m.thread/m.sticker");
    let stickers = alice.get(&stickers).await.expect_ok();
    let first = format!("{base}?limit=1&dir=f&recurse=true");
    let first = alice.get(&first).await.expect_ok();
    let threads = format!("/v1/rooms/{room}/threads?include=participated");
    let threads = alice.get(&threads).await.expect_ok();
    let context = format!("/v3/rooms/{room}/context/{root}");
    let context = alice.get(&context).await.expect_ok();
    let sync = alice.sync(None).await;

    assert_eq!(ids(&all), [&*reaction, &*reply, &*edit]);
    assert_eq!(all.get("next_batch"), None);
    assert_eq!(ids(&thread), [&*reply]);
    assert_eq!(ids(&stickers), [""; 0]);
    assert_eq!(
        (ids(&first), &first["recursion_depth"]),
        (vec![&*edit], &json!(3))
    );
    assert_eq!(ids(&threads), [&*root]);
    let timeline = &sync["rooms"]["join"][&room]["timeline"]["events"];
    let synced = timeline.as_array().expect("a timeline");
    let synced = synced.iter().find(|event| event["event_id"] == *root);
    for event in [
        &threads["chunk"][0],
        &context["event"],
        synced.expect("the root"),
    ] {
        let bundle = &event["unsigned"]["m.relations"];
        assert_eq!(bundle["m.replace"]["event_id"], *edit);
        assert_eq!(bundle["m.thread"]["latest_event"]["event_id"], *reply);
        assert_eq!(bundle["m.thread"]["count"], 1);
    }
    let next = first["next_batch"].as_str().expect("there is more");
    let second = format!("{base}?limit=1&dir=f&recurse=true&from={next}");
    let second = alice.get(&second).await.expect_ok();
    assert_eq!(
        (ids(&second), &second["prev_batch"]),
        (vec![&*reply], &json!(next))
    );
}

#[tokio::test]
async fn mistakes_in_requests_for_children_are_named() {
    let server = TestServer::new().await;
    let [alice, mallory] = server.users(["alice", "mallory"]).await;
    let room = alice.create_room("private_chat").await;
    let root = alice.send(&room, "root").await;
    let base = format!("/v1/rooms/{room}/relations/{root}");
    let threads = format!("/v1/rooms/{room}/threads");

    let hidden = mallory.get(&base).await;
    hidden.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    let unknown = alice
        .get(&format!("/v1/rooms/{room}/relations/$nothing"))
        .await;
    unknown.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    for path in [&base, &threads] {
        for query in ["from=junk", "limit=0"] {
            let answer = alice.get(&format!("{path}?{query}")).await;
            answer.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
        }
    }
    let foreign = mallory.get(&threads).await;
    foreign.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}
