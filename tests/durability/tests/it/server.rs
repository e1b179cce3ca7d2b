//! The real binary as a child process: started, killed, stopped, by its own id.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::http::Http;

const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_mins(1);
/// Lines of the log that a failure shows.
const LOG_LINES: usize = 100;

/// The folder of a server's data, on which it can be started repeatedly.
pub(crate) struct Home {
    folder: TempDir,
}

pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    log: Log,
    readers: JoinSet<()>,
}

/// The last lines, and the tasks that wait for more.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<VecDeque<String>>, Notify)>);

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a temporary folder"),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("database")
    }

    pub(crate) async fn start(&self) -> Server {
        self.start_on(&self.database()).await
    }

    pub(crate) async fn start_on(&self, database: &Path) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = port.local_addr().expect("it is bound");
        drop(port);
        let mut command = self.command(database);
        command
            .arg("serve")
            .env("AQUEDUCT_LISTEN", address.to_string());
        let mut server = Server::spawn(command, address);
        server.wait_until_it_answers().await;
        server
    }

    /// Runs one of the binary's other commands on this home's database.
    pub(crate) async fn run(&self, database: &Path, arguments: &[&str]) -> Output {
        self.run_with_input(database, arguments, "").await
    }

    pub(crate) async fn run_with_input(
        &self,
        database: &Path,
        arguments: &[&str],
        input: &str,
    ) -> Output {
        let mut command = self.command(database);
        // These commands do not listen; the address only has to be valid.
        command
            .args(arguments)
            .env("AQUEDUCT_LISTEN", "127.0.0.1:1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary starts");
        let mut stdin = process.stdin.take().expect("stdin is piped");
        // The command may end without reading its input.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        let output = timeout(START_LIMIT, process.wait_with_output()).await;
        output
            .expect("the command ends in time")
            .expect("it is our child")
    }

    fn command(&self, database: &Path) -> Command {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AQUEDUCT_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.folder.path())
            .env("AQUEDUCT_SERVER_NAME", "localhost")
            .env("AQUEDUCT_DATABASE__PATH", database)
            .env("AQUEDUCT_REGISTRATION__MODE", "open")
            .env("AQUEDUCT_RATE_LIMITS__ENABLED", "false")
            .env("AQUEDUCT_LOG__FORMAT", "json")
            .kill_on_drop(true);
        command
    }
}

impl Server {
    pub(crate) fn http(&self) -> Http {
        Http::new(self.address)
    }

    /// Waits until one of the last lines of the log contains this text.
    pub(crate) async fn wait_until_logged(&self, words: &str) {
        let said = timeout(START_LIMIT, async {
            loop {
                let more = self.log.0.1.notified();
                if self.log.text().contains(words) {
                    return;
                }
                more.await;
            }
        });
        said.await.expect(words);
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id().expect("the server runs")
    }

    /// SIGKILL: nothing can be finished or flushed.
    pub(crate) async fn kill(&mut self) {
        self.process.start_kill().expect("the server runs");
        self.process.wait().await.expect("a killed process ends");
    }

    /// SIGTERM, and waits for the server to end. Returns the last lines of its log.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        let id = i32::try_from(self.process_id())
            .ok()
            .and_then(Pid::from_raw);
        kill_process(id.expect("a process id"), Signal::TERM).expect("the server runs");
        let status = self.end().await;
        assert!(status.success(), "{status}\n{}", self.log.text());
        while self.readers.join_next().await.is_some() {}
        self.log.kept().iter().cloned().collect()
    }

    async fn end(&mut self) -> ExitStatus {
        let status = timeout(STOP_LIMIT, self.process.wait()).await;
        status
            .expect("the server ends in time")
            .expect("it is our child")
    }

    fn spawn(mut command: Command, address: SocketAddr) -> Self {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Log::default();
        let mut readers = JoinSet::new();
        readers.spawn(
            log.clone()
                .read(process.stdout.take().expect("stdout is piped")),
        );
        readers.spawn(
            log.clone()
                .read(process.stderr.take().expect("stderr is piped")),
        );
        Self {
            process,
            address,
            log,
            readers,
        }
    }

    async fn wait_until_it_answers(&mut self) {
        let http = self.http();
        let answers = timeout(START_LIMIT, async {
            while http
                .ask(Method::GET, "/versions", None, None)
                .await
                .is_err()
            {
                if let Some(status) = self.process.try_wait().expect("it is our child") {
                    return Err(status);
                }
                sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        });
        let answers = answers.await;
        assert!(
            matches!(answers, Ok(Ok(()))),
            "no start: {answers:?}\n{}",
            self.log.text()
        );
    }
}

impl Drop for Server {
    /// A failing test shows the end of the log.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the server's last lines:\n{}", self.log.text());
        }
    }
}

impl Log {
    async fn read(self, from: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            {
                let mut kept = self.kept();
                if kept.len() == LOG_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
            self.0.1.notify_waiters();
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.0.lock().expect("readers do not panic")
    }

    fn text(&self) -> String {
        let kept = self.kept();
        kept.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

/// `DURABILITY_BINARY`, or the binary of the same build: this test is
/// `target/PROFILE/deps/it-HASH`.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("DURABILITY_BINARY") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("a test knows its path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in PROFILE/deps");
    let path = profile.join("aqueduct");
    assert!(
        path.exists(),
        "{} is not built: cargo build -p aqueduct",
        path.display()
    );
    path
}
