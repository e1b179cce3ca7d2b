//! The tables of this crate.

use database::{Millis, Record, Table, TableInfo, UserNumber};
use serde::{Deserialize, Serialize};

use crate::state::PresenceState;

/// The last state of each user who ever was online. Written by `PUT /presence`, and in batches when
/// a state changes; read for users who are not in memory.
pub static PRESENCE: Table<UserNumber, PresenceRow> = Table::new("presence");
/// The users whose last state is not offline. Read at start: they go offline unless they come back.
pub static PRESENT_USERS: Table<UserNumber, ()> = Table::new("present_users");

/// The last state of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceRow {
    pub state: PresenceState,
    pub status_msg: Option<String>,
    /// When the user was last active; zero where that is unknown.
    pub last_active: Millis,
}

impl Record for PresenceRow {}

/// All tables of this crate, for docs/database.md.
pub fn tables() -> Vec<TableInfo> {
    vec![PRESENCE.info(), PRESENT_USERS.info()]
}
