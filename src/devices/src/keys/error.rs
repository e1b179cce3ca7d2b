//! Why published keys are refused, as far as a caller acts on it.

use database::StoreError;

/// A key, or an upload of keys, that is not taken. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not what the key algorithms and the API describe.
    #[error("{0}")]
    Shape(String),
    /// The device was ended meanwhile.
    #[error("the device does not exist")]
    NoDevice,
    /// The keys name another user or another device.
    #[error("the keys belong to another user or device")]
    WrongOwner,
    #[error("too large or too many: {0}")]
    TooLarge(&'static str),
    /// Another key has this id and was not claimed yet.
    #[error("one-time key {0} already exists with other content")]
    IdInUse(String),
    /// A device id equals a public cross-signing key, or the other way round.
    #[error("key id in use")]
    KeyIdInUse,
    #[error("no master signing key is available")]
    NoMasterKey,
    #[error("invalid signature")]
    InvalidSignature,
    /// There are other cross-signing keys, and the user did not prove that they may be replaced.
    #[error("replacing cross-signing keys needs user-interactive authentication")]
    NotAuthorized,
    /// The signed object is not one that is published, or not the one that was published.
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
