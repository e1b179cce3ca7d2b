//! Whose keys a client has to look at anew: `device_lists` of `/sync`, and `/keys/changes` (client-server API, "Tracking the
//! device list for a user").
//!
//! **Changed** are those who share a room with the user and changed their keys, or share one since the token; the user's own
//! devices; and whom the user signed. **Left** are those who shared a room at the token and share none now. Costs what
//! changed: a room without changed memberships is not looked at, and a server on which nobody's keys changed costs nothing.

use std::collections::{BTreeSet, HashSet};

use database::{Placed, Position, Read, RoomNumber, Snapshot, Stamp, StoreError, UserNumber};
use devices::device_lists::{log_since, signed_since};
use rooms_store::{
    Membership, member_of,
    state_map::Change,
    tables::{MEMBER_HISTORY, MEMBERS, USER_ROOMS},
};
use ruma::OwnedUserId;

use crate::{
    notifier::Changed,
    own_rooms::{OwnRoom, OwnRooms},
    request::SyncError,
    sync::{Parts, Sync},
};

/// Rows read at once.
const PAGE: usize = 1024;
/// Users whose rooms are read one by one; of more, the members of all own rooms are read instead.
const FEW: usize = 256;

/// Users by what a client has to do about them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DeviceLists {
    /// Their keys are to be read anew.
    pub changed: Vec<OwnedUserId>,
    /// Their keys need not be followed any more.
    pub left: Vec<OwnedUserId>,
}

impl DeviceLists {
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}

impl Sync {
    /// What changed for a user between a token's stamp and now.
    pub async fn device_lists(
        &self,
        user: UserNumber,
        since: Stamp,
    ) -> Result<DeviceLists, SyncError> {
        let parts = self.parts();
        let since = parts.rooms.store().clamp(since);
        let db = parts.notifier.snapshot().await?;
        let own = parts
            .own_rooms
            .get(&parts.rooms, &parts.notifier, &db, user)
            .await?;
        read(parts, &db, user, &own, since).await
    }
}

/// Who is looked for, and where.
struct Search<'a> {
    parts: &'a Parts,
    db: &'a Snapshot,
    user: UserNumber,
    own: &'a OwnRooms,
    since: Stamp,
}

/// Users of whom something is known so far.
#[derive(Default)]
struct Found {
    /// They share a room now, and may not have done so at the token.
    came: BTreeSet<UserNumber>,
    /// They shared a room at the token, and left it or were left in it.
    went: BTreeSet<UserNumber>,
}

pub(crate) async fn read(
    parts: &Parts,
    db: &Snapshot,
    user: UserNumber,
    own: &OwnRooms,
    since: Stamp,
) -> Result<DeviceLists, SyncError> {
    let search = Search {
        parts,
        db,
        user,
        own,
        since,
    };
    let mut found = Found::default();
    for room in &own.rooms {
        search.look_at(room, &mut found).await?;
    }
    let mut changed = found.came;
    let went: Vec<UserNumber> = found.went.difference(&changed).copied().collect();
    let sharing = search.sharing(&went).await?;
    let left: Vec<UserNumber> = went
        .into_iter()
        .filter(|user| !sharing.contains(user))
        .collect();
    changed.extend(search.changed_keys().await?);
    if parts.notifier.user_changed(user, since) != Changed::No {
        changed.extend(signed_since(db, user, since).await?);
    }
    Ok(DeviceLists {
        changed: search.ids(&changed.into_iter().collect::<Vec<_>>()).await?,
        left: search.ids(&left).await?,
    })
}

