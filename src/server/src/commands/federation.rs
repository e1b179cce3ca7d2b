//! `aqueduct federation status`.

use super::{Failure, execute};
use crate::{cli::FederationCommand, config::Config, control::Request};

pub(super) fn run(config: &Config, command: FederationCommand) -> Result<(), Failure> {
    match command {
        FederationCommand::Status { server } => {
            execute(config, Request::FederationStatus { server })
        }
    }
}
