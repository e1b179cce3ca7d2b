//! Errors of published keys.

use database::StoreError;

/// Why a key, or an upload of keys, was refused. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The format is invalid.
    #[error("{0}")]
    Shape(String),
    /// The device was deleted in the meantime.
    #[error("the device does not exist")]
    NoDevice,
    /// The keys name another user or another device.
    #[error("the keys belong to another user or device")]
    WrongOwner,
    #[error("too large or too many: {0}")]
    TooLarge(&'static str),
    /// An unclaimed key has the same id.
    #[error("one-time key {0} already exists with other content")]
    IdInUse(String),
    /// A device id equals a public cross-signing key, or vice versa.
    #[error("key id in use")]
    KeyIdInUse,
    #[error("no master signing key is available")]
    NoMasterKey,
    #[error("invalid signature")]
    InvalidSignature,
    /// Other cross-signing keys exist, and the user has not authenticated to replace them.
    #[error("replacing cross-signing keys needs user-interactive authentication")]
    NotAuthorized,
    /// The signed object is not published, or differs from the published one.
    #[error("the signed object is unknown")]
    UnknownKey,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyError {
    pub(crate) fn shape(what: impl Into<String>) -> Self {
        Self::Shape(what.into())
    }
}
