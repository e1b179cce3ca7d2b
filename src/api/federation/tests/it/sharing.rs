//! How two servers of a test come to share a room, without the endpoints for that, and what each of them sees of it.

use std::collections::BTreeMap;

use database::Clock as _;
use protocol::{
    authorize::{self, AuthEvent},
    content::Content,
    event::{Depth, Draft, SignedPdu},
    room_version,
};
use rooms_writer::{Arrival, Outcome, ReceivedPdu};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
    RoomVersionId, UInt, UserId, events::TimelineEventType, state_res::Event as _,
};

use crate::server::{Servers, TestServer};

/// Two servers with a user each in one room.
pub(crate) struct Shared {
    pub(crate) servers: Servers,
    pub(crate) a: TestServer,
    pub(crate) b: TestServer,
    pub(crate) alice: OwnedUserId,
    pub(crate) bob: OwnedUserId,
    pub(crate) room_id: OwnedRoomId,
}

impl Shared {
    /// `@alice:a.test` has created the room, `@bob:b.test` has joined it.
    pub(crate) async fn new() -> Self {
        let servers = Servers::new();
        let [a, b] = servers.start_all(["a.test", "b.test"]).await;
        let alice = a.rooms.person("alice").await;
        let bob = b.rooms.person("bob").await;
        let room_id = a.rooms.public_room(&alice).await;
        join(&a, &b, &room_id, &bob).await;
        Self {
            servers,
            a,
            b,
            alice,
            bob,
            room_id,
        }
    }
}

/// Signs an event of a server that the server itself would not make, on the extremities of another one.
pub(crate) async fn forge(
    resident: &TestServer,
    signer: &TestServer,
    room_id: &RoomId,
    event: Forged<'_>,
) -> SignedPdu {
    let rooms = &resident.rooms.rooms;
    let db = rooms.snapshot().await.expect("a snapshot");
    let room = rooms.require(&db, room_id).await.expect("a room");
    let head = rooms.head(&db, room).await.expect("a head");
    let version = RoomVersionId::try_from(head.version.as_str()).expect("a version");
    let rules = room_version::rules(&version).expect("a supported version");
    let state = resident.rooms.history.state_events(&db, room, head.state);
    let state = state.await.expect("a state");
    let ends = head.extremities.iter();
    let ends = ends.map(|end| EventId::parse(&end.event_id).expect("an id"));
    let depth = Depth::after(head.extremities.iter().map(|end| Depth(end.depth)));
    let now = UInt::new_saturating(resident.clock.now().0);
    let mut draft = Draft {
        rules,
        room_id: Some(room_id.to_owned()),
        sender: event.sender.to_owned(),
        kind: TimelineEventType::from(event.kind),
        state_key: event.state_key.map(str::to_owned),
        content: Content::parse(event.content).expect("JSON"),
        auth_events: Vec::new(),
        prev_events: event.previous.unwrap_or_else(|| ends.collect()),
        depth,
        origin_server_ts: MilliSecondsSinceUnixEpoch(now),
        redacts: None,
        old_format: None,
    };
    for (kind, key) in authorize::auth_types(rules, &draft).expect("auth types") {
        let found = state.iter().find(|event| {
            *event.kind == kind.to_string() && event.state_key.as_deref() == Some(&*key)
        });
        draft
            .auth_events
            .extend(found.map(|event| event.id.clone()));
    }
    let key = signer.federation.keys().current();
    draft.sign(&*key).expect("it is signed")
}

/// What a forged event says.
pub(crate) struct Forged<'a> {
    pub(crate) sender: &'a UserId,
    pub(crate) kind: &'a str,
    pub(crate) state_key: Option<&'a str>,
    pub(crate) content: &'a str,
    pub(crate) previous: Option<Vec<OwnedEventId>>,
}

impl<'a> Forged<'a> {
    pub(crate) fn message(sender: &'a UserId, content: &'a str) -> Self {
        Self {
            sender,
            kind: "m.room.message",
            state_key: None,
            content,
            previous: None,
        }
    }
}

