//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A Matrix homeserver.
///
/// Settings are read from the file given by --config. Without it, ./conduit.toml is read if it
/// exists, else /etc/aqueduct/conduit.toml; without any file, the defaults apply. An environment
/// variable overrides the setting of the same name: AQUEDUCT_ and the setting's path in upper case,
/// with __ between levels and commas in lists, for example
/// AQUEDUCT_DATABASE__PATH=/var/lib/aqueduct.
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
    /// Runs the server until SIGTERM or Ctrl-C. A second signal stops it without waiting for
    /// requests in flight.
    Serve,
    /// Checks the configuration and reports every mistake in it.
    CheckConfig {
        /// Prints every setting with its value and where it comes from.
        #[arg(long)]
        origins: bool,
    },
    /// Reports whether the running server is healthy. Fails if no server is running, or if its
    /// database is not writable.
    Status,
    /// Reads the whole database and reports damage. The server must not be running.
    Check(CheckArguments),
    /// Manages accounts, whether the server is running or not.
    #[command(subcommand)]
    User(UserCommand),
    /// Manages uploaded files and those of other servers, whether the server is running or not.
    #[command(subcommand)]
    Media(MediaCommand),
    /// Manages the signing keys, whether the server is running or not.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Shows what happens with other servers, whether the server is running or not.
    #[command(subcommand)]
    Federation(FederationCommand),
    /// Issues a certificate from a certificate authority of your own, to try TLS and federation on
    /// one machine.
    DevCert(DevCertArguments),
    /// Copies the database and the media files, as of one moment, to a new folder. The server can
    /// be running. Files are hard links where the file system allows that.
    Backup(BackupArguments),
    /// Restores a backup into the database folder, which must be empty or missing, and its files
    /// into the media folder. The server must not be running.
    ///
    /// One-time encryption keys are dropped, because some may have been used after the backup;
    /// clients upload new ones.
    Restore(RestoreArguments),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell that reads the script.
        shell: clap_complete::Shell,
    },
    /// Writes the manual pages, one per command, to a folder.
    Man {
        /// The folder; it is created if it does not exist.
        folder: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Creates an account. The password is asked for, or read from standard input.
    Create {
        /// The name, such as `alice`, or the full user id.
        name: String,
        /// Makes the account an administrator.
        #[arg(long)]
        admin: bool,
    },
    /// Sets a new password and logs all devices out. The password is asked for, or read from
    /// standard input.
    ResetPassword {
        /// The name, such as `alice`, or the full user id.
        name: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Replaces the signing key. The old one stays published, because others must still be able to
    /// check what it signed.
    Rotate,
}

#[derive(Subcommand)]
pub(crate) enum FederationCommand {
    /// Shows what waits to be sent to other servers, their last errors and next attempts.
    Status {
        /// Shows only this server.
        server: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct DevCertArguments {
    /// The folder of the certificate authority, which is made if it does not exist, and of the
    /// certificate.
    #[arg(long, value_name = "FOLDER", default_value = "dev-certs")]
    pub(crate) folder: PathBuf,
    /// Host names and addresses that the certificate is for.
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// Where a log is damaged before its end, gives up the commits from there on, in a copy that
    /// takes the place of the database. The damaged one is kept beside it, with `.damaged` after
    /// its name.
    ///
    /// One-time encryption keys are dropped, because some may have been used; clients upload new
    /// ones.
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Subcommand)]
pub(crate) enum MediaCommand {
    /// Looks for files that nothing refers to, and deletes them, and for media whose file is
    /// missing.
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
    /// The folder to create.
    pub(crate) folder: PathBuf,
}

#[derive(Args)]
pub(crate) struct RestoreArguments {
    /// A folder that was written by `aqueduct backup`.
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
