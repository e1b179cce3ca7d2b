//! Errors of the store, as far as a caller can act on them.

/// An error of the store. Absence is not one: it is `None`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another commit changed rows that this one had read. `Store::transact` runs the body again,
    /// so only engines and their tests see this error.
    #[error("a row that was read has changed")]
    Conflict,
    /// The body conflicted too often; answered as 429 or 503, never as a hang.
    #[error("too many others write the same rows")]
    Contended,
    /// The disk is full, failing or damaged, or the engine has stopped. A write that failed with
    /// this error was never visible; after a restart it may be there whole, or not at all.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Stored bytes do not have the form of their table; names the type that was being decoded.
    #[error("the database holds a malformed {0}")]
    Corrupt(&'static str),
}

pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;
