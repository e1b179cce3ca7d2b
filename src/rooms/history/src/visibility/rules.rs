//! The rules of the spec, as functions of what they look at (client-server API, "Room History Visibility", "Server
//! behaviour").

use database::Position;
use protocol::scan;

use rooms_store::{Event, tables::Membership};

/// The `history_visibility` of a room. What is missing or not understood is `shared`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryVisibility {
    WorldReadable,
    Shared,
    Invited,
    Joined,
}

/// What the rules look at in the state before an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) visibility: HistoryVisibility,
    /// The reader's.
    pub(super) membership: Membership,
}

/// What an event changes of what the rules look at: then it is seen by who may see it before *or* after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Visibility(HistoryVisibility),
    OwnMembership(Membership),
    Other,
}

impl HistoryVisibility {
    pub const KIND: &'static str = "m.room.history_visibility";

    /// What an event of this kind says.
    pub fn of(event: &Event) -> Self {
        match scan::string_member(event.content(), "history_visibility").as_deref() {
            Some("world_readable") => Self::WorldReadable,
            Some("invited") => Self::Invited,
            Some("joined") => Self::Joined,
            _ => Self::Shared,
        }
    }
}

/// Whether the reader may see an event; `joined_after`: they were joined at some time after it.
pub(super) fn may_see(before: Sight, subject: Subject, joined_after: bool) -> bool {
    let after = match subject {
        Subject::Visibility(visibility) => Sight {
            visibility,
            ..before
        },
        Subject::OwnMembership(membership) => Sight {
            membership,
            ..before
        },
        Subject::Other => return allows(before, joined_after),
    };
    allows(before, joined_after) || allows(after, joined_after)
}

fn allows(sight: Sight, joined_after: bool) -> bool {
    match (sight.visibility, sight.membership) {
        (HistoryVisibility::WorldReadable, _)
        | (_, Membership::Join)
        | (HistoryVisibility::Invited, Membership::Invite) => true,
        (HistoryVisibility::Shared, _) => joined_after,
        (HistoryVisibility::Invited | HistoryVisibility::Joined, _) => false,
    }
}

/// Whether a stay in the room lasted beyond this position. Also a stay that began before it: an event of another branch of
/// the room, which does not know the reader's join yet, is earlier history to them.
pub(super) fn was_joined_after(history: &[(Position, Membership)], position: Position) -> bool {
    history.iter().enumerate().any(|(at, (_, membership))| {
        let end = history.get(at + 1).map(|(end, _)| *end);
        *membership == Membership::Join && end.is_none_or(|end| end > position)
    })
}
