//! `aqueduct`: the homeserver and the operator's commands.
//!
//! The only place that knows all parts of the house: `house` wires them, `lifecycle` starts and stops them.

mod cli;
mod commands;
mod config;
mod control;
mod house;
mod lifecycle;
mod limits;
mod logging;
mod memory;
mod orders;
mod welcome;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match commands::run(cli::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("aqueduct: {failure}");
            ExitCode::FAILURE
        }
    }
}
