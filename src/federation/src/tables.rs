//! The rows of this server's own keys.

use std::fmt;

use database::{Record, Table, TableInfo};
use serde::{Deserialize, Serialize};

/// This server's signing keys by key id, such as `ed25519:a_x7Kp`. Written at first start; a key that was replaced stays, with
/// the time of that, because others must still be able to check what it signed.
pub(crate) static SIGNING_KEYS: Table<String, StoredKey> = Table::new("signing_keys");

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

impl Record for StoredKey {}

/// Without the private key.
impl fmt::Debug for StoredKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StoredKey")
            .field("created", &self.created)
            .field("replaced", &self.replaced)
            .finish_non_exhaustive()
    }
}

/// The tables that this crate writes.
pub fn tables() -> Vec<TableInfo> {
    vec![SIGNING_KEYS.info()]
}
