//! What another server may see of a room that it is in: the same rules as for users, where a server stands for all of its users
//! (server-server API, "Backfilling and retrieving missing events").

use std::collections::HashMap;

use database::{Read, RoomNumber, Snapshot, UserNumber};
use ruma::{OwnedServerName, ServerName, UserId};

use super::HistoryVisibility;
use crate::handle::History;
use rooms_store::{
    Event, RoomError, RoomStore, member_key,
    state_map::StateRoot,
    tables::{Membership, SERVER_USERS},
};

/// A server that reads a room. Made for one answer, from one snapshot; the caller has checked that a user of the server is joined.
pub struct ServerViewer {
    room: RoomNumber,
    server: OwnedServerName,
    /// Users of the server that have, or had, a membership in the room; `None` until a rule asks.
    users: Option<Vec<UserNumber>>,
    /// Whether a user of the server was in the room, by state and visibility.
    present: HashMap<(StateRoot, bool), bool>,
    /// The user who was found last: most states share them.
    last: Option<UserNumber>,
    lookups_left: usize,
}

/// Users of one server that are looked for in a state.
const MOST_USERS: usize = 1_000;
/// Memberships that are looked up for one answer. What is not decided by then is not shown.
const MOST_LOOKUPS: usize = 20_000;

impl History {
    /// The reader of a room on behalf of a server that has joined it.
    pub fn server_viewer(&self, room: RoomNumber, server: &ServerName) -> ServerViewer {
        ServerViewer {
            room,
            server: server.to_owned(),
            users: None,
            present: HashMap::new(),
            last: None,
            lookups_left: MOST_LOOKUPS,
        }
    }
}

impl ServerViewer {
    /// Whether the server may see the content of an event. What it may not see is redacted, because the graph must stay whole.
    pub async fn may_see(
        &mut self,
        history: &History,
        db: &Snapshot,
        event: &Event,
    ) -> Result<bool, RoomError> {
        if event.sender.server_name() == self.server || self.is_about_own_user(event) {
            return Ok(true);
        }
        let before = match event.state_before() {
            Some(root) => root,
            // An event without a state is seen by the rules of now.
            None => history.rooms.head(db, event.room).await?.state,
        };
        let mut visibility = history.history_visibility(db, self.room, before).await?;
        if &*event.kind == HistoryVisibility::KIND && event.state_key.as_deref() == Some("") {
            visibility = more_open(visibility, HistoryVisibility::of(event));
        }
        match visibility {
            // The server is in the room now, so it was after the event.
            HistoryVisibility::WorldReadable | HistoryVisibility::Shared => Ok(true),
            HistoryVisibility::Invited | HistoryVisibility::Joined => match event.state_before() {
                Some(root) => {
                    let with_invited = visibility == HistoryVisibility::Invited;
                    self.is_present(&history.rooms, db, root, with_invited)
                        .await
                }
                None => Ok(false),
            },
        }
    }

    fn is_about_own_user(&self, event: &Event) -> bool {
        let user = event
            .state_key
            .as_deref()
            .filter(|_| &*event.kind == "m.room.member");
        let user = user.and_then(|user| UserId::parse(user).ok());
        user.is_some_and(|user| user.server_name() == self.server)
    }

    async fn is_present(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        root: StateRoot,
        with_invited: bool,
    ) -> Result<bool, RoomError> {
        if let Some(known) = self.present.get(&(root, with_invited)) {
            return Ok(*known);
        }
        if self.users.is_none() {
            let rows = SERVER_USERS.under((self.room, self.server.as_str()));
            let rows = db.page(rows, MOST_USERS).await?;
            self.users = Some(rows.into_iter().map(|((_, _, user), ())| user).collect());
        }
        let users = self.users.clone().unwrap_or_default();
        let mut found = None;
        for user in self.last.into_iter().chain(users) {
            if self.lookups_left == 0 {
                return Ok(false);
            }
            self.lookups_left -= 1;
            let Some(number) = rooms
                .states()
                .get(db, self.room, root, member_key(user))
                .await?
            else {
                continue;
            };
            let membership = rooms.named_event(db, self.room, number).await?.membership;
            let counts = match membership {
                Some(Membership::Join) => true,
                Some(Membership::Invite) => with_invited,
                _ => false,
            };
            if counts {
                found = Some(user);
                break;
            }
        }
        self.last = found.or(self.last);
        self.present.insert((root, with_invited), found.is_some());
        Ok(found.is_some())
    }
}

/// What shows more: an event that changes the visibility is seen by who may see it before or after.
fn more_open(one: HistoryVisibility, other: HistoryVisibility) -> HistoryVisibility {
    let openness = |visibility| match visibility {
        HistoryVisibility::WorldReadable => 3,
        HistoryVisibility::Shared => 2,
        HistoryVisibility::Invited => 1,
        HistoryVisibility::Joined => 0,
    };
    if openness(one) >= openness(other) {
        one
    } else {
        other
    }
}
