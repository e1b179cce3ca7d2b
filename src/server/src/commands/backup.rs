//! `aqueduct backup`.

use std::path::Path;

use super::{Failure, carry_out};
use crate::{config::Config, control::Order};

pub(super) fn run(config: &Config, folder: &Path) -> Result<(), Failure> {
    if !config.database.path.exists() {
        return Err(format!("there is no database in {}", config.database.path.display()).into());
    }
    carry_out(
        config,
        Order::Backup {
            folder: std::path::absolute(folder)?,
        },
    )
}
