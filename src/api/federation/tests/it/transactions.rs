//! Transactions of other servers, and what goes out in our own.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    server::TestServer,
    sharing::{Forged, Shared, forge},
};

/// Sends a transaction from one server to another, and returns what it is answered.
async fn transact(
    from: &TestServer,
    to: &TestServer,
    id: &str,
    pdus: &[Value],
    edus: &[Value],
) -> (StatusCode, Value) {
    let path = format!("/_matrix/federation/v1/send/{id}");
    let body = json!({
        "origin": from.federation.server_name(),
        "origin_server_ts": 1,
        "pdus": pdus,
        "edus": edus,
    });
    from.ask_with(to, "PUT", &path, Some(&body)).await
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn messages_flow_both_ways() {
    let Shared {
        a,
        b,
        alice,
        bob,
        room_id,
        ..
    } = Shared::new().await;
    a.rooms.say(&room_id, &alice, "hello").await.expect("sent");
    b.until_messages(&room_id, &["hello"]).await;
    b.rooms.say(&room_id, &bob, "hi").await.expect("sent");
    a.until_messages(&room_id, &["hello", "hi"]).await;
    for at in 0..120 {
        let text = format!("{at}");
        a.rooms.say(&room_id, &alice, &text).await.expect("sent");
    }
    b.until("all of a burst", async |b| {
        b.messages(&room_id).await.len() == 122
    })
    .await;
    let (of_a, of_b) = (a.messages(&room_id).await, b.messages(&room_id).await);
    assert_eq!(of_a, of_b);
    a.until("acknowledged", async |a| {
        a.sender
            .is_idle(b.federation.server_name())
            .await
            .expect("a read")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_changes_nothing() {
    let Shared {
        servers,
        a,
        b,
        alice,
        room_id,
        ..
    } = Shared::new().await;
    servers
        .network
        .lose_answers("b.test", "/_matrix/federation/v1/send/", 2);
    a.rooms.say(&room_id, &alice, "one").await.expect("sent");
    b.until_messages(&room_id, &["one"]).await;
    for _ in 0..20 {
        servers.clock.advance(std::time::Duration::from_mins(1));
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    }
    a.until("acknowledged", async |a| {
        a.sender
            .is_idle(b.federation.server_name())
            .await
            .expect("a read")
    })
    .await;
    let sent = servers.network.asked();
    let sent: Vec<_> = sent
        .iter()
        .filter(|asked| asked.to == "b.test" && asked.path.contains("/send/"))
        .collect();
    assert_eq!(sent.len(), 3, "two answers were lost");
    assert!(
        sent.iter().all(|asked| asked.path == sent[0].path),
        "the same transaction"
    );
    assert_eq!(b.messages(&room_id).await, ["one"]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_transaction_gets_the_same_answer() {
    let Shared {
        a,
        b,
        alice,
        room_id,
        ..
    } = Shared::new().await;
    let event = Forged::message(&alice, r#"{"body":"x","msgtype":"m.text"}"#);
    let signed = forge(&a, &a, &room_id, event).await;
    let pdus = [value(&signed.json)];
    let first = transact(&a, &b, "t", &pdus, &[]).await;
    assert_eq!(first.0, StatusCode::OK);
    assert_eq!(first.1, json!({ "pdus": { signed.event_id.as_str(): {} } }));
    let nothing: [Value; 0] = [];
    assert_eq!(transact(&a, &b, "t", &nothing, &[]).await, first);
    b.until_messages(&room_id, &["x"]).await;
    assert_eq!(
        transact(&a, &b, "u", &pdus, &[]).await,
        first,
        "it is known"
    );
}

#[tokio::test(start_paused = true)]
async fn forged_events_get_errors_and_change_nothing() {
    let Shared {
        servers,
        a,
        b,
        alice,
        bob,
        room_id,
    } = Shared::new().await;
    let c = servers.start("c.test").await;
    let content = r#"{"body":"forged","msgtype":"m.text"}"#;
    let signed = value(
        &forge(&a, &a, &room_id, Forged::message(&alice, content))
            .await
            .json,
    );
    // Signed by another server; of another server's user; changed after it was signed.
    let mut by_other = signed.clone();
    by_other["signatures"] = json!({ "c.test": signed["signatures"]["a.test"] });
    let mut of_other = signed.clone();
    of_other["sender"] = json!(bob);
    let mut changed = signed.clone();
    changed["depth"] = json!(7);
    let mut large = signed.clone();
    large["content"]["body"] = json!("x".repeat(70_000));
    let mut elsewhere = signed.clone();
    elsewhere["room_id"] = json!("!elsewhere:a.test");
    let nonsense = [json!({}), json!(7)];
    let mut pdus = vec![by_other, of_other, changed, large, elsewhere];
    pdus.extend(nonsense);
    let (status, answer) = transact(&a, &b, "t", &pdus, &[]).await;
    assert_eq!(status, StatusCode::OK);
    let answers = answer["pdus"].as_object().expect("an object");
    assert_eq!(answers.len(), 3, "what has no id gets no answer: {answer}");
    assert!(
        answers.values().all(|answer| answer["error"].is_string()),
        "{answer}"
    );
    // C is not in the room, whatever it says.
    let event = Forged::message(c_user(), content);
    let stranger = forge(&a, &c, &room_id, event).await;
    let (status, _) = transact(&c, &b, "t", &[value(&stranger.json)], &[]).await;
    assert_eq!(status, StatusCode::OK);
    a.rooms.say(&room_id, &alice, "real").await.expect("sent");
    b.until_messages(&room_id, &["real"]).await;
}

fn c_user() -> &'static ruma::UserId {
    ruma::user_id!("@carol:c.test")
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_a_transaction_hold() {
    let Shared { a, b, .. } = Shared::new().await;
    let (status, answer) = transact(&a, &b, "t", &vec![json!({}); 51], &[]).await;
    assert_eq!(
        (status, &answer["errcode"]),
        (StatusCode::BAD_REQUEST, &json!("M_BAD_JSON"))
    );
    let (status, _) = transact(&a, &b, "t", &[], &vec![json!({}); 101]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, answer) = transact(&a, &b, "t", &vec![json!({}); 50], &vec![json!({}); 100]).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "pdus": {} })));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_the_room_excludes_is_not_heard() {
    let Shared {
        a,
        b,
        alice,
        bob,
        room_id,
        ..
    } = Shared::new().await;
    let typing = |typing: bool| {
        json!({
            "edu_type": "m.typing",
            "content": { "room_id": room_id, "user_id": bob, "typing": typing },
        })
    };
    let types = async || {
        let db = a.rooms.rooms.snapshot().await.expect("a snapshot");
        let room = a.rooms.rooms.require(&db, &room_id).await.expect("a room");
        a.rooms.writer.typing().users(room)
    };
    transact(&b, &a, "1", &[], &[typing(true)]).await;
    assert_eq!(types().await, std::slice::from_ref(&bob));
    // Nobody speaks for users of others.
    transact(&a, &b, "1", &[], &[typing(false)]).await;
    transact(&b, &a, "2", &[], &[typing(false)]).await;
    assert!(types().await.is_empty());

    let acl = json!({ "allow": ["*"], "deny": ["B.test"] });
    let set = a.rooms.set(&room_id, &alice, "m.room.server_acl", "", acl);
    set.await.expect("the creator may");
    transact(&b, &a, "3", &[], &[typing(true)]).await;
    assert!(types().await.is_empty());
    let event = Forged::message(&bob, r#"{"body":"x","msgtype":"m.text"}"#);
    let signed = forge(&a, &b, &room_id, event).await;
    let (status, answer) = transact(&b, &a, "4", &[value(&signed.json)], &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        answer["pdus"][signed.event_id.as_str()]["error"].is_string(),
        "{answer}"
    );
}
