//! What the authorization rules read of a draft.

use std::sync::LazyLock;

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UserId, events::TimelineEventType,
    state_res::Event,
};
use serde_json::value::RawValue;

use super::Draft;

/// Drafts are authorized before they are signed. Only the rules of room versions 1 and 2 read the event's own id, and their
/// drafts have one.
static UNNAMED: LazyLock<OwnedEventId> =
    LazyLock::new(|| EventId::parse("$not-signed-yet").expect("an event id"));

impl Event for Draft {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        match &self.old_format {
            Some(old) => &old.event_id,
            None => &UNNAMED,
        }
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }

    fn content(&self) -> &RawValue {
        self.content.as_raw()
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        false
    }
}
