//! Which thread an event is in (client-server API, "Threaded read receipts"): found once, when the event is written, because a
//! redaction takes the relation that said so.

use database::{Read as _, RoomNumber, Snapshot};
use protocol::scan;
use ruma::EventId;

use crate::{
    error::RoomError,
    handle::RoomStore,
    tables::{EVENT_NUMBERS, Thread},
};

/// Relations followed from an event to its thread.
const HOPS: u8 = 3;

impl RoomStore {
    /// The thread of an event with this content. Its root is an event id, but need not be held: events
    /// of other servers arrive in any order.
    pub async fn find_thread(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        content: &str,
    ) -> Result<Option<Thread>, RoomError> {
        let Some((is_thread, parent)) = relation(content) else {
            return Ok(None);
        };
        let Ok(parent_id) = <&EventId>::try_from(parent.as_str()) else {
            return Ok(None);
        };
        if is_thread {
            return Ok(Some(Thread {
                root: parent,
                hops: 0,
            }));
        }
        let parent = parent_id;
        let parent = self.event_by_id(db, room, parent).await?;
        let thread = parent.as_ref().and_then(|parent| parent.thread.as_ref());
        let near = thread.filter(|thread| thread.hops < HOPS);
        Ok(near.map(|thread| Thread {
            root: thread.root.clone(),
            hops: thread.hops + 1,
        }))
    }

    /// The same for an event of a local user, whose thread's root must be an event of the room.
    pub async fn find_held_thread(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        content: &str,
    ) -> Result<Option<Thread>, RoomError> {
        let Some(thread) = self.find_thread(db, room, content).await? else {
            return Ok(None);
        };
        let is_held = db.exists(EVENT_NUMBERS.at((room, thread.root.as_str())));
        Ok(is_held.await?.then_some(thread))
    }

    /// Whether an event belongs to a thread, so that a receipt may say that it was read up to there: the root and what relates to
    /// it do, besides the thread itself. To `main` belongs what is in no thread.
    pub async fn belongs_to_thread(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        event_id: &EventId,
        thread: &str,
    ) -> Result<bool, RoomError> {
        let mut event = self
            .event_by_id(db, room, event_id)
            .await?
            .ok_or(RoomError::UnknownEvent)?;
        if thread == "main" {
            return Ok(event.thread.is_none());
        }
        for _ in 0..=HOPS {
            let own = event.thread.as_ref().map(|thread| &*thread.root);
            if event.id == thread || own == Some(thread) {
                return Ok(true);
            }
            let Some((_, parent)) = relation(event.content()) else {
                return Ok(false);
            };
            let Ok(parent) = <&EventId>::try_from(parent.as_str()) else {
                return Ok(false);
            };
            let Some(next) = self.event_by_id(db, room, parent).await? else {
                return Ok(false);
            };
            event = next;
        }
        Ok(false)
    }
}

/// The event that a content relates to, and whether as its thread's root.
fn relation(content: &str) -> Option<(bool, String)> {
    let relation = scan::member(content, "m.relates_to")?;
    let parent = scan::string_member(relation, "event_id")?.into_owned();
    let kind = scan::string_member(relation, "rel_type");
    Some((kind.as_deref() == Some("m.thread"), parent))
}
