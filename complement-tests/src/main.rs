//! Runs Complement, the conformance suite of all homeservers, against a release build of this
//! server; `docs/testing.md`.
//!
//! It builds an image with the binary, runs the suite's compiled test packages against it, two at
//! once, and writes the result of each test beside this program's sources.

mod docker;
mod firewall;
mod image;
mod output;
mod packages;
mod results;
mod server_logs;
mod summary;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use docker::Docker;
use packages::Suite;
use results::Results;

/// The folder of the committed results, below the root of the repository.
const FOLDER: &str = "complement-tests";

/// Runs the Complement conformance suite against Aqueduct.
#[derive(Parser)]
struct Arguments {
    /// Folder of compiled test packages (`*.test`, as `go test -c` writes them)
    #[arg(long, value_name = "DIR", env = "COMPLEMENT_TESTS")]
    tests: PathBuf,
    /// Run only tests that match, as Go's `-test.run` does; no committed file is touched
    #[arg(long, value_name = "REGEX")]
    run: Option<String>,
    /// Exit non-zero and list each test that passes in the committed results.jsonl and fails now
    #[arg(long)]
    compare: bool,
    /// Run everything N times and list each test whose result is not the same every time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Keep, for each failed test, its own output and the server's log in this folder
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// The server under test [default: `aqueduct` beside this program]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Base image; `scratch` needs no registry
    #[arg(long, value_name = "IMAGE", default_value = "scratch")]
    base: String,
    /// Packages that run at once
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
}

/// Why there is no result. A failing test is a result.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("{0}: {1}")]
    Start(String, std::io::Error),
    #[error("{0}")]
    Command(String),
    #[error("no *.test in {0}: docs/testing.md says how to compile them")]
    NoPackages(PathBuf),
    #[error("{0} is not a results file: {1}")]
    BadResults(String, serde_json::Error),
    #[error("stopped by a signal")]
    Signal,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("complement-tests: {failure}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let root = PathBuf::from(git(&["rev-parse", "--show-toplevel"]).await?);
    let committed = if arguments.compare {
        Some(committed_results().await?)
    } else {
        None
    };
    let docker = Docker::connect_or_start().await?;
    let runs = tokio::select! {
        runs = run_all(arguments, &root, &docker) => runs,
        () = stopped() => Err(Failure::Signal),
    };
    docker.leave_nothing_behind().await;
    let runs = runs?;
    let results = Results::worst_of(&runs);
    let flaky = Results::differing(&runs);
    for name in &flaky {
        println!("flaky: {name}");
    }
    let summary = summary::table(&results, &code_that_ran().await?);
    println!("{summary}");
    if arguments.run.is_none() {
        let folder = root.join(FOLDER);
        write(&folder.join("results.jsonl"), &results.to_lines())?;
        write(&folder.join("summary.md"), &summary)?;
    }
    let regressions = committed
        .map(|before| results.regressions(&before))
        .unwrap_or_default();
    for name in &regressions {
        println!("passed before: {name}");
    }
    let is_good = flaky.is_empty() && regressions.is_empty();
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn run_all(
    arguments: &Arguments,
    root: &Path,
    docker: &Docker,
) -> Result<Vec<Results>, Failure> {
    let binary = match &arguments.binary {
        Some(path) => path.clone(),
        None => image::beside_this_program("aqueduct")?,
    };
    let image = image::build(docker, &root.join(FOLDER), &binary, &arguments.base).await?;
    let suite = Suite {
        docker,
        image: &image,
        pattern: arguments.run.as_deref(),
        logs: arguments.logs.as_deref(),
        jobs: arguments.jobs,
    };
    let packages = packages::find(&arguments.tests)?;
    let mut runs = Vec::new();
    for _ in 0..arguments.repeat {
        runs.push(suite.run(&packages).await?);
    }
    Ok(runs)
}

/// The tree of the code under test, and whether the working tree differs from it.
async fn code_that_ran() -> Result<String, Failure> {
    let tree = git(&["rev-parse", "HEAD:src"]).await?;
    let changes = git(&["status", "--porcelain", "--", ":/src"]).await?;
    Ok(if changes.is_empty() {
        tree
    } else {
        format!("{tree}, with uncommitted changes")
    })
}

async fn committed_results() -> Result<Results, Failure> {
    let name = format!("HEAD:{FOLDER}/results.jsonl");
    let lines = git(&["show", &name]).await?;
    Results::from_lines(&lines).map_err(|error| Failure::BadResults(name, error))
}

async fn git(arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("git");
    command.args(arguments);
    docker::output_of(command).await
}

async fn stopped() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminate.recv() => (),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::File(path.to_owned(), error))
}