impl Search<'_> {
    async fn look_at(&self, room: &OwnRoom, found: &mut Found) -> Result<(), SyncError> {
        let is_new = room.since.0 > self.since;
        let is_joined = room.row.membership == Membership::Join;
        if !is_new && !is_joined {
            return Ok(());
        }
        let was_joined = !is_new || self.was_joined(room.number, self.user).await?;
        match (was_joined, is_joined) {
            (true, true) => {
                for (member, before, after) in self.changed_members(room.number).await? {
                    if before && !after {
                        found.went.insert(member);
                    } else if after && !before {
                        found.came.insert(member);
                    }
                }
            }
            (false, true) => {
                let members = self.members(room.number).await?;
                found
                    .came
                    .extend(members.into_iter().map(|(member, _)| member));
            }
            (true, false) => {
                let members = self.members(room.number).await?;
                let unchanged = members.into_iter().filter(|(_, at)| at.0 <= self.since);
                found.went.extend(unchanged.map(|(member, _)| member));
                let changed = self.changed_members(room.number).await?.into_iter();
                let were_joined = changed.filter(|(_, before, _)| *before);
                found.went.extend(were_joined.map(|(member, ..)| member));
            }
            (false, false) => {}
        }
        Ok(())
    }

    /// Whose member event changed between the token and now: whether they were joined then, and whether they are now.
    async fn changed_members(
        &self,
        room: RoomNumber,
    ) -> Result<Vec<(UserNumber, bool, bool)>, SyncError> {
        let Parts {
            rooms,
            history,
            notifier,
            recent,
            ..
        } = self.parts;
        if notifier.room_changed(room, self.since) == Changed::No {
            return Ok(Vec::new());
        }
        let recent = recent.get(history, notifier, self.db, room).await?;
        let before = recent.state_at(history, self.db, room, self.since).await?;
        let mut changed = Vec::new();
        for change in rooms
            .states()
            .diff(self.db, room, before, recent.state)
            .await?
        {
            let member = member_of(change.key).filter(|member| *member != self.user);
            if let Some(member) = member {
                let (before, after) = self.joined(room, change).await?;
                changed.push((member, before, after));
            }
        }
        Ok(changed)
    }

    /// Whether somebody was in a room before a change of their membership, and after it.
    async fn joined(&self, room: RoomNumber, change: Change) -> Result<(bool, bool), SyncError> {
        let mut joined = [false; 2];
        for (joined, event) in joined.iter_mut().zip([change.before, change.after]) {
            let Some(event) = event else { continue };
            let event = self.parts.rooms.named_event(self.db, room, event).await?;
            *joined = event.membership == Some(Membership::Join);
        }
        Ok((joined[0], joined[1]))
    }

    /// Whether somebody was in a room at the token.
    async fn was_joined(&self, room: RoomNumber, user: UserNumber) -> Result<bool, StoreError> {
        let history = MEMBER_HISTORY.under((room, user));
        let until = (room, user, Position::last_of(self.since));
        let last = self.db.first(history.through(until).reversed()).await?;
        Ok(last.is_some_and(|(_, change)| change.membership == Membership::Join))
    }

    /// The others who are in a room now, with the positions of their memberships.
    async fn members(&self, room: RoomNumber) -> Result<Vec<(UserNumber, Position)>, StoreError> {
        let mut members = Vec::new();
        let mut rows = MEMBERS.under(room);
        loop {
            let page = self.db.page(rows, PAGE).await?;
            let last = page.last().map(|((_, user), _)| *user);
            let is_last = page.len() < PAGE;
            let joined = page.into_iter().filter(|((_, user), row)| {
                *user != self.user && row.value.membership == Membership::Join
            });
            members.extend(joined.map(|((_, user), Placed { position, .. })| (user, position)));
            match last {
                Some(last) if !is_last => rows = MEMBERS.under(room).after((room, last)),
                _ => return Ok(members),
            }
        }
    }

    /// Who, of those who share a room now, changed keys; and the user.
    async fn changed_keys(&self) -> Result<Vec<UserNumber>, StoreError> {
        if !self.parts.notifier.device_lists_changed(self.since) {
            return Ok(Vec::new());
        }
        let mut changed = Vec::new();
        let mut since = self.since;
        loop {
            let page = log_since(self.db, since, PAGE).await?;
            // One entry is one commit, so a page ends between stamps.
            since = page.last().map_or(since, |(position, _)| position.0);
            let is_last = page.len() < PAGE;
            changed.extend(page.into_iter().map(|(_, user)| user));
            if is_last {
                break;
            }
        }
        let sharing = self.sharing(&changed).await?;
        changed.retain(|user| *user == self.user || sharing.contains(user));
        Ok(changed)
    }

    /// Which of these users are in a room with the user now.
    async fn sharing(&self, users: &[UserNumber]) -> Result<HashSet<UserNumber>, StoreError> {
        let own: HashSet<RoomNumber> = self
            .own
            .rooms
            .iter()
            .filter(|room| room.row.membership == Membership::Join)
            .map(|room| room.number)
            .collect();
        let mut sharing = HashSet::new();
        if users.len() > FEW {
            for room in own {
                sharing.extend(self.members(room).await?.into_iter().map(|(user, _)| user));
            }
            return Ok(sharing);
        }
        for user in users {
            let rooms = self.db.page(USER_ROOMS.under(*user), usize::MAX).await?;
            let is_sharing = rooms.iter().any(|((_, room), row)| {
                row.value.membership == Membership::Join && own.contains(room)
            });
            if is_sharing {
                sharing.insert(*user);
            }
        }
        Ok(sharing)
    }

    async fn ids(&self, users: &[UserNumber]) -> Result<Vec<OwnedUserId>, SyncError> {
        let texts = self.parts.users.texts(self.db, users).await?;
        let ids = texts
            .into_iter()
            .flatten()
            .map(|id| OwnedUserId::try_from(&*id));
        Ok(ids
            .collect::<Result<_, _>>()
            .map_err(|_| StoreError::Corrupt("user_ids holds what is no user id"))?)
    }
}
