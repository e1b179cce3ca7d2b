//! Keys that devices and users publish: client-server API, "Key Distribution" and "Cross-signing".

mod claim;
mod cross_signing;
mod error;
mod forget;
mod one_time;
mod query;
mod shape;
mod signatures;
mod signing;
mod tables;
mod upload;

pub use self::{
    claim::{Claim, ClaimedKey},
    cross_signing::{Authorization, CrossSigningUpload},
    error::KeyError,
    forget::drop_one_time_keys,
    query::{Reader, UserKeys, query},
    shape::{
        CURVE25519, CrossSigningKey, DeviceKeys, ED25519, OneTimeKey, SIGNED_CURVE25519,
        SignedObject, Usage,
    },
    signatures::SignedKey,
    tables::{
        CLAIMED_KEYS, CROSS_SIGNING_KEYS, CrossSigningKeyRow, DEVICE_KEYS, DeviceKeysRow,
        FALLBACK_KEYS, FallbackKeyRow, KEY_COUNTS, KEY_SIGNATURES, KeyCountsRow, ONE_TIME_KEY_IDS,
        ONE_TIME_KEYS, OneTimeKeyIdRow, OneTimeKeyRow,
    },
    upload::KeyUpload,
};
pub(crate) use self::{
    forget::{forget_all_devices, forget_device, forget_user},
    query::is_cross_signing_key,
    tables::tables,
    upload::store,
};
