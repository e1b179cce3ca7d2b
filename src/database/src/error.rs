//! What can go wrong in the store, as far as a caller can act on it.

/// An error of the store. Absence is not one: it is `None`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else changed what this commit had read. `Store::transact` answers it by running
    /// the body again, so only engines and their tests see it.
    #[error("a row that was read has changed")]
    Conflict,
    /// The body lost the race too often; answered as 429 or 503, never as a hang.
    #[error("too many others write the same rows")]
    Contended,
    /// The disk is full or failing, or the engine has stopped. A write that got this answer was
    /// never visible; after a restart it may be there whole, or not at all.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Stored bytes are not what their table says; names what was being decoded.
    #[error("the database holds a malformed {0}")]
    Corrupt(&'static str),
}

pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;
