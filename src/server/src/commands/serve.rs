//! `aqueduct serve`.

use super::Failure;
use crate::{config::Config, lifecycle, logging};

/// Threads for password hashing and cold disk reads. Each of them has a lower limit of its own.
const BLOCKING_THREADS: usize = 64;

pub(super) fn run(config: Config) -> Result<(), Failure> {
    let _logging = logging::start(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(lifecycle::run(config));
    // Tasks that still run have exceeded the time that draining gives them.
    runtime.shutdown_background();
    Ok(ended?)
}
