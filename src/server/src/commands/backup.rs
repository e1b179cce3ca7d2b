//! `aqueduct backup`.

use std::path::Path;

use super::{Failure, execute};
use crate::{config::Config, control::Request};

pub(super) fn run(config: &Config, folder: &Path) -> Result<(), Failure> {
    if !config.database.path.exists() {
        return Err(format!("there is no database in {}", config.database.path.display()).into());
    }
    execute(
        config,
        Request::Backup {
            folder: std::path::absolute(folder)?,
        },
    )
}
