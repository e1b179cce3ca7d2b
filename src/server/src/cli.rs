//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A Matrix homeserver.
///
/// Settings come from conduit.toml: the file that --config names, else ./conduit.toml if there is one, else the defaults. Any
/// setting can be overridden by a variable: AQUEDUCT_ and its path in upper case, with __ between levels and commas in lists,
/// for example AQUEDUCT_DATABASE__PATH=/var/lib/aqueduct.
#[derive(Parser)]
#[command(
    name = "aqueduct",
    version,
    about,
    long_about,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the server until it is told to stop (SIGTERM or Ctrl-C; a second one does not wait for requests in flight).
    Serve,
    /// Reads the configuration, reports every mistake in it, and starts nothing.
    CheckConfig,
    /// Reports whether the running server is healthy, with the errors of its disk, and fails if it does not run or its database
    /// takes no writes.
    Status,
    /// Reads the whole database and reports what is damaged. The server must not run.
    Check(CheckArguments),
    /// Makes and repairs accounts, whether the server runs or not.
    #[command(subcommand)]
    User(UserCommand),
    /// Copies the database, as of one moment, to a folder that does not exist yet. The server may go on running.
    Backup(BackupArguments),
    /// Puts a backup in the place of the database, which must be empty or not there. The server must not run.
    ///
    /// One-time encryption keys are dropped, because some were used since the backup; clients upload new ones.
    Restore(RestoreArguments),
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Makes an account. The password is asked for, or read from standard input.
    Create {
        /// The name, such as `alice`, or the whole user id.
        name: String,
        /// Makes the account an administrator's.
        #[arg(long)]
        admin: bool,
    },
    /// Sets a new password and logs all devices out. The password is asked for, or read from standard input.
    ResetPassword {
        /// The name, such as `alice`, or the whole user id.
        name: String,
    },
}

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// Where a log is damaged before its end, gives up the commits from there on, in a copy that takes the place of the
    /// database. The damaged one is kept beside it, with `.damaged` after its name.
    ///
    /// One-time encryption keys are dropped, because some may have been used; clients upload new ones.
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Args)]
pub(crate) struct BackupArguments {
    /// Where the backup goes.
    pub(crate) folder: PathBuf,
}

#[derive(Args)]
pub(crate) struct RestoreArguments {
    /// A folder that `aqueduct backup` made.
    pub(crate) folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
