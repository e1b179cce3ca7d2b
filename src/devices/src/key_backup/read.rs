//! Reading the sessions of a backup, a page at a time: a backup may be larger than memory.

use database::{Read, Rows, StoreError, UserNumber};

use super::tables::{BACKUP_SESSIONS, SessionRow};

/// Which sessions of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    All,
    Room(&'a str),
    Session(&'a str, &'a str),
}

type Key = (UserNumber, u64, String, String);

/// Walks the sessions of a backup in the order of room and session id.
#[derive(Debug)]
pub struct Sessions {
    user: UserNumber,
    version: u64,
    room: Option<String>,
    last: Option<(String, String)>,
    is_done: bool,
}

/// Sessions read at once: some hundred kilobytes.
const PAGE: usize = 256;

impl Sessions {
    pub fn new(user: UserNumber, version: u64, room: Option<String>) -> Self {
        Self {
            user,
            version,
            room,
            last: None,
            is_done: false,
        }
    }

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
        let page = db.page(rows, PAGE).await?;
        self.is_done = page.len() < PAGE;
        self.last = page
            .last()
            .map(|((_, _, room, session), _)| (room.clone(), session.clone()));
        Ok(page
            .into_iter()
            .map(|((_, _, room, session), row)| (room, session, row))
            .collect())
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
