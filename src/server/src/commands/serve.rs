//! `aqueduct serve`.

use super::Failure;
use crate::{config::Config, lifecycle, logging};

/// Password hashes and cold reads of the disk, each bounded by itself below this.
const BLOCKING_THREADS: usize = 64;

pub(super) fn run(config: Config) -> Result<(), Failure> {
    let _logging = logging::start(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(lifecycle::run(config));
    // What still runs was given its time.
    runtime.shutdown_background();
    Ok(ended?)
}
