//! Reading the sessions of a backup, a page at a time: a backup may be larger than memory.

use database::{Read, Rows, StoreError, UserNumber};

use super::tables::{BACKUP_SESSIONS, SessionRow};
use crate::handle::Devices;

/// The selected sessions of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    All,
    Room(&'a str),
    Session(&'a str, &'a str),
}

type Key = (UserNumber, u64, String, String);

/// A cursor over the sessions of a backup, in the order of room and session id. It reads from the
/// snapshot that is passed with each call.
#[derive(Debug)]
pub struct Sessions {
    user: UserNumber,
    version: u64,
    room: Option<String>,
    rows: usize,
    last: Option<(String, String)>,
    is_done: bool,
}

/// The maximum bytes of `session_data` in a page.
const PAGE_BYTES: usize = 1024 * 1024;
/// Sessions of a page; fewer if some might be large.
const MOST_ROWS: usize = 256;

impl Devices {
    /// All sessions of a backup, or those of one room. A page holds 1 MiB of them at most.
    pub fn backup_sessions(
        &self,
        user: UserNumber,
        version: u64,
        room: Option<String>,
    ) -> Sessions {
        let largest = self.0.limits.session_bytes.max(1);
        Sessions {
            user,
            version,
            room,
            rows: (PAGE_BYTES / largest).clamp(1, MOST_ROWS),
            last: None,
            is_done: false,
        }
    }
}

impl Sessions {
    /// The next sessions as (room, session id, session); empty at the end.
    pub async fn next_page(
        &mut self,
        db: &impl Read,
    ) -> Result<Vec<(String, String, SessionRow)>, StoreError> {
        if self.is_done {
            return Ok(Vec::new());
        }
        let scope = self.room.as_deref().map_or(Scope::All, Scope::Room);
        let rows = page_after(self.user, self.version, scope, self.last.as_ref());
        let page = db.page(rows, self.rows).await?;
        self.is_done = page.len() < self.rows;
        self.last = page
            .last()
            .map(|((_, _, room, session), _)| (room.clone(), session.clone()));
        Ok(page
            .into_iter()
            .map(|((_, _, room, session), row)| (room, session, row))
            .collect())
    }

    /// Whether the last page was the last one.
    pub fn is_done(&self) -> bool {
        self.is_done
    }
}

/// One session of a backup.
pub async fn session(
    db: &impl Read,
    user: UserNumber,
    version: u64,
    room: &str,
    session: &str,
) -> Result<Option<SessionRow>, StoreError> {
    db.get(BACKUP_SESSIONS.at((user, version, room, session)))
        .await
}

pub(super) fn page_after(
    user: UserNumber,
    version: u64,
    scope: Scope<'_>,
    last: Option<&(String, String)>,
) -> Rows<Key, SessionRow> {
    let rows = match scope {
        Scope::All => BACKUP_SESSIONS.under((user, version)),
        Scope::Room(room) | Scope::Session(room, _) => BACKUP_SESSIONS.under((user, version, room)),
    };
    match last {
        Some((room, session)) => rows.after((user, version, room, session)),
        None => rows,
    }
}
