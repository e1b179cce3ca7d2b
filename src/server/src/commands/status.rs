//! `aqueduct status`: for operators and for health checks.

use super::{Failure, on_runtime};
use crate::{
    config::Config,
    control::{self, Request},
};

pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let reply = on_runtime(control::send(config, &Request::Status))??;
    println!("{}", reply.ok_or("no server is running")??);
    Ok(())
}
