//! Joining by another server.

use std::{collections::BTreeMap, sync::Arc};

use database::Clock as _;
use protocol::{
    authorize::AuthEvent,
    content::Content,
    event::{Depth, Draft},
    room_version,
};
use rooms_store::Event;
use rooms_writer::{Arrival, Outcome, ReceivedPdu};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, UInt, UserId, events::TimelineEventType,
    state_res::Event as _,
};

use super::Net;

impl Net {
    /// Joins a user of one server by another: what `make_join` and `send_join` do.
    pub async fn join(&mut self, at: usize, user: &UserId, via: usize) {
        let (join, state, chain) = self.join_event(at, user, via).await;
        let pdu = ReceivedPdu::new(join.event_id.clone(), join.json.clone()).expect("a PDU");
        let arrival = Arrival::Live;
        let accepted = self.receive(via, vec![(pdu.clone(), arrival)]).await;
        assert_eq!(accepted, [Outcome::Accepted]);
        let writer = &self.nodes[at].rooms.writer;
        let begun = writer.begin_join(&self.room_id, &self.version).await;
        begun.expect("the join begins");
        let mut outliers = Vec::new();
        for event in chain {
            let pdu = ReceivedPdu::new(event.id.clone(), event.json().to_owned()).expect("a PDU");
            outliers.push((pdu, Arrival::Outlier));
        }
        self.receive(at, outliers).await;
        let arrival = Arrival::AfterGap { state };
        let placed = self.receive(at, vec![(pdu, arrival)]).await;
        assert_eq!(placed, [Outcome::Accepted]);
        self.collect().await;
    }

    /// The signed join, the ids of the state before it, and that state with its auth chain in the order of depth.
    async fn join_event(
        &self,
        at: usize,
        user: &UserId,
        via: usize,
    ) -> (
        protocol::event::SignedPdu,
        Vec<OwnedEventId>,
        Vec<Arc<Event>>,
    ) {
        let rules = room_version::rules(&self.version).expect("a supported version");
        let resident = &self.nodes[via].rooms;
        let db = resident.rooms.snapshot().await.expect("a snapshot");
        let room = resident
            .rooms
            .require(&db, &self.room_id)
            .await
            .expect("a room");
        let head = resident.rooms.head(&db, room).await.expect("a head");
        let state = resident.history.state_events(&db, room, head.state).await;
        let state = state.expect("a state");
        let mut draft = Draft {
            rules,
            room_id: Some(self.room_id.clone()),
            sender: user.to_owned(),
            kind: TimelineEventType::RoomMember,
            state_key: Some(user.to_string()),
            content: Content::parse(r#"{"membership":"join"}"#).expect("JSON"),
            auth_events: Vec::new(),
            prev_events: head
                .extremities
                .iter()
                .map(|end| EventId::parse(&end.event_id).expect("an id"))
                .collect(),
            depth: Depth::after(head.extremities.iter().map(|end| Depth(end.depth))),
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(
                resident.clock.now().0,
            )),
            redacts: None,
            old_format: None,
        };
        draft.auth_events = self.auth_for(via, &draft).await;
        let signed = draft
            .sign(&*self.nodes[at].keys.current())
            .expect("a signed join");
        let ids = state.iter().map(|event| event.id.clone()).collect();
        let mut chain: BTreeMap<(u64, OwnedEventId), Arc<Event>> = BTreeMap::new();
        let mut ahead = state;
        while let Some(event) = ahead.pop() {
            let key = (event.depth, event.id.clone());
            if chain.contains_key(&key) {
                continue;
            }
            let parsed = AuthEvent::parse(event.id.clone(), event.json()).expect("an event");
            for id in parsed.auth_events() {
                let auth = resident.rooms.event_by_id(&db, room, id).await;
                ahead.push(auth.expect("a read").expect("an auth event"));
            }
            chain.insert(key, event);
        }
        (signed, ids, chain.into_values().collect())
    }
}
