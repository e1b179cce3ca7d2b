//! A page of events as one reader sees them: collects what `unsigned` says of each, a batch at a time.

use std::{collections::HashMap, sync::Arc};

use database::{Millis, Snapshot, UserNumber};
use ruma::{DeviceId, RoomId};

use super::{Relations, Replaced, Unsigned, separate, write_event};
use crate::{handle::History, relations::Bundle, visibility::Viewer};
use rooms_store::{Event, RoomError, state_map::EventNumber};

/// The events that others of a page point to.
type Others = HashMap<EventNumber, Arc<Event>>;

/// Whose device reads, and whether each event names its room.
#[derive(Clone, Copy)]
struct Form<'a> {
    device: Option<&'a DeviceId>,
    room_id: Option<&'a RoomId>,
}

impl History {
    /// Writes the events, which the viewer may see, as the elements of a JSON list (without its brackets), with their bundled
    /// aggregations.
    ///
    /// `device` is the reader's, who is told the transaction ids of what it sent. `room_id` is left out where the answer
    /// says it elsewhere.
    pub async fn write_events(
        &self,
        out: &mut Vec<u8>,
        db: &Snapshot,
        viewer: &mut Viewer,
        device: Option<&DeviceId>,
        events: &[Arc<Event>],
        room_id: Option<&RoomId>,
    ) -> Result<(), RoomError> {
        let bundles = self.bundles(db, viewer, events).await?;
        let form = Form { device, room_id };
        self.write_page(out, db, viewer, form, events, &bundles)
            .await
    }

    /// The same without bundled aggregations: for clients that get every child of these events by itself.
    pub async fn write_events_alone(
        &self,
        out: &mut Vec<u8>,
        db: &Snapshot,
        viewer: &mut Viewer,
        device: Option<&DeviceId>,
        events: &[Arc<Event>],
        room_id: Option<&RoomId>,
    ) -> Result<(), RoomError> {
        let form = Form { device, room_id };
        self.write_page(out, db, viewer, form, events, &HashMap::new())
            .await
    }

    async fn write_page(
        &self,
        out: &mut Vec<u8>,
        db: &Snapshot,
        viewer: &mut Viewer,
        Form { device, room_id }: Form<'_>,
        events: &[Arc<Event>],
        bundles: &HashMap<EventNumber, Bundle>,
    ) -> Result<(), RoomError> {
        let memberships = viewer.memberships(&self.rooms, db, events).await?;
        let others = self.others(db, viewer, events).await?;
        let replaced: Vec<Arc<Event>> = events
            .iter()
            .filter_map(|event| others.get(&event.replaces?).cloned())
            .collect();
        let visible = viewer.visible(&self.rooms, db, &replaced).await?;
        let visible: HashMap<EventNumber, bool> = replaced
            .iter()
            .map(|event| event.number)
            .zip(visible)
            .collect();
        let now = self.clock.now();
        let start = out.len();
        for (event, membership) in events.iter().zip(memberships) {
            separate(out, start);
            let unsigned = Unsigned {
                now: Some(now),
                membership: Some(membership),
                replaced: event
                    .replaces
                    .and_then(|number| others.get(&number))
                    .map(|event| {
                        let is_visible = visible.get(&event.number).copied().unwrap_or(false);
                        Replaced { event, is_visible }
                    }),
                redacted_because: event
                    .redacted_because
                    .and_then(|number| others.get(&number))
                    .map(|event| &**event),
                transaction_id: transaction_id(event, viewer.user(), device),
                relations: bundles.get(&event.number).map(|bundle| Relations {
                    bundle,
                    reader: viewer.user(),
                    device,
                    room_id,
                }),
            };
            write_event(out, event, room_id, &unsigned);
        }
        Ok(())
    }

    /// Writes state events as the elements of a JSON list, without what depends on the place of each in the history (the
    /// reader's membership, what it replaced): a room's state has thousands of them.
    pub async fn write_state(
        &self,
        out: &mut Vec<u8>,
        db: &Snapshot,
        events: &[Arc<Event>],
        room_id: Option<&RoomId>,
    ) -> Result<(), RoomError> {
        let now: Millis = self.clock.now();
        out.reserve(events.iter().map(|event| event.content().len() + 256).sum());
        let start = out.len();
        for event in events {
            let replaced = match event.replaces {
                Some(number) => self.rooms.event(db, event.room, number).await?,
                None => None,
            };
            let redaction = match event.redacted_because {
                Some(number) => self.rooms.event(db, event.room, number).await?,
                None => None,
            };
            let unsigned = Unsigned {
                now: Some(now),
                replaced: replaced.as_deref().map(|event| Replaced {
                    event,
                    is_visible: false,
                }),
                redacted_because: redaction.as_deref(),
                ..Unsigned::default()
            };
            separate(out, start);
            write_event(out, event, room_id, &unsigned);
        }
        Ok(())
    }

    /// The events that these replaced and the redactions that emptied them. A redaction may be newer than the snapshot,
    /// because the cache of events knows it already: then it is left out.
    async fn others(
        &self,
        db: &Snapshot,
        viewer: &Viewer,
        events: &[Arc<Event>],
    ) -> Result<Others, RoomError> {
        let mut others = Others::new();
        for event in events {
            for number in event.replaces.into_iter().chain(event.redacted_because) {
                if let Some(other) = self.rooms.event(db, viewer.room(), number).await? {
                    others.insert(number, other);
                }
            }
        }
        Ok(others)
    }
}

/// Known only to the device that sent the event.
pub(super) fn transaction_id<'a>(
    event: &'a Event,
    reader: UserNumber,
    device: Option<&DeviceId>,
) -> Option<&'a str> {
    let transaction = event.transaction.as_ref()?;
    let is_sender =
        transaction.user == reader && device.is_some_and(|id| id == transaction.device.as_str());
    is_sender.then_some(transaction.id.as_str())
}
