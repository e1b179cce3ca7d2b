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
    /// Says how the running server is, and fails if it cannot do its work: it does not run, or its database takes no writes.
    Status,
    /// Makes and repairs accounts, whether the server runs or not.
    #[command(subcommand)]
    User(UserCommand),
    /// Looks after uploaded files and those of other servers, whether the server runs or not.
    #[command(subcommand)]
    Media(MediaCommand),
    /// Copies the database and the files of media, as of one moment, to a folder that does not exist yet. The server may go on
    /// running. Files get a second name where the file system allows that, and are copied elsewhere.
    Backup(BackupArguments),
    /// Puts a backup in the place of the database, which must be empty or not there, and its files into the folder of media. The
    /// server must not run.
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

#[derive(Subcommand)]
pub(crate) enum MediaCommand {
    /// Looks for files that nothing refers to, and deletes them, and for media whose file is missing.
    Check,
    /// Shows how much is stored.
    Usage {
        /// What this user has uploaded.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Deletes media. What is protected stays.
    Delete(MediaSelection),
    /// Hides media from everybody.
    Quarantine {
        #[command(flatten)]
        selection: MediaSelection,
        /// Hides the content of a SHA-256 hash, whatever its names, and refuses it from now on.
        #[arg(long, value_name = "HASH")]
        hash: Option<String>,
        /// Shows again what was hidden.
        #[arg(long)]
        undo: bool,
    },
    /// Keeps a content from deletion and quarantine.
    Protect {
        /// The SHA-256 hash of the content, or an mxc:// URI that has it.
        content: String,
        /// Ends that.
        #[arg(long)]
        undo: bool,
    },
    /// Moves all stored files to one place, while the server runs.
    Move {
        /// "files" or "s3".
        to: String,
    },
}

#[derive(Args)]
pub(crate) struct MediaSelection {
    /// URIs, such as `mxc://example.org/abc`.
    #[arg(value_name = "MXC")]
    pub(crate) uris: Vec<String>,
    /// All that this user has uploaded.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// All media of this server.
    #[arg(long, value_name = "SERVER")]
    pub(crate) server: Option<String>,
    /// All media that is older, such as `90 d`: of other servers, or with --local of this one.
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<String>,
    /// With --older-than: media that was uploaded here.
    #[arg(long)]
    pub(crate) local: bool,
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
