//! The plain file that says whose database a folder holds, read before RocksDB sees the folder: a
//! foreign or newer one is left byte for byte.
//!
//! ```text
//! aqueduct database
//! schema 1
//! ```

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::Path,
};

use crate::error::OpenError;

/// What this release reads and writes. Raised by a release whose database an older one would
/// misread.
pub const SCHEMA_VERSION: u32 = 1;

const FILE: &str = "AQUEDUCT";
/// The file while it is being written.
const DRAFT: &str = "AQUEDUCT.new";
const PRODUCT: &str = "aqueduct database";

/// What a folder turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Not there, or nothing in it.
    Empty,
    /// A database that this release can open.
    Ours { version: u32 },
}

/// Looks, and touches nothing.
pub fn check(folder: &Path) -> Result<Identity, OpenError> {
    let file = folder.join(FILE);
    match fs::read(&file) {
        Ok(content) => parse(folder, &content),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if is_empty(folder).map_err(OpenError::at(folder))? {
                Ok(Identity::Empty)
            } else {
                Err(OpenError::Foreign(folder.to_owned()))
            }
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(OpenError::Foreign(folder.to_owned()))
        }
        Err(error) => Err(OpenError::at(file)(error)),
    }
}

/// Makes the folder ours, at this release's version; durable when it returns.
pub(crate) fn write(folder: &Path) -> Result<(), OpenError> {
    let draft = folder.join(DRAFT);
    let write = || -> io::Result<()> {
        let mut file = File::create(&draft)?;
        write!(file, "{PRODUCT}\nschema {SCHEMA_VERSION}\n")?;
        file.sync_all()?;
        fs::rename(&draft, folder.join(FILE))?;
        File::open(folder)?.sync_all()
    };
    write().map_err(OpenError::at(&draft))
}

pub(crate) fn is_identity(file_name: &OsStr) -> bool {
    file_name == FILE || file_name == DRAFT
}

fn parse(folder: &Path, content: &[u8]) -> Result<Identity, OpenError> {
    let foreign = || OpenError::Foreign(folder.to_owned());
    let text = std::str::from_utf8(content).map_err(|_| foreign())?;
    let mut lines = text.lines();
    if lines.next() != Some(PRODUCT) {
        return Err(foreign());
    }
    let version = lines.next().and_then(|line| line.strip_prefix("schema "));
    let version = version
        .and_then(|version| version.parse().ok())
        .ok_or_else(foreign)?;
    if version > SCHEMA_VERSION {
        let path = folder.to_owned();
        return Err(OpenError::Newer {
            path,
            found: version,
            known: SCHEMA_VERSION,
        });
    }
    Ok(Identity::Ours { version })
}

/// Nothing but what a fresh file system or a first start that was cut off leaves behind.
pub(crate) fn is_empty(folder: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        if name != "lost+found" && name != DRAFT {
            return Ok(false);
        }
    }
    Ok(true)
}
