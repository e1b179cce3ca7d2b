//! The Docker daemon of the suite: the running one, or else one that this program starts and stops.
//! Containers, networks and images that the suite creates are removed in both cases.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::firewall::Firewall;

/// Complement labels everything that it creates with this.
const LABEL: &str = "label=complement_pkg";
/// The name of the images that are built; the tag identifies the run.
pub(crate) const IMAGE: &str = "aqueduct-complement";
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Docker {
    own: Option<Daemon>,
    /// Objects of other runs that were in the daemon before this one. They are not removed.
    before: Vec<BTreeSet<String>>,
}

/// The kinds of objects that a run creates, with the commands that list and remove them. Images
/// last: containers use them.
const KINDS: [(&[&str], &[&str]); 4] = [
    (
        &["ps", "--all", "--quiet", "--filter", LABEL],
        &["rm", "--force", "--volumes"],
    ),
    (
        &["network", "ls", "--quiet", "--filter", LABEL],
        &["network", "rm"],
    ),
    (
        &["images", "--quiet", "--no-trunc", "--filter", LABEL],
        &["rmi", "--force"],
    ),
    (
        &["images", "--quiet", "--no-trunc", IMAGE],
        &["rmi", "--force"],
    ),
];

struct Daemon {
    process: Child,
    folder: TempDir,
    firewall: Option<Firewall>,
}

impl Docker {
    pub(crate) async fn connect_or_start() -> Result<Self, Failure> {
        let mut docker = Self {
            own: None,
            before: Vec::new(),
        };
        if docker.answers().await.is_err() {
            docker.own = Some(Daemon::start().await?);
            docker.wait_for_daemon().await?;
        }
        for (list, _) in KINDS {
            let found = docker.list(list).await;
            docker.before.push(found);
        }
        Ok(docker)
    }

    /// Points a child process at the daemon in use.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Some(own) = &self.own {
            command.env("DOCKER_HOST", own.host());
        }
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new("docker");
        command.args(arguments);
        // Every version has the classic builder; BuildKit needs a plugin that Debian does not
        // package.
        command.env("DOCKER_BUILDKIT", "0");
        self.apply(&mut command);
        output_of(command).await
    }

    /// Best effort: an object that cannot be removed does not prevent removing the others.
    pub(crate) async fn leave_nothing_behind(mut self) {
        for ((list, remove), before) in KINDS.iter().zip(&self.before) {
            for id in self.list(list).await.difference(before) {
                let arguments: Vec<&str> = remove.iter().copied().chain([id.as_str()]).collect();
                // An image may have been removed with the one that it was a layer of.
                drop(self.run(&arguments).await);
            }
        }
        if let Some(daemon) = self.own.take() {
            daemon.stop().await;
        }
    }

    async fn list(&self, arguments: &[&str]) -> BTreeSet<String> {
        let listed = self.run(arguments).await.unwrap_or_default();
        listed.lines().map(str::to_owned).collect()
    }

    async fn answers(&self) -> Result<String, Failure> {
        self.run(&["version", "--format", "{{.Server.Version}}"])
            .await
    }

    async fn wait_for_daemon(&mut self) -> Result<(), Failure> {
        let answered = timeout(START_LIMIT, async {
            while self.answers().await.is_err() {
                sleep(Duration::from_millis(100)).await;
            }
        });
        if answered.await.is_ok() {
            return Ok(());
        }
        let log = match self.own.take() {
            Some(daemon) => daemon.stop().await,
            None => String::new(),
        };
        Err(Failure::Command(format!("dockerd does not answer:\n{log}")))
    }
}

impl Daemon {
    async fn start() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("dockerd-")
            .tempdir()
            .map_err(|error| Failure::Start("a folder for dockerd".to_owned(), error))?;
        let at = |name: &str| folder.path().join(name);
        let log = fs::File::create(at("log")).map_err(|error| Failure::File(at("log"), error))?;
        let firewall = Firewall::before_docker().await;
        let process = Command::new("dockerd")
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg(format!("--host=unix://{}", at("socket").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A process group of its own: an interrupt at the terminal reaches only this
            // program, which then stops the daemon in order.
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::Start("dockerd (Debian: docker.io)".to_owned(), error))?;
        Ok(Self {
            process,
            folder,
            firewall,
        })
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    /// Returns the daemon's log.
    async fn stop(mut self) -> String {
        if let Some(id) = self.process.id() {
            let mut terminate = Command::new("kill");
            terminate.arg(id.to_string());
            drop(output_of(terminate).await);
        }
        if timeout(STOP_LIMIT, self.process.wait()).await.is_err() {
            drop(self.process.kill().await);
        }
        if let Some(firewall) = &self.firewall {
            firewall.restore(self.folder.path()).await;
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// The output of a command, without the final line break.
pub(crate) async fn output_of(mut command: Command) -> Result<String, Failure> {
    let name = format!("{:?}", command.as_std());
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| Failure::Start(name.clone(), error))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Command(format!(
            "{name}: {}\n{message}",
            output.status
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}
