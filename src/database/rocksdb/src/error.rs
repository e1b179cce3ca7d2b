//! Errors of opening, copying and restoring a database.

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
};

use database::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder holds something else; nothing in it was touched.
    #[error("{} is not a database of Aqueduct; it was left unchanged", .0.display())]
    Foreign(PathBuf),
    /// A later release wrote it; nothing in it was touched.
    #[error(
        "the database in {} has schema version {found}, this program knows versions up to \
         {known}; it was left unchanged",
        path.display()
    )]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    /// An earlier release wrote it, and nothing can migrate it; nothing in it was touched.
    #[error(
        "the database in {} has schema version {found}, this program needs version {known} and \
         has no migration from it; it was left unchanged",
        path.display()
    )]
    Older {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    /// It belongs to another server; nothing in it was touched.
    #[error(
        "the database in {} belongs to the server `{found}`, and this is `{expected}`; it was \
         left unchanged",
        path.display()
    )]
    OtherServer {
        path: PathBuf,
        found: String,
        expected: String,
    },
    /// Another process has it open.
    #[error("the database in {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It could not be opened again after an error, and will be tried again.
    #[error("the database in {} is closed at the moment", .0.display())]
    Closed(PathBuf),
    /// A copy would overwrite what is there.
    #[error("{} exists already and is not empty", .0.display())]
    Occupied(PathBuf),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    /// A file is missing, short or unreadable; nothing was touched.
    #[error("the database in {} is damaged: {reason}; it was left unchanged", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("the database holds a malformed {0}")]
    Malformed(&'static str),
    #[error("RocksDB: {0}")]
    Engine(#[from] rocksdb::Error),
}

impl OpenError {
    pub(crate) fn damaged(path: &Path, reason: impl Display) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// For `map_err`: an I/O error that says where.
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { path, error }
    }
}

pub(crate) fn unavailable(error: impl Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
