//! The other side of the handshakes, by hand: a user of one server asks another one to be let into a room.

use http::StatusCode;
use protocol::{
    content::Content,
    event::{Depth, Draft, SignedPdu},
    room_version,
};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, RoomVersionId, UInt, UserId,
    events::TimelineEventType,
};
use serde_json::{Value, json};

use crate::server::TestServer;

/// All versions, as a query.
pub(crate) const VERSIONS: &str = "ver=9&ver=10&ver=11&ver=12";

/// The event that a template proposes, with the changes of `change`, signed by the user's server.
pub(crate) fn sign(
    server: &TestServer,
    user: &UserId,
    template: &Value,
    change: impl FnOnce(&mut Draft),
) -> SignedPdu {
    let version = template["room_version"].as_str().expect("a version");
    let version = RoomVersionId::try_from(version).expect("a version");
    let event = &template["event"];
    let ids = |name: &str| -> Vec<OwnedEventId> {
        serde_json::from_value(event[name].clone()).expect("event ids")
    };
    let room_id = event["room_id"].as_str().expect("a room id");
    let mut draft = Draft {
        rules: room_version::rules(&version).expect("a supported version"),
        room_id: Some(RoomId::parse(room_id).expect("a room id")),
        sender: user.to_owned(),
        kind: TimelineEventType::RoomMember,
        state_key: Some(user.to_string()),
        content: Content::parse(&event["content"].to_string()).expect("content"),
        auth_events: ids("auth_events"),
        prev_events: ids("prev_events"),
        depth: Depth(event["depth"].as_u64().expect("a depth")),
        origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(
            database::Clock::now(&*server.clock).0,
        )),
        redacts: None,
        old_format: None,
    };
    change(&mut draft);
    draft
        .sign(&*server.rooms.keys.current())
        .expect("it can be signed")
}

/// Asks for a template: `make_join`, `make_leave` or `make_knock`.
pub(crate) async fn make(
    guest: &TestServer,
    resident: &TestServer,
    word: &str,
    room: &RoomId,
    user: &UserId,
) -> (StatusCode, Value) {
    let path = format!("/_matrix/federation/v1/make_{word}/{room}/{user}?{VERSIONS}");
    guest.ask(resident, "GET", &path).await
}

/// Sends a signed event: `v2/send_join` and the like.
pub(crate) async fn send(
    guest: &TestServer,
    resident: &TestServer,
    endpoint: &str,
    event: &SignedPdu,
) -> (StatusCode, Value) {
    let (room, id) = (&event.room_id, &event.event_id);
    let (path, query) = endpoint.split_once('?').unwrap_or((endpoint, ""));
    let path = format!("/_matrix/federation/{path}/{room}/{id}?{query}");
    let body = serde_json::from_str(&event.json).expect("JSON");
    guest.ask_with(resident, "PUT", &path, Some(&body)).await
}

/// Joins, and returns the join with the answer.
pub(crate) async fn join(
    guest: &TestServer,
    resident: &TestServer,
    room: &RoomId,
    user: &UserId,
) -> (SignedPdu, Value) {
    let (status, template) = make(guest, resident, "join", room, user).await;
    assert_eq!(status, StatusCode::OK, "{template}");
    let event = sign(guest, user, &template, |_| {});
    let (status, answer) = send(guest, resident, "v2/send_join", &event).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    (event, answer)
}

/// A refusal.
pub(crate) fn refused(answer: &(StatusCode, Value)) -> (u16, String) {
    let errcode = answer.1["errcode"].as_str().unwrap_or_default();
    (answer.0.as_u16(), errcode.to_owned())
}

/// The types and state keys of PDUs.
pub(crate) fn pairs(pdus: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pdus = pdus.as_array().expect("a list").iter();
    let mut pairs: Vec<_> = pdus
        .map(|pdu| (text(&pdu["type"]), text(&pdu["state_key"])))
        .collect();
    pairs.sort();
    pairs
}

/// The access list that excludes one server.
pub(crate) fn acl_without(server: &str) -> Value {
    json!({ "allow": ["*"], "deny": [server] })
}
