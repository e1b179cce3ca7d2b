//! Runs the compiled test packages, a bounded number at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures_util::future::try_join_all;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::Failure;
use crate::docker::{Docker, output_of};
use crate::output::{Event, Reader};
use crate::results::{Outcome, Results};
use crate::server_logs::{Kept, Moment};

/// A package that takes longer is stopped, and its unfinished tests count as failed.
const PACKAGE_LIMIT: &str = "-test.timeout=15m";

pub(crate) struct Suite<'a> {
    pub(crate) docker: &'a Docker,
    pub(crate) image: &'a str,
    /// Runs only matching tests.
    pub(crate) pattern: Option<&'a str>,
    pub(crate) logs: Option<&'a Path>,
    pub(crate) jobs: u32,
}

/// One executable and its name without `.test`.
pub(crate) struct Package {
    path: PathBuf,
    name: String,
    /// The size of the file, which grows with the number of tests.
    bytes: u64,
}

pub(crate) fn find(folder: &Path) -> Result<Vec<Package>, Failure> {
    let folder = folder
        .canonicalize()
        .map_err(|error| Failure::File(folder.to_owned(), error))?;
    let failure = |error| Failure::File(folder.clone(), error);
    let mut packages = Vec::new();
    for entry in folder.read_dir().map_err(failure)? {
        let entry = entry.map_err(failure)?;
        let path = entry.path();
        if path.extension() == Some(OsStr::new("test"))
            && let Some(name) = path.file_stem().and_then(OsStr::to_str)
        {
            packages.push(Package {
                name: name.to_owned(),
                bytes: entry.metadata().map_err(failure)?.len(),
                path,
            });
        }
    }
    if packages.is_empty() {
        return Err(Failure::NoPackages(folder));
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

impl Suite<'_> {
    pub(crate) async fn run(&self, packages: &[Package]) -> Result<Results, Failure> {
        // The largest first, so that a small one ends last; `pop` takes from the end.
        let mut waiting: Vec<&Package> = packages.iter().collect();
        waiting.sort_by_key(|package| package.bytes);
        let waiting = RefCell::new(waiting);
        let results = RefCell::new(Results::default());
        let worker = async || {
            loop {
                let next = waiting.borrow_mut().pop();
                let Some(package) = next else {
                    return Ok(());
                };
                for (name, outcome) in self.run_package(package).await? {
                    results.borrow_mut().insert(&package.name, name, outcome);
                }
            }
        };
        try_join_all((0..self.jobs).map(|_| worker())).await?;
        Ok(results.into_inner())
    }

    /// A test that panics ends its package. Tests that had not started by then are run again, until
    /// none is left.
    async fn run_package(&self, package: &Package) -> Result<BTreeMap<String, Outcome>, Failure> {
        // Only Go knows which tests a pattern selects.
        let Some(mut left) = self.list(package).await? else {
            let pattern = self.pattern.unwrap_or_default();
            return Ok(self.run_once(package, Some(pattern)).await?.finish());
        };
        let mut outcomes = self.run_once(package, None).await?.finish();
        loop {
            let before = left.len();
            left.retain(|name| !outcomes.contains_key(name));
            if left.is_empty() {
                return Ok(outcomes);
            }
            if left.len() == before {
                // It ended before any test.
                outcomes.extend(left.into_iter().map(|name| (name, Outcome::Fail)));
                return Ok(outcomes);
            }
            let pattern = format!("^({})$", left.join("|"));
            outcomes.extend(self.run_once(package, Some(&pattern)).await?.finish());
        }
    }

    async fn run_once(&self, package: &Package, pattern: Option<&str>) -> Result<Reader, Failure> {
        let name = &package.name;
        let elsewhere = TempDir::new().map_err(|error| Failure::Start(name.clone(), error))?;
        let kept = self
            .logs
            .map(|folder| Kept::prepare(folder, name))
            .transpose()?;
        let mut command = self.command(package, "-test.v=test2json");
        command.arg(PACKAGE_LIMIT);
        command.current_dir(elsewhere.path());
        if let Some(pattern) = pattern {
            command.arg(format!("-test.run={pattern}"));
        }
        if let Some(kept) = &kept {
            command.env("COMPLEMENT_POST_TEST_SCRIPT", kept.script());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Failure::Start(name.clone(), error))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let (reader, failed) = read(name, stdout).await?;
        child
            .wait()
            .await
            .map_err(|error| Failure::Start(name.clone(), error))?;
        if let Some(kept) = &kept {
            kept.keep_failed(&failed, &reader)?;
        }
        Ok(reader)
    }

    /// The package's top-level tests, unless only a part is selected.
    async fn list(&self, package: &Package) -> Result<Option<Vec<String>>, Failure> {
        if self.pattern.is_some() {
            return Ok(None);
        }
        let names = output_of(self.command(package, "-test.list=.*")).await?;
        Ok(Some(names.lines().map(str::to_owned).collect()))
    }

    fn command(&self, package: &Package, argument: &str) -> Command {
        let mut command = Command::new(&package.path);
        command
            .arg(argument)
            .env("COMPLEMENT_BASE_IMAGE", self.image)
            .env("COMPLEMENT_ENABLE_DIRTY_RUNS", "1")
            .process_group(0)
            .kill_on_drop(true);
        self.docker.apply(&mut command);
        command
    }
}

/// Reads a package's output to its end and prints each result. Also returns when each failed test
/// ran.
async fn read(
    package: &str,
    stdout: impl tokio::io::AsyncRead + Unpin,
) -> Result<(Reader, Vec<Moment>), Failure> {
    let mut reader = Reader::default();
    let mut running: BTreeMap<String, String> = BTreeMap::new();
    let mut failed = Vec::new();
    let mut lines = BufReader::new(stdout).split(b'\n');
    let failure = |error| Failure::Start(package.to_owned(), error);
    while let Some(line) = lines.next_segment().await.map_err(failure)? {
        match reader.read(&String::from_utf8_lossy(&line)) {
            Some(Event::Started(name)) => {
                running.insert(name, Moment::now());
            }
            Some(Event::Ended(name, outcome)) => {
                println!("{outcome:?} {package} {name}");
                let from = running.remove(&name).unwrap_or_default();
                if outcome == Outcome::Fail {
                    failed.push(Moment {
                        test: name,
                        from,
                        to: Moment::now(),
                    });
                }
            }
            None => {}
        }
    }
    // Incomplete: the package was stopped, or panicked.
    for (test, from) in running {
        println!("Fail {package} {test} (did not end)");
        failed.push(Moment {
            test,
            from,
            to: Moment::now(),
        });
    }
    Ok((reader, failed))
}
