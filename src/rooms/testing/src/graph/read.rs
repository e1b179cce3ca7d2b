//! What a server says of the room.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use database::Read as _;
use rooms_store::{
    Event, Place, Verdict,
    state_map::StateRoot,
    tables::{EVENT_NUMBERS, EVENTS},
};
use ruma::OwnedEventId;
use serde_json::Value;

use super::Net;

impl Net {
    /// Whether a server takes part in the room.
    pub async fn is_in(&self, at: usize) -> bool {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        rooms
            .number(&db, &self.room_id)
            .await
            .expect("a read")
            .is_some()
    }

    /// The current state of a server: type and state key to event id.
    pub async fn state(&self, at: usize) -> BTreeMap<(String, String), OwnedEventId> {
        let node = &self.nodes[at].rooms;
        let db = node.rooms.snapshot().await.expect("a snapshot");
        let room = node
            .rooms
            .require(&db, &self.room_id)
            .await
            .expect("a room");
        let root = node.rooms.head(&db, room).await.expect("a head").state;
        drop(db);
        self.state_of(at, root).await
    }

    /// A stored state of a server.
    pub async fn state_of(
        &self,
        at: usize,
        root: StateRoot,
    ) -> BTreeMap<(String, String), OwnedEventId> {
        let node = &self.nodes[at].rooms;
        let db = node.rooms.snapshot().await.expect("a snapshot");
        let room = node.rooms.require(&db, &self.room_id).await;
        let room = room.expect("a room");
        let events = node.history.state_events(&db, room, root).await;
        let pairs = events.expect("a state").into_iter().map(|event| {
            let key = event.state_key.as_deref().unwrap_or_default().to_owned();
            ((event.kind.to_string(), key), event.id.clone())
        });
        pairs.collect()
    }

    /// The verdict of every placed event of a server, by event id.
    pub async fn verdicts(&self, at: usize) -> BTreeMap<OwnedEventId, Verdict> {
        let node = &self.nodes[at].rooms;
        let db = node.rooms.snapshot().await.expect("a snapshot");
        let room = node
            .rooms
            .require(&db, &self.room_id)
            .await
            .expect("a room");
        let rows = db.page(EVENTS.under(room), usize::MAX).await.expect("rows");
        let placed = rows
            .into_iter()
            .filter(|(_, row)| row.value.place != Place::Outlier);
        let by_id = placed.map(|(_, row)| {
            let id = OwnedEventId::try_from(row.value.event_id).expect("an id");
            (id, row.value.verdict)
        });
        by_id.collect()
    }

    /// The extremities of a server, by event id.
    pub async fn extremities(&self, at: usize) -> BTreeSet<String> {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let room = rooms.require(&db, &self.room_id).await.expect("a room");
        let head = rooms.head(&db, room).await.expect("a head");
        head.extremities
            .into_iter()
            .map(|end| end.event_id)
            .collect()
    }

    /// How many event ids a server holds.
    pub async fn count(&self, at: usize) -> usize {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let room = rooms.require(&db, &self.room_id).await.expect("a room");
        let rows = db.page(EVENT_NUMBERS.under(room), usize::MAX).await;
        rows.expect("rows").len()
    }

    /// The members of the current state, by user id, as their events say.
    pub async fn members(&self, at: usize) -> HashMap<String, String> {
        let mut members = HashMap::new();
        for ((kind, key), id) in self.state(at).await {
            if kind != "m.room.member" {
                continue;
            }
            let event = self.event(at, &id).await.expect("an event");
            let content: Value = serde_json::from_str(event.content()).expect("JSON");
            let word = content["membership"].as_str().unwrap_or_default();
            members.insert(key, word.to_owned());
        }
        members
    }

    /// Every event that a server holds, whatever its verdict and place.
    pub async fn holdings(&self, at: usize) -> Vec<Arc<Event>> {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let room = rooms.require(&db, &self.room_id).await.expect("a room");
        let rows = db.page(EVENTS.under(room), usize::MAX).await.expect("rows");
        let numbers: Vec<_> = rows.into_iter().map(|((_, number), _)| number).collect();
        let events = rooms.named_events(&db, room, &numbers).await;
        events.expect("events")
    }
}
