//! `aqueduct restore`.

use std::path::Path;

use database::SystemClock;
use database_rocksdb::{Restore, restore};
use devices::keys::{CLAIMED_KEYS, KEY_COUNTS, ONE_TIME_KEY_IDS, ONE_TIME_KEYS};

use super::Failure;
use crate::config::Config;

/// The engine refuses a database that is not empty, and thus that of a running server.
pub(super) fn run(config: &Config, folder: &Path) -> Result<(), Failure> {
    let to = config.database.path.clone();
    let restored = restore(
        &Restore {
            backup: folder.to_owned(),
            to: to.clone(),
            server_name: Some(config.server_name.to_string()),
            clear: single_use_tables(),
        },
        &SystemClock,
    )?;
    println!("restored {} to {}", folder.display(), to.display());
    tracing::debug!(last = restored.last.0, first = restored.first.0, "restored");
    Ok(())
}

/// Whoever was given a key by commits that are lost must not share it with somebody else.
pub(super) fn single_use_tables() -> Vec<&'static str> {
    vec![
        ONE_TIME_KEYS.info().name,
        ONE_TIME_KEY_IDS.info().name,
        CLAIMED_KEYS.info().name,
        KEY_COUNTS.info().name,
    ]
}
