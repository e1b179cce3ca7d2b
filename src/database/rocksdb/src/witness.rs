//! `AQUEDUCT.stamp`: the last commit of the database when it was closed. RocksDB does not notice
//! when its newest log is missing or short; opening the database compares its last commit with
//! this.
//!
//! ```text
//! stamp 9223372036854775920
//! ```

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::Path,
};

use database::Stamp;

use crate::error::OpenError;

pub(crate) const FILE: &str = "AQUEDUCT.stamp";
const DRAFT: &str = "AQUEDUCT.stamp.new";

pub(crate) fn read(folder: &Path) -> Result<Option<Stamp>, OpenError> {
    let path = folder.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(OpenError::at(path)(error)),
    };
    let stamp = text
        .strip_prefix("stamp ")
        .and_then(|rest| rest.strip_suffix('\n'));
    let stamp = stamp.and_then(|stamp| stamp.parse().ok()).map(Stamp);
    let unreadable = || OpenError::damaged(folder, format!("the file {FILE} holds no stamp"));
    stamp.ok_or_else(unreadable).map(Some)
}

/// Durable when it returns, or as it was before.
pub(crate) fn write(folder: &Path, stamp: Stamp) -> io::Result<()> {
    let draft = folder.join(DRAFT);
    let mut file = File::create(&draft)?;
    writeln!(file, "stamp {}", stamp.0)?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}
