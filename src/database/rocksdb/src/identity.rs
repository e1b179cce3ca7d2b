//! The plain file that names the owner of a folder, read before RocksDB sees the folder: one that
//! belongs to another product, schema or server is left byte for byte.
//!
//! ```text
//! aqueduct database
//! schema 2
//! server example.org
//! ```
//!
//! While a database is being made, the file has another name ([`DRAFT`]). Nothing has been
//! acknowledged from such a folder, so making it may start over.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::Path,
};

use crate::error::OpenError;

/// The schema that this release reads and writes. Raised by a release that stores data in another
/// form; its migrations bring older databases up to date.
pub const SCHEMA_VERSION: u32 = 2;

const FILE: &str = "AQUEDUCT";
/// The file of a database that is being made.
const DRAFT: &str = "AQUEDUCT.new";
/// The file while it is being replaced.
const REPLACEMENT: &str = "AQUEDUCT.edit";
const PRODUCT: &str = "aqueduct database";

/// What a folder turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// No database: the folder is missing or empty, or making a database in it was interrupted.
    Empty,
    /// A database that this release can open.
    Ours {
        /// `None` where it was made without naming its server.
        server_name: Option<String>,
    },
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

/// Like [`check`], and refuses the database of another server than `expected`, if one is given.
pub(crate) fn check_server(folder: &Path, expected: Option<&str>) -> Result<Identity, OpenError> {
    let identity = check(folder)?;
    if let Identity::Ours {
        server_name: Some(found),
    } = &identity
        && let Some(expected) = expected
        && found != expected
    {
        return Err(OpenError::OtherServer {
            path: folder.to_owned(),
            found: found.clone(),
            expected: expected.to_owned(),
        });
    }
    Ok(identity)
}

/// Marks the folder as one in which a database is being made; durable when it returns.
pub(crate) fn begin(folder: &Path, server_name: Option<&str>) -> Result<(), OpenError> {
    write_file(folder, DRAFT, server_name).map_err(OpenError::at(folder.join(DRAFT)))
}

/// The database that [`begin`] announced is complete; durable when it returns.
pub(crate) fn finish(folder: &Path) -> Result<(), OpenError> {
    let rename = || {
        fs::rename(folder.join(DRAFT), folder.join(FILE))?;
        File::open(folder)?.sync_all()
    };
    rename().map_err(OpenError::at(folder.join(FILE)))
}

/// Marks a complete folder as a database, or gives it another server name; durable when it
/// returns.
pub(crate) fn write(folder: &Path, server_name: Option<&str>) -> Result<(), OpenError> {
    let write = || {
        write_file(folder, REPLACEMENT, server_name)?;
        fs::rename(folder.join(REPLACEMENT), folder.join(FILE))?;
        File::open(folder)?.sync_all()
    };
    write().map_err(OpenError::at(folder.join(FILE)))
}

fn write_file(folder: &Path, name: &str, server_name: Option<&str>) -> io::Result<()> {
    let mut file = File::create(folder.join(name))?;
    writeln!(file, "{PRODUCT}\nschema {SCHEMA_VERSION}")?;
    if let Some(server_name) = server_name {
        writeln!(file, "server {server_name}")?;
    }
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Whether it is one of the plain files beside RocksDB's.
pub(crate) fn is_identity(file_name: &OsStr) -> bool {
    [FILE, DRAFT, REPLACEMENT]
        .iter()
        .any(|name| file_name == *name)
}

fn parse(folder: &Path, content: &[u8]) -> Result<Identity, OpenError> {
    let foreign = || OpenError::Foreign(folder.to_owned());
    let text = std::str::from_utf8(content).map_err(|_| foreign())?;
    let mut lines = text.lines();
    if lines.next() != Some(PRODUCT) {
        return Err(foreign());
    }
    let version = lines.next().and_then(|line| line.strip_prefix("schema "));
    let found = version
        .and_then(|version| version.parse().ok())
        .ok_or_else(foreign)?;
    let path = folder.to_owned();
    let known = SCHEMA_VERSION;
    if found > known {
        return Err(OpenError::Newer { path, found, known });
    }
    if found < known {
        return Err(OpenError::Older { path, found, known });
    }
    let server_name = match (lines.next(), lines.next()) {
        (None, _) => None,
        (Some(line), None) => Some(line.strip_prefix("server ").ok_or_else(foreign)?.to_owned()),
        (Some(_), Some(_)) => return Err(foreign()),
    };
    Ok(Identity::Ours { server_name })
}

/// Whether nothing is there but what a fresh file system or an interrupted [`begin`] leaves
/// behind. With the draft of an identity these may be RocksDB's first files, as long as they hold
/// no rows: table files, and logs with something in them, belong to a database that has lost its
/// identity.
pub(crate) fn is_empty(folder: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let is_begun = folder.join(DRAFT).exists();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_first_file = is_begun && is_of_new_database(&name, entry.metadata()?.len());
        if name != "lost+found" && name != DRAFT && !is_first_file {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_of_new_database(name: &str, size: u64) -> bool {
    let extension = Path::new(name).extension();
    ["CURRENT", "IDENTITY", "LOCK"].contains(&name)
        || ["MANIFEST-", "OPTIONS-"]
            .iter()
            .any(|start| name.starts_with(start))
        || extension.is_some_and(|end| end == "dbtmp")
        || (size == 0 && extension.is_some_and(|end| end == "log"))
}
