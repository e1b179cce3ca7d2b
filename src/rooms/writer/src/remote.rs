//! Events of other servers: how they reach a room's writer, and how a room begins that was joined over federation.

use std::sync::atomic::Ordering;

use database::Read as _;
use protocol::room_version;
use rooms_store::{
    Residency, RoomError,
    tables::{ROOM_HEADS, RoomHead},
};
use ruma::{RoomId, RoomVersionId};

use crate::{
    handle::RoomWriter,
    outside::new_head,
    received::{Arrival, Outcome, ReceivedPdu},
    registry::Command,
};

impl RoomWriter {
    /// Receives checked events in their order and returns the outcome of each, once it is stored. Waits while the room's
    /// mailbox is full.
    pub async fn receive(
        &self,
        room_id: &RoomId,
        events: Vec<(ReceivedPdu, Arrival)>,
    ) -> Result<Vec<Result<Outcome, RoomError>>, RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self.rooms.require(&db, room_id).await?;
        drop(db);
        let lane = self.shared.lanes.fetch_add(1, Ordering::Relaxed);
        let mut answers = Vec::with_capacity(events.len());
        for (pdu, arrival) in events {
            let (command, answer) = Command::receive(pdu, arrival, lane);
            let registry = &self.shared.registry;
            registry.submit_waiting(self, room, command).await?;
            answers.push(answer);
        }
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(answer.await.unwrap_or(Err(RoomError::ShuttingDown)));
        }
        Ok(outcomes)
    }

    /// Begins a room that is being joined over federation: its events are received as outliers, then the join
    /// ([`Arrival::Join`]). Whoever invites may have named a wrong version: as long as no event is placed, the version is that
    /// of the latest attempt. A room that is known otherwise stays as it is.
    pub async fn begin_join(
        &self,
        room_id: &RoomId,
        version: &RoomVersionId,
    ) -> Result<(), RoomError> {
        if room_version::rules(version).is_none() {
            return Err(RoomError::UnsupportedVersion(version.to_string()));
        }
        let store = self.rooms.store();
        let begun = store.transact::<_, RoomError, _>(|txn| async move {
            let numbers = self.rooms.numbers();
            let room = numbers.intern_room(&txn, room_id.as_str()).await?;
            let head = match txn.get(ROOM_HEADS.at(room)).await? {
                None => new_head(version, Residency::Joining),
                Some(head) if head.version == version.as_str() => return Ok(()),
                Some(head) if head.extremities.is_empty() => RoomHead {
                    version: version.to_string(),
                    revision: head.revision + 1,
                    ..head
                },
                Some(head) => {
                    return Err(RoomError::Invalid(format!(
                        "the version of {room_id} is {}, not {version}",
                        head.version
                    )));
                }
            };
            txn.put(ROOM_HEADS.at(room), &head);
            Ok(())
        });
        begun.await?;
        Ok(())
    }
}
