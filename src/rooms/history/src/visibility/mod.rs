//! Who may see what (client-server API, "Room History Visibility"): the one place that decides it, used by `/messages`,
//! `/context`, single events, `/sync` and all that follows the rooms.
//!
//! `rules` holds the spec's rules; a [`Viewer`] brings them what they need: the visibility and the reader's membership in
//! the state before each event, looked up once for each distinct state, and the reader's own history, which is read only
//! where a rule asks for it.

mod rules;
mod server;
mod standing;

use std::{collections::HashMap, sync::Arc};

use database::{Placed, Position, Read, RoomNumber, Snapshot, StoreError, UserNumber};

pub use self::rules::HistoryVisibility;
use self::rules::{Sight, Subject};
pub use self::{
    server::ServerViewer,
    standing::{Departure, Standing},
};
use crate::handle::History;
use rooms_store::{
    Event, RoomError, RoomStore, member_key,
    state_map::{EventNumber, StateKeyNumber, StateRoot},
    tables::{MEMBER_HISTORY, MEMBERS, Member, Membership},
};

/// One reader of one room, with what was looked up for them so far. Made for one answer, from one snapshot.
#[derive(Debug)]
pub struct Viewer {
    room: RoomNumber,
    user: UserNumber,
    /// The reader's user id, once an event's state key had to be compared with it.
    user_id: Option<Arc<str>>,
    /// The reader's membership as of the snapshot.
    member: Option<Member>,
    /// Every membership that the reader had, oldest first; `None` until a rule asks.
    history: Option<Vec<(Position, Membership)>>,
    sights: HashMap<StateRoot, Sight>,
    /// The state key number of the visibility.
    visibility_key: Option<StateKeyNumber>,
    /// The last events that `sights` came from: most states share them.
    last_visibility: Option<(EventNumber, HistoryVisibility)>,
    last_membership: Option<(EventNumber, Membership)>,
}

impl History {
    /// The reader of a room's events. Costs one row; who has the row already makes it with [`Viewer::of_member`].
    pub async fn viewer(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        user: UserNumber,
    ) -> Result<Viewer, StoreError> {
        let row: Option<Placed<Member>> = db.get(MEMBERS.at((room, user))).await?;
        Ok(Viewer::of_member(room, user, row.map(|row| row.value)))
    }

    /// The history visibility in one state of a room.
    pub async fn history_visibility(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        root: StateRoot,
    ) -> Result<HistoryVisibility, RoomError> {
        let event = self
            .rooms
            .state_event(db, room, root, HistoryVisibility::KIND, "")
            .await?;
        Ok(event.map_or(HistoryVisibility::Shared, |event| {
            HistoryVisibility::of(&event)
        }))
    }
}

impl Viewer {
    /// A reader whose membership in the snapshot is known.
    pub fn of_member(room: RoomNumber, user: UserNumber, member: Option<Member>) -> Self {
        Self {
            room,
            user,
            user_id: None,
            member,
            history: None,
            sights: HashMap::new(),
            visibility_key: None,
            last_visibility: None,
            last_membership: None,
        }
    }

    pub fn room(&self) -> RoomNumber {
        self.room
    }

    pub fn user(&self) -> UserNumber {
        self.user
    }

    /// Which of the events the reader may see, in their order. Events that are not part of
    /// the timeline (rejected, soft-failed, outliers) are visible to nobody.
    pub async fn visible(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        events: &[Arc<Event>],
    ) -> Result<Vec<bool>, RoomError> {
        let mut visible = Vec::with_capacity(events.len());
        for event in events {
            visible.push(event.is_shown() && self.may_see(rooms, db, event).await?);
        }
        Ok(visible)
    }

    /// The reader's membership at each event, with what the event made of it: `unsigned.membership`.
    pub async fn memberships(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        events: &[Arc<Event>],
    ) -> Result<Vec<Membership>, RoomError> {
        let mut memberships = Vec::with_capacity(events.len());
        for event in events {
            let before = self.sight_before(rooms, db, event).await?.membership;
            memberships.push(match self.subject(rooms, db, event).await? {
                Subject::OwnMembership(after) => after,
                Subject::Visibility(_) | Subject::Other => before,
            });
        }
        Ok(memberships)
    }

    async fn may_see(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        event: &Event,
    ) -> Result<bool, RoomError> {
        let before = self.sight_before(rooms, db, event).await?;
        let subject = self.subject(rooms, db, event).await?;
        if rules::may_see(before, subject, false) {
            return Ok(true);
        }
        if !rules::may_see(before, subject, true) {
            return Ok(false);
        }
        self.was_joined_after(db, event.position).await
    }

