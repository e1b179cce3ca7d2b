//! Structured logs on standard output: `text` for people, `json` for machines.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Libraries that would write a line for every event. `log.level` can name them to have it so.
const QUIET: &str = "ruma_state_res=warn,hyper=warn";

/// For the whole process, once.
pub(crate) fn start(log: &Log) {
    let filter = EnvFilter::new(format!("{QUIET},{}", log.level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stdout);
    match log.format {
        LogFormat::Text => lines.with_ansi(io::stdout().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let text = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, text, "a task panicked");
    }));
}
