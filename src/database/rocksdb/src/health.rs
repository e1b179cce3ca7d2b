//! Whether the database takes writes. After an error of its log RocksDB takes none, so that nothing
//! is acknowledged that might not be on disk. It recovers by itself from a full disk; after other
//! errors whose cause can go away the committer opens the database again.

use std::fmt::{self, Display};

/// What an operator has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Writable,
    /// Writes fail until there is room on the disk.
    Full,
    /// Writes fail until the user of the process may use more of the disk.
    OverQuota,
    /// Writes fail until the process, or the system, has fewer open files.
    TooManyOpenFiles,
    /// Writes fail until the database is opened again. Why, in RocksDB's words.
    ReadOnly(String),
    /// Something stored is damaged: nothing is written any more, lest it is lost for good.
    Damaged(String),
}

impl Health {
    pub(crate) fn after(error: &rocksdb::Error) -> Self {
        let text = error.to_string();
        if error.kind() == rocksdb::ErrorKind::Corruption {
            Self::Damaged(text)
        } else if text.contains("No space left") {
            Self::Full
        } else if text.contains("Disk quota exceeded") {
            Self::OverQuota
        } else if text.contains("Too many open files") {
            Self::TooManyOpenFiles
        } else {
            Self::ReadOnly(text)
        }
    }

    /// Whether opening the database again helps once the cause is gone. RocksDB itself resumes
    /// after a full disk.
    pub(crate) fn can_reopen(&self) -> bool {
        matches!(self, Self::OverQuota | Self::TooManyOpenFiles)
    }

    /// Reports it to the operator.
    pub(crate) fn log(&self, refused: u64) {
        if *self == Self::Writable {
            tracing::info!("{self}");
        } else {
            tracing::error!(refused, "{self}");
        }
    }
}

impl Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writable => f.write_str("the database takes writes"),
            Self::Full => {
                f.write_str("the disk is full: the database takes no writes until there is room")
            }
            Self::OverQuota => f.write_str(
                "the disk quota is used up: the database takes no writes until there is room",
            ),
            Self::TooManyOpenFiles => f.write_str(
                "too many files are open: the database takes no writes until there are fewer",
            ),
            Self::ReadOnly(error) => write!(
                f,
                "the database is READ-ONLY until the server is restarted: nothing is lost, nothing \
                 is taken: {error}"
            ),
            Self::Damaged(error) => write!(
                f,
                "the database is damaged and READ-ONLY; stop the server and run `aqueduct check`: \
                 {error}"
            ),
        }
    }
}
