//! `aqueduct status`: for operators, and for whatever watches the server in their place.

use super::{Failure, on_runtime};
use crate::{
    config::Config,
    control::{self, Order},
};

pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let report = on_runtime(control::send(config, &Order::Status))??;
    println!("{}", report.ok_or("no server runs")??);
    Ok(())
}
