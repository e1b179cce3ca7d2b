//! `aqueduct keys rotate`.

use super::{Failure, carry_out};
use crate::{cli::KeysCommand, config::Config, control::Order};

pub(super) fn run(config: &Config, command: &KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Rotate => carry_out(config, Order::RotateKeys),
    }
}
