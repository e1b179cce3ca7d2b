//! The rows of this server's own keys, of other servers' keys, and of servers that do not answer.

use std::fmt;

use database::{Read, Record, StoreError, Table, TableInfo};
use serde::{Deserialize, Serialize};

/// This server's signing keys by key id, such as `ed25519:a_x7Kp`. Written at first start and by a rotation; a key that was
/// replaced stays, with the time of that, because others must still be able to check what it signed.
pub(crate) static SIGNING_KEYS: Table<String, StoredKey> = Table::new("signing_keys");

/// The keys of other servers by server name. Written when keys are fetched, from the server itself or from a trusted key server.
pub(crate) static SERVER_KEYS: Table<String, ServerKeysRow> = Table::new("server_keys");

/// How many rows `server_keys` has, under the table's name. Beyond a limit, a new server replaces one whose keys were fetched long
/// ago.
pub(crate) static SERVER_KEYS_COUNT: Table<String, u64> = Table::new("server_keys_count");

/// Servers that do not answer, by server name. Written with each failed attempt; the row is deleted when the server answers, or
/// sends a request.
pub(crate) static UNREACHABLE_SERVERS: Table<String, UnreachableRow> =
    Table::new("unreachable_servers");

/// One signing key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// The 32 bytes of the private key.
    pub seed: [u8; 32],
    /// Unix milliseconds.
    pub created: u64,
    /// Unix milliseconds since when it signs nothing any more; `None` for the key in use.
    pub replaced: Option<u64>,
}

/// What is known of another server's keys. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeysRow {
    /// Also keys that the server publishes no more, which its old events need.
    pub keys: Vec<ServerKeyRow>,
    /// The newest document of the server in canonical JSON, as a notary passes it on.
    pub document: String,
    /// The document's `valid_until_ts`.
    pub valid_until: u64,
    pub fetched: u64,
}

/// A public key of another server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeyRow {
    pub id: String,
    pub public: [u8; 32],
    /// At most seven days after it was fetched.
    pub valid_until: u64,
    /// When the server stopped using it.
    pub expired: Option<u64>,
}

/// Since when a server does not answer. Times are Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachableRow {
    pub since: u64,
    /// Failed attempts in a row.
    pub failures: u32,
    pub retry_at: u64,
}

impl Record for StoredKey {}
impl Record for ServerKeysRow {}
impl Record for UnreachableRow {}

/// Without the private key.
impl fmt::Debug for StoredKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StoredKey")
            .field("created", &self.created)
            .field("replaced", &self.replaced)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerKeyRow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServerKeyRow")
            .field("id", &self.id)
            .field("valid_until", &self.valid_until)
            .field("expired", &self.expired)
            .finish_non_exhaustive()
    }
}

/// Since when a server does not answer, as it is on disk.
pub async fn unreachable(
    db: &impl Read,
    server: &str,
) -> Result<Option<UnreachableRow>, StoreError> {
    db.get(UNREACHABLE_SERVERS.at(server)).await
}

/// The tables that this crate writes.
pub fn tables() -> Vec<TableInfo> {
    vec![
        SIGNING_KEYS.info(),
        SERVER_KEYS.info(),
        SERVER_KEYS_COUNT.info(),
        UNREACHABLE_SERVERS.info(),
    ]
}
