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
    /// Changes the keys that this server signs with, whether it runs or not.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Makes a certificate from a certificate authority of your own, to try TLS and federation on one machine.
    DevCert(DevCertArguments),
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

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Replaces the signing key. The old one stays published, because others must still be able to check what it signed.
    Rotate,
}

#[derive(Args)]
pub(crate) struct DevCertArguments {
    /// The folder of the certificate authority, which is made if it does not exist, and of the certificate.
    #[arg(long, value_name = "FOLDER", default_value = "dev-certs")]
    pub(crate) folder: PathBuf,
    /// Host names and addresses that the certificate is for.
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
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
