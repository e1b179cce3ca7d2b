//! The operator's commands. A running server executes them: it listens on a socket beside the
//! database. If no server runs, the command's own process opens the database and executes them.
//!
//! Request and reply are one line of JSON each. Only the server's own user can open the socket
//! (mode 0600), who can read the database anyway.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use database_rocksdb::Health;
use ruma::OwnedServerName;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Password, RegisterError};

use crate::{
    app::Base,
    config::Config,
    media_requests::{self, MediaRequest},
};

/// Bytes of the longest request: a name and a password.
const MAX_LINE: u64 = 64 * 1024;
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// An operator's command. No `Debug`: it contains passwords.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    CreateUser {
        name: String,
        password: String,
        admin: bool,
    },
    ResetPassword {
        name: String,
        password: String,
    },
    /// Replaces the signing key.
    RotateKeys,
    /// Reports whether the database can be written.
    Status,
    /// An absolute path: the server has another working directory.
    Backup {
        folder: PathBuf,
    },
    Media(MediaRequest),
    /// Reports what waits to be sent to other servers, or to one of them.
    FederationStatus {
        server: Option<String>,
    },
}

/// A message for the operator: what was done, or why it was refused.
pub(crate) type Reply = Result<String, String>;

impl Request {
    pub(crate) async fn execute(self, base: &Base) -> Reply {
        match self {
            Self::CreateUser {
                name,
                password,
                admin,
            } => {
                let password = secret(password)?;
                match base.users.create(&name, password, admin).await {
                    Ok(user_id) => Ok(format!("created the account {user_id}")),
                    Err(RegisterError::InUse) => Err(format!("user {name} already exists")),
                    Err(error) => Err(error.to_string()),
                }
            }
            Self::ResetPassword { name, password } => {
                let password = secret(password)?;
                match base.users.reset_password(&name, password).await {
                    Ok(true) => Ok(format!(
                        "set a new password for {name} and logged all its devices out"
                    )),
                    Ok(false) => Err(format!("there is no user {name}")),
                    Err(error) => Err(error.to_string()),
                }
            }
            Self::RotateKeys => match base.rotate_keys().await {
                Ok(key_id) => Ok(format!("signing with the new key {key_id} from now on")),
                Err(error) => Err(error.to_string()),
            },
            Self::Status => status(base),
            Self::Backup { folder } => media_requests::back_up(base, folder).await,
            Self::Media(request) => request.execute(base).await,
            Self::FederationStatus { server } => federation_status(base, server).await,
        }
    }
}

async fn federation_status(base: &Base, server: Option<String>) -> Reply {
    let server = server.map(OwnedServerName::try_from).transpose();
    let server = server.map_err(|error| error.to_string())?;
    let lines = base.sender_status(server.as_deref()).await;
    let lines = lines.map_err(|error| error.to_string())?;
    if lines.is_empty() {
        return Ok("nothing waits to be sent to other servers".to_owned());
    }
    Ok(lines.join("\n"))
}

/// A failure if the database takes no writes. What the disk has refused besides is reported, but
/// may be over.
fn status(base: &Base) -> Reply {
    let health = base.engine.health();
    let mut lines = vec![match &health {
        Health::Writable => format!("the server runs, and {health}"),
        _ => health.to_string(),
    }];
    lines.extend(base.engine.disk_errors());
    let text = lines.join("\n");
    match health {
        Health::Writable => Ok(text),
        _ => Err(text),
    }
}

/// Sends a request to the running server. `None` if no server runs.
pub(crate) async fn send(config: &Config, request: &Request) -> io::Result<Option<Reply>> {
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
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(Some(serde_json::from_slice(&answer)?))
}

/// Listens for requests until `stop`. This process holds the database's lock, so an existing socket
/// was left by a server that crashed.
pub(crate) fn listen(
    config: &Config,
    base: &Base,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> io::Result<()> {
    let (path, folder) = socket(config)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = bind_private(&path)?;
    drop(folder);
    let (base, stop, own) = (base.clone(), stop.clone(), tasks.clone());
    let path = socket_path(config);
    tasks.spawn(async move {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            if let Ok((stream, _)) = accepted {
                let base = base.clone();
                own.spawn(async move {
                    if let Err(error) = answer(stream, &base).await {
                        tracing::warn!(%error, "could not read an operator's command");
                    }
                });
            }
        }
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(%error, "could not remove the operator's socket");
        }
    });
    Ok(())
}

/// A listening socket with mode 0600 from its first moment at `path`: it is bound in a private
/// folder beside it, gets its mode there, and is then renamed.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".new");
    let folder = PathBuf::from(folder);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let draft = folder.join("s");
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
    fs::rename(&draft, path)?;
    fs::remove_dir(&folder)?;
    Ok(listener)
}

async fn answer(stream: UnixStream, base: &Base) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut lines = BufReader::new(read.take(MAX_LINE));
    tokio::time::timeout(READ_TIMEOUT, lines.read_line(&mut line)).await??;
    let request: Request = serde_json::from_str(&line)?;
    let reply = request.execute(base).await;
    match &reply {
        Ok(done) => tracing::info!(done, "executed an operator's command"),
        Err(reason) => tracing::warn!(reason, "an operator's command failed"),
    }
    write.write_all(&serde_json::to_vec(&reply)?).await
}

fn secret(text: String) -> Result<Password, String> {
    Password::new(text).ok_or_else(|| "the password is empty or too long".to_owned())
}

/// Beside the database, not in it: that folder is managed by RocksDB.
fn socket_path(config: &Config) -> PathBuf {
    let mut path = config.database.path.clone().into_os_string();
    path.push(".sock");
    path.into()
}

/// The socket's path through its folder's descriptor, because a socket address holds at most 107
/// bytes. The folder must stay open while the path is used.
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

#[cfg(test)]
mod tests {
    use std::{
        os::unix::{fs::MetadataExt as _, net},
        sync::atomic::{AtomicBool, Ordering::Relaxed},
    };

    use super::*;

    /// Another thread looks at the socket all the time while it is made, again and again.
    #[tokio::test]
    async fn the_socket_is_never_open_to_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.sock");
        let is_done = AtomicBool::new(false);
        let (path, is_done) = (&path, &is_done);
        let looks = std::thread::scope(|threads| {
            let watcher = threads.spawn(move || {
                let mut looks = 0;
                while !is_done.load(Relaxed) {
                    if let Ok(data) = fs::symlink_metadata(path) {
                        assert_eq!(data.mode() & 0o077, 0, "{:o}", data.mode());
                        looks += 1;
                    }
                }
                looks
            });
            for _ in 0..500 {
                drop(bind_private(path).expect("it listens"));
                fs::remove_file(path).expect("it is there");
            }
            let _listener = bind_private(path).expect("it listens");
            net::UnixStream::connect(path).expect("it can be reached under its name");
            is_done.store(true, Relaxed);
            watcher.join().expect("never open to others")
        });
        assert!(looks > 0, "nobody looked");
        assert!(!folder.path().join("data.sock.new").exists());
    }
}
