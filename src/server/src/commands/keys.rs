//! `aqueduct keys rotate`.

use super::{Failure, execute};
use crate::{cli::KeysCommand, config::Config, control::Request};

pub(super) fn run(config: &Config, command: &KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Rotate => execute(config, Request::RotateKeys),
    }
}
