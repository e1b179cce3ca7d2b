//! What an event means to those who read it, as far as it is the same for all of them.

use std::sync::OnceLock;

use database::Snapshot;
use protocol::{
    power_levels::PowerLevels,
    push::{Predefined, PushEvent, RoomContext, Verdict, evaluate},
    scan,
};
use rooms::{Event, RoomError, Rooms};
use ruma::{EventId, OwnedRoomId, RoomId, UserId, push::Ruleset};

use crate::counts::MAIN;

/// One event, looked at once for all members of its room.
#[derive(Debug)]
pub(crate) struct Meaning {
    /// The root of its thread, or `main`.
    pub(crate) thread: Box<str>,
    predefined: Predefined,
    /// Parsed again only where a user has rules of their own.
    parsed: OnceLock<Option<PushEvent>>,
    room_id: OwnedRoomId,
    /// Those at the event, where it wants to notify the whole room.
    power_levels: Option<PowerLevels>,
}

impl Meaning {
    pub(crate) async fn of(
        rooms: &Rooms,
        db: &Snapshot,
        event: &Event,
        room_id: &RoomId,
        member_count: u64,
    ) -> Result<Self, RoomError> {
        let mut power_levels = None;
        if wants_the_room(event) {
            let levels = rooms.power_levels_in(db, event.room, event.state_before);
            power_levels = Some(levels.await?);
        }
        let parsed = PushEvent::new(event.json(), room_id);
        let context = RoomContext {
            member_count,
            power_levels: power_levels.as_ref(),
        };
        let predefined = match &parsed {
            Some(parsed) => Predefined::of(parsed, &context),
            None => return Err(RoomError::Damaged),
        };
        let thread = thread_of(rooms, db, event).await?;
        let room_id = room_id.to_owned();
        Ok(Self {
            thread: thread.into(),
            predefined,
            parsed: OnceLock::new(),
            room_id,
            power_levels,
        })
    }

    pub(crate) fn by_predefined_rules(
        &self,
        event: &Event,
        room: &RoomContext<'_>,
        user_id: &UserId,
    ) -> Verdict {
        if !self.predefined.may_name(user_id) {
            return self.predefined.others();
        }
        self.parsed(event).map_or_else(Verdict::default, |parsed| {
            self.predefined
                .for_user(parsed, &self.context(room), user_id)
        })
    }

    pub(crate) fn by_own_rules(
        &self,
        event: &Event,
        rules: &Ruleset,
        room: &RoomContext<'_>,
        user_id: &UserId,
    ) -> Verdict {
        let reader = protocol::push::Reader {
            user_id,
            display_name: None,
        };
        self.parsed(event).map_or_else(Verdict::default, |parsed| {
            evaluate(rules, parsed, &self.context(room), &reader)
        })
    }

    /// Bytes in memory, about: most are never parsed again.
    pub(crate) fn weight(&self) -> u64 {
        (size_of::<Self>() + self.room_id.as_str().len() + 256) as u64
    }

    fn context<'a>(&'a self, room: &RoomContext<'a>) -> RoomContext<'a> {
        RoomContext {
            power_levels: self.power_levels.as_ref(),
            ..*room
        }
    }

    fn parsed(&self, event: &Event) -> Option<&PushEvent> {
        self.parsed
            .get_or_init(|| PushEvent::new(event.json(), &self.room_id))
            .as_ref()
    }
}

fn wants_the_room(event: &Event) -> bool {
    let mentions = scan::member(event.content(), "m.mentions");
    mentions.is_some_and(|mentions| scan::member(mentions, "room") == Some("true"))
}

/// The thread that an event is in, directly or through what it relates to (client-server API, "Threading").
async fn thread_of(rooms: &Rooms, db: &Snapshot, event: &Event) -> Result<String, RoomError> {
    let main = || MAIN.to_owned();
    let Some(relation) = scan::member(event.content(), "m.relates_to") else {
        return Ok(main());
    };
    let Some(parent) = scan::string_member(relation, "event_id") else {
        return Ok(main());
    };
    if scan::string_member(relation, "rel_type").as_deref() == Some("m.thread") {
        return Ok(parent.into_owned());
    }
    let Ok(parent) = <&EventId>::try_from(&*parent) else {
        return Ok(main());
    };
    Ok(rooms
        .thread_of(db, event.room, parent)
        .await?
        .unwrap_or_else(main))
}