/// Lets a user of `joiner` join a room of `resident`.
pub(crate) async fn join(
    resident: &TestServer,
    joiner: &TestServer,
    room_id: &RoomId,
    user: &UserId,
) {
    let event = Forged {
        sender: user,
        kind: "m.room.member",
        state_key: Some(user.as_str()),
        content: r#"{"membership":"join"}"#,
        previous: None,
    };
    let (state, chain) = state_of(resident, room_id).await;
    let signed = forge(resident, joiner, room_id, event).await;
    let pdu = ReceivedPdu::new(signed.event_id, signed.json).expect("a PDU");
    let live = vec![(pdu.clone(), Arrival::Live)];
    let accepted = resident.rooms.writer.receive(room_id, live).await;
    assert!(matches!(
        &*accepted.expect("outcomes"),
        [Ok(Outcome::Accepted)]
    ));
    let rooms = &resident.rooms.rooms;
    let db = rooms.snapshot().await.expect("a snapshot");
    let room = rooms.require(&db, room_id).await.expect("a room");
    let version = rooms.head(&db, room).await.expect("a head").version;
    let version = RoomVersionId::try_from(version.as_str()).expect("a version");
    let writer = &joiner.rooms.writer;
    writer
        .begin_join(room_id, &version)
        .await
        .expect("it begins");
    let received = writer.receive(room_id, chain).await;
    received.expect("outcomes");
    let arrival = Arrival::AfterGap { state };
    let placed = writer.receive(room_id, vec![(pdu, arrival)]).await;
    assert!(matches!(
        &*placed.expect("outcomes"),
        [Ok(Outcome::Accepted)]
    ));
}

/// The ids of a room's state, and the events of its auth chain.
async fn state_of(
    resident: &TestServer,
    room_id: &RoomId,
) -> (Vec<OwnedEventId>, Vec<(ReceivedPdu, Arrival)>) {
    let rooms = &resident.rooms.rooms;
    let db = rooms.snapshot().await.expect("a snapshot");
    let room = rooms.require(&db, room_id).await.expect("a room");
    let root = rooms.head(&db, room).await.expect("a head").state;
    let state = resident.rooms.history.state_events(&db, room, root).await;
    let mut ahead = state.expect("a state");
    let ids = ahead.iter().map(|event| event.id.clone()).collect();
    let mut chain = BTreeMap::new();
    while let Some(event) = ahead.pop() {
        let key = (event.depth, event.id.clone());
        if chain.contains_key(&key) {
            continue;
        }
        let parsed = AuthEvent::parse(event.id.clone(), event.json()).expect("an event");
        for id in parsed.auth_events() {
            let auth = rooms.event_by_id(&db, room, id).await;
            ahead.push(auth.expect("a read").expect("an auth event"));
        }
        chain.insert(key, event);
    }
    let chain = chain.into_values().map(|event| {
        let pdu = ReceivedPdu::new(event.id.clone(), event.json().to_owned());
        (pdu.expect("a PDU"), Arrival::Outlier)
    });
    (ids, chain.collect())
}

impl TestServer {
    /// The texts of a room's messages as this server shows them, oldest first.
    pub(crate) async fn messages(&self, room_id: &RoomId) -> Vec<String> {
        let timeline = self.rooms.timeline(room_id).await;
        let messages = timeline
            .iter()
            .filter(|event| &*event.kind == "m.room.message");
        messages
            .map(|event| {
                let content: serde_json::Value =
                    serde_json::from_str(event.content()).expect("JSON");
                content["body"].as_str().unwrap_or_default().to_owned()
            })
            .collect()
    }

    /// Waits until a condition holds; time passes by itself in a test with paused time.
    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn(&Self) -> bool) {
        for _ in 0..2_000 {
            if condition(self).await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("it never happened: {what}");
    }

    pub(crate) async fn until_messages(&self, room_id: &RoomId, expected: &[&str]) {
        let what = format!("{expected:?}");
        self.until(&what, async |server| {
            server.messages(room_id).await == expected
        })
        .await;
    }
}
