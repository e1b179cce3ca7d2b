//! `aqueduct completions`.

use std::io;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Arguments;

pub(super) fn run(shell: Shell) {
    clap_complete::generate(
        shell,
        &mut Arguments::command(),
        "aqueduct",
        &mut io::stdout(),
    );
}
