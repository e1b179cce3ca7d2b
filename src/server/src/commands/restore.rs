//! `aqueduct restore`.

use std::{path::Path, sync::Arc};

use database::{Clock, SystemClock};
use database_rocksdb::{Restore, restore};
use devices::keys::{CLAIMED_KEYS, KEY_COUNTS, ONE_TIME_KEY_IDS, ONE_TIME_KEYS};

use tokio_util::task::TaskTracker;

use super::Failure;
use crate::{app::open_files, config::Config, media_requests::BACKUP_FILES};

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
    let files = super::on_runtime(restore_files(config, folder))??;
    println!(
        "restored {} to {}, and {files} files",
        folder.display(),
        to.display()
    );
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

/// The files of a backup, by links where that is possible.
async fn restore_files(config: &Config, backup: &Path) -> Result<u64, Failure> {
    let from = backup.join(BACKUP_FILES);
    if !from.exists() {
        return Ok(0);
    }
    let (tasks, clock) = (TaskTracker::new(), Arc::new(SystemClock) as Arc<dyn Clock>);
    let from = open_files(from, &clock, &tasks).await?;
    let to = open_files(config.media.path(&config.database.path), &clock, &tasks).await?;
    Ok(media::restore_files(&from, &to).await?)
}
