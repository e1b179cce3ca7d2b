//! All tables of published keys, with their writers and readers.

use std::collections::BTreeMap;

use database::{Position, Record, Table, TableInfo, UserNumber};
use serde::{Deserialize, Serialize};

/// The identity keys of a device. Written by `/keys/upload`; read by `/keys/query` and to verify
/// signatures.
pub static DEVICE_KEYS: Table<(UserNumber, String), DeviceKeysRow> = Table::new("device_keys");
/// Cross-signing keys by [`Usage`](super::Usage).
pub static CROSS_SIGNING_KEYS: Table<(UserNumber, u8), CrossSigningKeyRow> =
    Table::new("cross_signing_keys");
/// Verified signatures that were uploaded later than what they sign: by the user whose key is
/// signed, the user who signs, the signed key (device id or public master key) and the id of the
/// signing key. The order is that of who may see them.
pub static KEY_SIGNATURES: Table<(UserNumber, UserNumber, String, String), String> =
    Table::new("key_signatures");

/// Unclaimed one-time keys of a device by algorithm, in the order of upload. Written by upload and
/// claim.
pub static ONE_TIME_KEYS: Table<(UserNumber, String, String, Position), OneTimeKeyRow> =
    Table::new("one_time_keys");
/// Recently used ids of a device's keys, claimed keys included, so that a repeated upload is
/// idempotent.
pub static ONE_TIME_KEY_IDS: Table<(UserNumber, String, String), OneTimeKeyIdRow> =
    Table::new("one_time_key_ids");
/// The ids of claimed keys, oldest first, in the order in which they are deleted.
pub static CLAIMED_KEYS: Table<(UserNumber, String, Position), String> = Table::new("claimed_keys");
/// The number of one-time keys of a device. Read by every `/sync`, usually from the cache.
pub static KEY_COUNTS: Table<(UserNumber, String), KeyCountsRow> = Table::new("key_counts");
/// The fallback key of a device by algorithm.
pub static FALLBACK_KEYS: Table<(UserNumber, String, String), FallbackKeyRow> =
    Table::new("fallback_keys");

/// Identity keys as they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKeysRow {
    /// Canonical JSON without `signatures` and `unsigned`.
    pub signed: String,
    /// Unpadded Base64.
    pub ed25519: String,
    /// The owner's signatures that came with the keys, by the id of the signing key.
    pub signatures: BTreeMap<String, String>,
}

/// A cross-signing key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossSigningKeyRow {
    /// Canonical JSON of the signed part.
    pub signed: String,
    /// Unpadded Base64.
    pub public_key: String,
    /// The owner's signatures that came with the key, by the id of the signing key.
    pub signatures: BTreeMap<String, String>,
}

/// One unclaimed key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKeyRow {
    /// `<algorithm>:<id>`.
    pub id: String,
    /// Canonical JSON.
    pub json: String,
}

/// The state of an uploaded id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKeyIdRow {
    /// SHA-256 of the key's canonical JSON.
    pub digest: [u8; 32],
    pub is_claimed: bool,
}

/// The number of keys of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCountsRow {
    /// By algorithm. An algorithm stays, with zero, after its keys are claimed.
    pub unclaimed: BTreeMap<String, u64>,
    /// The number of stored claimed ids.
    pub claimed: u64,
}

/// A fallback key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackKeyRow {
    /// `<algorithm>:<id>`.
    pub id: String,
    /// Canonical JSON.
    pub json: String,
    /// Whether it was claimed.
    pub is_used: bool,
}

impl Record for DeviceKeysRow {}
impl Record for CrossSigningKeyRow {}
impl Record for OneTimeKeyRow {}
impl Record for OneTimeKeyIdRow {}
impl Record for KeyCountsRow {}
impl Record for FallbackKeyRow {}

pub(crate) fn tables() -> Vec<TableInfo> {
    vec![
        DEVICE_KEYS.info(),
        CROSS_SIGNING_KEYS.info(),
        KEY_SIGNATURES.info(),
        ONE_TIME_KEYS.info(),
        ONE_TIME_KEY_IDS.info(),
        CLAIMED_KEYS.info(),
        KEY_COUNTS.info(),
        FALLBACK_KEYS.info(),
    ]
}
