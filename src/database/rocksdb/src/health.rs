//! Whether the database takes writes. After an error of its log RocksDB takes none, so that nothing is acknowledged that might not
//! be on disk; by itself it goes on only when a full disk has room again.

/// What an operator has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Writable,
    /// Writes fail until there is room on the disk.
    Full,
    /// Writes fail until the database is opened again. Why, in RocksDB's words.
    ReadOnly(String),
}

impl Health {
    pub(crate) fn after(error: &rocksdb::Error) -> Self {
        let text = error.to_string();
        if text.contains("No space left") {
            Self::Full
        } else {
            Self::ReadOnly(text)
        }
    }

    /// Says it to the operator.
    pub(crate) fn log(&self, refused: u64) {
        match self {
            Self::Writable => tracing::info!("the database takes writes again"),
            Self::Full => tracing::error!(
                refused,
                "the disk is full: the database takes no writes until there is room"
            ),
            Self::ReadOnly(error) => tracing::error!(
                error,
                refused,
                "the database is READ-ONLY until the server is restarted: nothing is lost, nothing is taken"
            ),
        }
    }
}
