//! The sessions of a backup as JSON, a page at a time, all as one snapshot shows them.

use ::devices::{
    Devices,
    key_backup::{self, BackupError, SessionRow, Sessions},
};
use database::{Snapshot, UserNumber};
use edge::{ApiError, PageSource};
use rooms_history::client_json::write_text;
use users::Users;

use super::{refuse, write_session};

pub(super) struct SessionPages {
    db: Snapshot,
    sessions: Sessions,
    written: Written,
}

/// The JSON so far.
enum Written {
    /// Nothing of all rooms.
    NoRooms,
    /// Nothing of the sessions of one room.
    NoSessions,
    /// The sessions of this room are open, and it is one of many.
    Room(String),
    /// The sessions of one room are open.
    Sessions,
    All,
}

impl SessionPages {
    /// All sessions, or those of one room, of a backup that exists.
    pub(super) async fn open(
        users: &Users,
        devices: &Devices,
        user: UserNumber,
        version: u64,
        room: Option<String>,
    ) -> Result<Self, ApiError> {
        let db = users.snapshot().await?;
        if key_backup::version(&db, user, version).await?.is_none() {
            return Err(refuse(BackupError::NotFound));
        }
        let written = match room {
            Some(_) => Written::NoSessions,
            None => Written::NoRooms,
        };
        Ok(Self {
            db,
            sessions: devices.backup_sessions(user, version, room),
            written,
        })
    }

    fn write(&mut self, out: &mut Vec<u8>, room: String, session: &str, row: &SessionRow) {
        match &self.written {
            Written::NoRooms => {
                out.extend_from_slice(br#"{"rooms":{"#);
                open_room(out, &room);
                self.written = Written::Room(room);
            }
            Written::Room(open) if *open != room => {
                out.extend_from_slice(b"}},");
                open_room(out, &room);
                self.written = Written::Room(room);
            }
            Written::NoSessions => {
                out.extend_from_slice(br#"{"sessions":{"#);
                self.written = Written::Sessions;
            }
            Written::Room(_) | Written::Sessions | Written::All => out.push(b','),
        }
        write_name(out, session);
        write_session(out, row);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let end: &[u8] = match &self.written {
            Written::NoRooms => br#"{"rooms":{}}"#,
            Written::NoSessions => br#"{"sessions":{}}"#,
            Written::Room(_) => b"}}}}",
            Written::Sessions => b"}}",
            Written::All => b"",
        };
        out.extend_from_slice(end);
        self.written = Written::All;
    }
}

impl PageSource for SessionPages {
    async fn next_page(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        if matches!(self.written, Written::All) {
            return Ok(None);
        }
        let page = self.sessions.next_page(&self.db).await?;
        let mut out = Vec::new();
        for (room, session, row) in page {
            self.write(&mut out, room, &session, &row);
        }
        if self.sessions.is_done() {
            self.close(&mut out);
        }
        Ok(Some(out))
    }
}

fn open_room(out: &mut Vec<u8>, room: &str) {
    write_name(out, room);
    out.extend_from_slice(br#"{"sessions":{"#);
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    write_text(out, name);
    out.push(b':');
}
