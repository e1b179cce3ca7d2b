//! The passing of time: devices fall silent, users become idle, and what changed is published.

use std::collections::HashSet;

use database::UserNumber;

use super::{Board, KEPT, USER_EVERY, user::NEVER};
use crate::tables::PresenceRow;

/// Nothing is published for so long after the last time, in milliseconds.
const ALL_EVERY: u64 = 500;
/// Members online in a room beyond which presence is not spread through it: the count is.
pub(super) const LARGE: u32 = 1000;
/// Users looked at before others may use the board.
const CHUNK: usize = 4096;

/// What a tick published.
#[derive(Debug, Default)]
pub(crate) struct Publication {
    /// Whose `/sync` may have new presence.
    pub(crate) presence: HashSet<UserNumber>,
    /// Whose `/sync` may have new counts.
    pub(crate) online: HashSet<UserNumber>,
    /// The users whose state was published.
    pub(crate) users: Vec<UserNumber>,
    /// The newest change that was published.
    pub(crate) counter: u64,
    /// To be written to disk.
    pub(crate) rows: Vec<(UserNumber, PresenceRow)>,
}

impl Board {
    /// Applies what time did, a chunk at a time. Returns whether there is more.
    pub(crate) fn tick(&mut self, now: u64, publication: &mut Publication) -> bool {
        let mut looked_at = 0;
        while let Some((at, number)) = self.deadlines.first().copied()
            && at <= now
        {
            if looked_at == CHUNK {
                return true;
            }
            looked_at += 1;
            self.refresh(number, now);
            self.tell(number, now, publication);
        }
        if now >= self.next_publication {
            while let Some(room) = self.rooms.next_due(&mut self.counter, now) {
                publication.online.extend(&room.present);
            }
        }
        publication.counter = self.counter;
        if !publication.presence.is_empty() || !publication.online.is_empty() {
            self.next_publication = now + ALL_EVERY;
        }
        self.forget_offline();
        false
    }

    /// When the task that ticks shall wake up.
    pub(crate) fn sleep(&mut self) -> Option<u64> {
        let next = self.next_tick();
        self.sleeps_until = next.unwrap_or(NEVER);
        next
    }

    /// When the next tick has something to do.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        let users = self.deadlines.first().map(|(at, _)| *at);
        let rooms = self.rooms.due.first();
        let rooms = rooms.map(|(at, _)| (*at).max(self.next_publication));
        users.into_iter().chain(rooms).min()
    }

    /// Publishes a user's state, if it changed and it is time.
    fn tell(&mut self, number: UserNumber, now: u64, publication: &mut Publication) {
        let not_before = self.next_publication;
        let Some(user) = self.users.get_mut(&number) else {
            return;
        };
        if user.is_published(now) || now < not_before || now < user.published_at + USER_EVERY {
            return;
        }
        if user.changed_at != 0 {
            self.log.remove(&user.changed_at);
        }
        self.counter += 1;
        user.changed_at = self.counter;
        self.log.insert(self.counter, number);
        user.published = user.view(now);
        user.published_at = now;
        user.forced = false;
        if user.stored != user.state {
            user.stored = user.state;
            publication.rows.push((number, user.row()));
        }
        publication.users.push(number);
        publication.presence.insert(number);
        for room in &user.rooms {
            if let Some(room) = self.rooms.get(*room)
                && room.online <= LARGE
            {
                publication.presence.extend(&room.present);
            }
        }
        self.refresh(number, now);
    }

    /// Drops the offline users whose change is the oldest, down to half of the bound.
    fn forget_offline(&mut self) {
        if self.users.len() - self.listed <= KEPT {
            return;
        }
        let mut too_many = self.users.len() - self.listed - KEPT / 2;
        let Self {
            log, users, floor, ..
        } = self;
        log.retain(|at, number| {
            let is_kept = users
                .get(number)
                .is_some_and(|user| user.listed || user.deadline != NEVER);
            if is_kept || too_many == 0 {
                return true;
            }
            users.remove(number);
            *floor = (*floor).max(*at);
            too_many -= 1;
            false
        });
    }
}
