//! Who finds whom: client-server API, "User Directory". `users` knows the names; here it is decided whom the searcher may find:
//! who shares a room with them, and the members of rooms that everybody may join or read.
//!
//! Found and shown is what a profile says. The names that somebody has in single rooms are for those rooms alone.

use std::collections::{HashMap, HashSet};

use database::{Read, RoomNumber, Snapshot, StoreError, UserNumber};
use users::{FoundUser, NameSearch};

use crate::handle::RoomDirectory;
use rooms_store::tables::{Membership, OPEN_ROOMS, USER_ROOMS};

/// Accounts in one answer.
const LONGEST_ANSWER: usize = 50;
/// Accounts that are ranked: with so many the search ends.
const MOST_FOUND: usize = 200;
/// Rows of accounts and of their rooms that one search looks at.
const MOST_ROWS: usize = 20_000;
/// Rows read at once.
const PAGE: usize = 128;

/// The answer to a search, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserSearch {
    pub results: Vec<FoundUser>,
    /// There may be more.
    pub limited: bool,
}

/// What one search knows of rooms, and how much it may still look at.
struct Acquaintances<'a> {
    db: &'a Snapshot,
    own_rooms: HashSet<RoomNumber>,
    open_rooms: HashMap<RoomNumber, bool>,
    rows_left: usize,
}

/// Why the searcher may find somebody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Acquaintance {
    Stranger,
    InOpenRoom,
    SharesRoom,
}

impl RoomDirectory {
    /// Accounts, without the searcher's own, of which each word of `term` begins a word of the name or of the user id.
    pub async fn search_users(
        &self,
        searcher: UserNumber,
        term: &str,
        limit: usize,
    ) -> Result<UserSearch, StoreError> {
        let limit = limit.min(LONGEST_ANSWER);
        let Some(mut search) = NameSearch::new(term) else {
            return Ok(UserSearch::default());
        };
        let db = self.rooms.snapshot().await?;
        let mut known = Acquaintances {
            db: &db,
            own_rooms: joined_rooms(&db, searcher).await?,
            open_rooms: HashMap::new(),
            rows_left: MOST_ROWS,
        };
        let mut found = Vec::new();
        while let Some(users) = search.next(self.rooms.users(), &db).await? {
            known.spend(PAGE);
            for user in users.into_iter().filter(|user| user.number != searcher) {
                let acquaintance = known.look_at(user.number).await?;
                if acquaintance != Acquaintance::Stranger {
                    found.push((acquaintance, user));
                }
            }
            if found.len() >= MOST_FOUND || known.rows_left == 0 {
                break;
            }
        }
        let is_whole = search.has_ended() && known.rows_left > 0;
        found.sort_by_key(|(acquaintance, user)| {
            let has_profile = (user.display_name.is_some(), user.avatar_url.is_some());
            std::cmp::Reverse((user.is_exact, *acquaintance, has_profile))
        });
        let limited = found.len() > limit || !is_whole;
        let results = found.into_iter().take(limit).map(|(_, user)| user);
        Ok(UserSearch {
            results: results.collect(),
            limited,
        })
    }
}

impl Acquaintances<'_> {
    fn spend(&mut self, rows: usize) {
        self.rows_left = self.rows_left.saturating_sub(rows);
    }

    async fn look_at(&mut self, user: UserNumber) -> Result<Acquaintance, StoreError> {
        let mut last = None;
        while self.rows_left > 0 {
            let rows = match last {
                None => USER_ROOMS.under(user),
                Some(last) => USER_ROOMS.under(user).after((user, last)),
            };
            let page = self.db.page(rows, PAGE).await?;
            self.spend(page.len().max(1));
            let is_joined = |membership| membership == Membership::Join;
            let joined: Vec<RoomNumber> = page
                .iter()
                .filter(|(_, row)| is_joined(row.value.membership))
                .map(|((_, room), _)| *room)
                .collect();
            if joined.iter().any(|room| self.own_rooms.contains(room)) {
                return Ok(Acquaintance::SharesRoom);
            }
            if self.is_any_open(&joined).await? {
                return Ok(Acquaintance::InOpenRoom);
            }
            match page.last() {
                Some(((_, room), _)) if page.len() == PAGE => last = Some(*room),
                _ => return Ok(Acquaintance::Stranger),
            }
        }
        Ok(Acquaintance::Stranger)
    }

    async fn is_any_open(&mut self, rooms: &[RoomNumber]) -> Result<bool, StoreError> {
        let is_known = |room: &&RoomNumber| self.open_rooms.contains_key(room);
        let unknown: Vec<RoomNumber> = rooms.iter().filter(|r| !is_known(r)).copied().collect();
        let rows = unknown.iter().map(|room| OPEN_ROOMS.at(*room)).collect();
        let found = self.db.get_many(rows).await?;
        let found = found.into_iter().map(|row| row.is_some());
        self.open_rooms.extend(unknown.into_iter().zip(found));
        Ok(rooms
            .iter()
            .any(|room| self.open_rooms.get(room) == Some(&true)))
    }
}

async fn joined_rooms(db: &Snapshot, user: UserNumber) -> Result<HashSet<RoomNumber>, StoreError> {
    let mut joined = HashSet::new();
    let mut last = None;
    loop {
        let rows = match last {
            None => USER_ROOMS.under(user),
            Some(last) => USER_ROOMS.under(user).after((user, last)),
        };
        let page = db.page(rows, PAGE).await?;
        last = page.last().map(|((_, room), _)| *room);
        let is_last = page.len() < PAGE;
        let rows = page.into_iter();
        joined.extend(
            rows.filter(|(_, row)| row.value.membership == Membership::Join)
                .map(|((_, room), _)| room),
        );
        if is_last {
            return Ok(joined);
        }
    }
}