    /// What the event itself changes of what the rules look at.
    async fn subject(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        event: &Event,
    ) -> Result<Subject, RoomError> {
        let Some(state_key) = event.state_key.as_deref() else {
            return Ok(Subject::Other);
        };
        if &*event.kind == HistoryVisibility::KIND && state_key.is_empty() {
            return Ok(Subject::Visibility(HistoryVisibility::of(event)));
        }
        if &*event.kind == "m.room.member" && self.is_own_id(rooms, db, state_key).await? {
            let after = event.membership.unwrap_or(Membership::Leave);
            return Ok(Subject::OwnMembership(after));
        }
        Ok(Subject::Other)
    }

    async fn is_own_id(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        user_id: &str,
    ) -> Result<bool, StoreError> {
        if self.user_id.is_none() {
            self.user_id = rooms.users().text(db, self.user).await?;
        }
        Ok(self.user_id.as_deref() == Some(user_id))
    }

    /// What the rules look at in the state before an event. A backfilled event has no state: the room's present visibility
    /// stands in, and nobody counts as a member.
    async fn sight_before(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        event: &Event,
    ) -> Result<Sight, RoomError> {
        if let Some(root) = event.state_before() {
            return self.sight(rooms, db, root).await;
        }
        let root = rooms.head(db, self.room).await?.state;
        let now = self.sight(rooms, db, root).await?;
        Ok(Sight {
            membership: Membership::Leave,
            ..now
        })
    }

    /// What the rules look at in one state; looked up once.
    async fn sight(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        root: StateRoot,
    ) -> Result<Sight, RoomError> {
        if let Some(sight) = self.sights.get(&root) {
            return Ok(*sight);
        }
        let visibility = self.visibility_in(rooms, db, root).await?;
        let membership = self.membership_in(rooms, db, root).await?;
        let sight = Sight {
            visibility,
            membership,
        };
        self.sights.insert(root, sight);
        Ok(sight)
    }

    async fn visibility_in(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        root: StateRoot,
    ) -> Result<HistoryVisibility, RoomError> {
        if self.visibility_key.is_none() {
            let numbers = rooms.numbers();
            self.visibility_key = numbers
                .find_state_key(db, HistoryVisibility::KIND, "")
                .await?;
        }
        let Some(key) = self.visibility_key else {
            return Ok(HistoryVisibility::Shared);
        };
        let Some(number) = rooms.states().get(db, self.room, root, key).await? else {
            return Ok(HistoryVisibility::Shared);
        };
        if let Some((last, visibility)) = self.last_visibility
            && last == number
        {
            return Ok(visibility);
        }
        let event = rooms.named_event(db, self.room, number).await?;
        let visibility = HistoryVisibility::of(&event);
        self.last_visibility = Some((number, visibility));
        Ok(visibility)
    }

    /// Who has no member event has left, in the words of the spec.
    async fn membership_in(
        &mut self,
        rooms: &RoomStore,
        db: &Snapshot,
        root: StateRoot,
    ) -> Result<Membership, RoomError> {
        let key = member_key(self.user);
        let Some(number) = rooms.states().get(db, self.room, root, key).await? else {
            return Ok(Membership::Leave);
        };
        if let Some(member) = &self.member
            && member.event == number
        {
            return Ok(member.membership);
        }
        if let Some((last, membership)) = self.last_membership
            && last == number
        {
            return Ok(membership);
        }
        let event = rooms.named_event(db, self.room, number).await?;
        let membership = event.membership.unwrap_or(Membership::Leave);
        self.last_membership = Some((number, membership));
        Ok(membership)
    }

    /// Whether the reader was joined at any time after this position. Who is joined now was.
    async fn was_joined_after(
        &mut self,
        db: &Snapshot,
        position: Position,
    ) -> Result<bool, RoomError> {
        if self
            .member
            .as_ref()
            .is_some_and(|member| member.membership == Membership::Join)
        {
            return Ok(true);
        }
        if self.history.is_none() {
            let rows = db
                .page(MEMBER_HISTORY.under((self.room, self.user)), usize::MAX)
                .await?;
            let history = rows
                .into_iter()
                .map(|((_, _, at), change)| (at, change.membership));
            self.history = Some(history.collect());
        }
        let history = self.history.as_deref().unwrap_or_default();
        Ok(rules::was_joined_after(history, position))
    }
}
