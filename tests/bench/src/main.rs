//! hsbench: drives any Matrix homeserver over its client-server API and prints, per scenario,
//! one JSON line of what it did and what it cost.

mod api;
mod bench;
mod http;
mod proc;
mod register;
mod scenarios;
mod stats;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Parser;
use serde_json::{Value, json};

use bench::Bench;
use scenarios::Scenario;

#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    /// Base URL of the server (http only)
    #[arg(long, default_value = "http://127.0.0.1:8008")]
    url: String,
    /// Server process to account for, with its descendants; may be repeated
    #[arg(long)]
    pid: Vec<i32>,
    /// Copied into the output, to distinguish servers
    #[arg(long, default_value = "")]
    label: String,
    /// Register with m.login.registration_token
    #[arg(long)]
    registration_token: Option<String>,
    /// Register through Synapse's /_synapse/admin/v1/register
    #[arg(long, conflicts_with = "registration_token")]
    shared_secret: Option<String>,
    /// set_presence of every /sync
    #[arg(long, default_value = "online")]
    presence: String,
    /// Requests at once while setting up accounts and rooms
    #[arg(long, default_value_t = 8)]
    setup_concurrency: usize,
    /// Seconds after which a measured phase takes no further operation
    #[arg(long, default_value_t = 120)]
    max_seconds: u64,
    /// Seconds to give one request (added to the timeout of a long poll)
    #[arg(long, default_value_t = 60)]
    request_timeout: u64,
    /// Milliseconds between the last answer and the final look at the server process
    #[arg(long, default_value_t = 1000)]
    settle_ms: u64,
    #[command(subcommand)]
    scenario: Scenario,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    proc::raise_open_files(65_536);
    // One thread: it needs no locks, cannot take more than one core from the server, and can
    // make more requests than a homeserver on a few cores answers. See client_cpu_s in the
    // output; run several hsbench side by side should it ever come near wall_s.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let line = runtime.block_on(run(cli))?;
    println!("{line}");
    Ok(())
}

async fn run(cli: Cli) -> Result<Value> {
    let registration = match (cli.registration_token, cli.shared_secret) {
        (Some(token), _) => register::Method::Token(token),
        (_, Some(secret)) => register::Method::SharedSecret(secret),
        _ => register::Method::Open,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let bench = Bench {
        target: http::Target::parse(&cli.url).await?,
        probe: proc::Probe::new(cli.pid),
        registration,
        run: format!("{:x}", now.as_millis()),
        presence: cli.presence,
        request_timeout: Duration::from_secs(cli.request_timeout),
        max_time: Duration::from_secs(cli.max_seconds),
        settle: Duration::from_millis(cli.settle_ms),
        setup_concurrency: cli.setup_concurrency.max(1),
        setup_errors: Default::default(),
        errors: Default::default(),
    };

    let version = match bench.conn().send(&api::server_version()).await {
        Ok(reply) => reply.json::<Value>()?["server"].take(),
        Err(_) => Value::Null,
    };
    let calibration = proc::calibrate();
    let start = Instant::now();
    let (scenario, params, figures) = cli.scenario.run(&bench).await?;
    let mut line = json!({
        "scenario": scenario,
        "label": cli.label,
        "server": version,
        "unix_time": now.as_secs(),
        "params": params,
        "calibration_ms": stats::round(calibration),
        "total_s": stats::round(start.elapsed().as_secs_f64()),
        "errors": bench.errors.borrow().json(),
        "setup_errors": bench.setup_errors.borrow().json(),
    });
    let fields = line.as_object_mut().expect("an object");
    fields.extend(figures.as_object().expect("figures are an object").clone());
    Ok(line)
}
