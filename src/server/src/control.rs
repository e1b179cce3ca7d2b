//! The operator's commands: carried out by the running server, which listens on a socket beside the database, or, where none
//! runs, by the command's own process on the database itself.
//!
//! One line of JSON each way. The socket is for the server's own user (0600), so whoever can reach it could as well read the
//! database.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use database_rocksdb::Health;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Password, RegisterError};

use crate::{
    config::Config,
    house::Foundation,
    orders::{self, MediaOrder},
};

/// The longest order: a name and a password.
const LONGEST_LINE: u64 = 64 * 1024;
const LONGEST_READ: Duration = Duration::from_secs(10);

/// What an operator may want of a server. No `Debug`: it holds passwords.
#[derive(Serialize, Deserialize)]
pub(crate) enum Order {
    CreateUser {
        name: String,
        password: String,
        admin: bool,
    },
    ResetPassword {
        name: String,
        password: String,
    },
    /// How the server is.
    Status,
    /// An absolute path: the server has another working directory.
    Backup {
        folder: PathBuf,
    },
    Media(MediaOrder),
}

/// What was done, or why it was not.
pub(crate) type Report = Result<String, String>;

impl Order {
    pub(crate) async fn carry_out(self, foundation: &Foundation) -> Report {
        match self {
            Self::CreateUser {
                name,
                password,
                admin,
            } => {
                let password = secret(password)?;
                match foundation.users.create(&name, password, admin).await {
                    Ok(user_id) => Ok(format!("made the account {user_id}")),
                    Err(RegisterError::InUse) => Err(format!("there is a user {name} already")),
                    Err(error) => Err(error.to_string()),
                }
            }
            Self::ResetPassword { name, password } => {
                let password = secret(password)?;
                match foundation.users.reset_password(&name, password).await {
                    Ok(true) => Ok(format!(
                        "{name} has a new password and is logged out everywhere"
                    )),
                    Ok(false) => Err(format!("there is no user {name}")),
                    Err(error) => Err(error.to_string()),
                }
            }
            Self::Status => match foundation.engine.health() {
                Health::Writable => Ok("the server runs, its database takes writes".to_owned()),
                Health::Full => Err(
                    "the disk is full: the database takes no writes until there is room".to_owned(),
                ),
                Health::ReadOnly(error) => Err(format!(
                    "the database is read-only until the server is restarted: {error}"
                )),
            },
            Self::Backup { folder } => orders::back_up(foundation, folder).await,
            Self::Media(order) => order.carry_out(foundation).await,
        }
    }
}

/// Gives the order to the running server. `None` where none runs.
pub(crate) async fn send(config: &Config, order: &Order) -> io::Result<Option<Report>> {
    let (path, _folder) = socket(config)?;
    let mut stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(Some(serde_json::from_slice(&answer)?))
}

/// Listens for orders until `stop`. The database is open, so whatever socket is there is a dead server's.
pub(crate) fn listen(
    config: &Config,
    foundation: &Foundation,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> io::Result<()> {
    let (path, folder) = socket(config)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    drop(folder);
    let (foundation, stop, own) = (foundation.clone(), stop.clone(), tasks.clone());
    let remains = socket_path(config);
    tasks.spawn(async move {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            if let Ok((stream, _)) = accepted {
                let foundation = foundation.clone();
                own.spawn(async move {
                    if let Err(error) = answer(stream, &foundation).await {
                        tracing::warn!(%error, "an operator's command was not understood");
                    }
                });
            }
        }
        if let Err(error) = fs::remove_file(&remains) {
            tracing::debug!(%error, "the operator's socket is gone already");
        }
    });
    Ok(())
}

async fn answer(stream: UnixStream, foundation: &Foundation) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut lines = BufReader::new(read.take(LONGEST_LINE));
    tokio::time::timeout(LONGEST_READ, lines.read_line(&mut line)).await??;
    let order: Order = serde_json::from_str(&line)?;
    let report = order.carry_out(foundation).await;
    match &report {
        Ok(done) => tracing::info!(done, "carried out an operator's command"),
        Err(refusal) => tracing::warn!(refusal, "refused an operator's command"),
    }
    write.write_all(&serde_json::to_vec(&report)?).await
}

fn secret(text: String) -> Result<Password, String> {
    Password::new(text).ok_or_else(|| "the password is empty or far too long".to_owned())
}

/// Beside the database, not in it: the folder belongs to RocksDB.
fn socket_path(config: &Config) -> PathBuf {
    let mut path = config.database.path.clone().into_os_string();
    path.push(".sock");
    path.into()
}

/// The socket by way of its folder's descriptor, because the names of sockets have 107 bytes at most. The folder must stay open
/// as long as the path is used.
fn socket(config: &Config) -> io::Result<(PathBuf, Option<fs::File>)> {
    use std::os::fd::AsRawFd as _;

    let path = socket_path(config);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("database.path names no folder"));
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(folder) = fs::File::open(folder) else {
        return Ok((path, None));
    };
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((short, Some(folder)))
}
