//! Errors of accounts. The api crate maps each to an errcode.

use database::StoreError;
use devices::DeviceRefusal;

/// Why a name is not valid for a local user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("user names may hold only a-z, 0-9 and . _ = - / +")]
    Character,
    #[error("this user name is empty")]
    Empty,
    #[error("this user name is too long: a user id has at most 255 bytes")]
    TooLong,
    #[error("user names that begin with an underscore are kept for application services")]
    Reserved,
}

/// Why an account was not created.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("this user name is taken")]
    InUse,
    #[error("this device id is empty or too long")]
    DeviceId,
    /// The queue of the password hasher is full.
    #[error("too many passwords are being hashed")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Unknown user or wrong password; the response does not reveal which.
    #[error("wrong user name or password")]
    Refused,
    #[error("this device id is empty or too long")]
    DeviceId,
    /// The device id is a cross-signing key's, or the user has too many devices.
    #[error(transparent)]
    Device(#[from] DeviceRefusal),
    /// The queue of the password hasher is full.
    #[error("too many passwords are being hashed")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a token was refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("unknown token")]
    Unknown,
    /// The session still exists: the client can refresh its token, or log in again with the same
    /// device (a soft logout).
    #[error("this access token has expired")]
    Expired,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a profile was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("no such user")]
    UnknownUser,
    #[error(
        "a display name has at most {} characters",
        crate::profiles::NAME_CHARACTERS
    )]
    NameTooLong,
    #[error(
        "an avatar's address has at most {} bytes",
        crate::profiles::AVATAR_BYTES
    )]
    AvatarTooLong,
    #[error("a profile has at most {} bytes", crate::profiles::PROFILE_BYTES)]
    TooLarge,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a filter was not stored.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("a filter has at most {} bytes", crate::filters::FILTER_BYTES)]
    TooLarge,
    #[error("a user has at most {} filters", crate::filters::FILTERS_PER_USER)]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}
