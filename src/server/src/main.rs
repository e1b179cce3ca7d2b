//! `aqueduct`: the homeserver and the operator's commands.
//!
//! The only crate that knows all parts: `app` wires them, `lifecycle` starts and stops them.

mod app;
mod banner;
mod cli;
mod commands;
mod config;
mod control;
mod lifecycle;
mod limits;
mod logging;
mod media_requests;
mod memory;
mod network;
mod service_manager;
mod tls;

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
