//! `aqueduct man`.

use std::path::Path;

use clap::CommandFactory as _;

use super::Failure;
use crate::cli::Arguments;

pub(super) fn run(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)?;
    println!("wrote the manual pages to {}", folder.display());
    Ok(())
}
