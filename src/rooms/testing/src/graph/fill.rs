//! Gaps: events without those before them, and what fills the gaps later.

use database::Read as _;
use rooms_store::tables::GAPS;
use rooms_writer::{Arrival, Outcome};
use ruma::{EventId, OwnedEventId};

use super::Net;

impl Net {
    /// Delivers an event with the state before it in place of the events before it; false where its sender does not know that
    /// state.
    pub(super) async fn deliver_across_gap(&self, at: usize, from: usize, id: &EventId) -> bool {
        let node = &self.nodes[from].rooms;
        let Some(before) = self.event(from, id).await.and_then(|e| e.state_before()) else {
            return false;
        };
        let Some(pdu) = self.carried(from, id).await else {
            return false;
        };
        let db = node.rooms.snapshot().await.expect("a snapshot");
        let room = node.rooms.require(&db, &self.room_id).await;
        let room = room.expect("a room");
        let events = node.history.state_events(&db, room, before).await;
        let mut state = Vec::new();
        for event in events.expect("a state") {
            self.deliver_outlier(at, from, &event.id).await;
            state.push(event.id.clone());
        }
        let may_now = self.may_now(at, &pdu).await;
        for _ in 0..2 {
            let arrival = Arrival::AfterGap {
                state: state.clone(),
            };
            let outcome = self.receive(at, vec![(pdu.clone(), arrival)]).await;
            let [outcome] = &outcome[..] else {
                return false;
            };
            if let Outcome::Unchecked(missing) = outcome {
                self.deliver_auth(at, from, missing).await;
                continue;
            }
            self.check_verdict(at, &pdu, may_now, outcome).await;
            return true;
        }
        true
    }

    /// Fills the gaps of a server with what another one holds, newest events first.
    pub async fn backfill(&self, at: usize, from: usize, most: usize) {
        for _ in 0..most {
            let mut found: Vec<(u64, OwnedEventId)> = Vec::new();
            for id in self.missing(at).await {
                let held = self.event(from, &id).await;
                let held = held.filter(|held| !held.is_rejected() && held.is_placed());
                found.extend(held.map(|held| (held.depth, id)));
            }
            let Some((_, id)) = found.into_iter().max() else {
                return;
            };
            let Some(pdu) = self.carried(from, &id).await else {
                return;
            };
            let before = self.missing(at).await;
            self.deliver_placed(at, from, &pdu).await;
            if self.missing(at).await == before {
                return;
            }
        }
    }

    /// The events that the gaps of a server miss.
    pub async fn missing(&self, at: usize) -> Vec<OwnedEventId> {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let Some(room) = rooms.number(&db, &self.room_id).await.expect("a read") else {
            return Vec::new();
        };
        let gaps = db.page(GAPS.under(room), usize::MAX).await.expect("rows");
        let ids = gaps.into_iter().flat_map(|(_, gap)| gap.missing);
        ids.map(|id| EventId::parse(id).expect("an id")).collect()
    }
}
