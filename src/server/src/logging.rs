//! Structured logs on standard output: `text` for people, `json` for machines.
//!
//! A thread of its own writes them, so that whoever reads them slowly holds up no request. What waits is bounded: lines that find it
//! full are dropped, and their number is told at the end.

use std::io::{self, IsTerminal as _, Write as _};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Libraries that would write a line for every event. `log.level` can name them to have it so.
const QUIET: &str = "ruma_state_res=warn,hyper=warn";

/// Lines that may wait to be written.
const WAITING_LINES: usize = 16_384;

/// Writes what waits when it is dropped.
pub(crate) struct Logging {
    /// `None` once it has ended.
    writer: Option<WorkerGuard>,
    dropped: ErrorCounter,
}

/// For the whole process, once. Lines are written as long as the answer lives.
#[must_use]
pub(crate) fn start(log: &Log) -> Logging {
    let filter = EnvFilter::new(format!("{QUIET},{}", log.level));
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(io::stdout());
    let logging = Logging {
        dropped: writer.error_counter(),
        writer: Some(guard),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match log.format {
        LogFormat::Text => lines.with_ansi(io::stdout().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let text = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, text, "a task panicked");
    }));
    logging
}

impl Drop for Logging {
    fn drop(&mut self) {
        drop(self.writer.take());
        let dropped = self.dropped.dropped_lines();
        if dropped > 0 {
            let _ = writeln!(io::stderr(), "aqueduct: {dropped} log lines were dropped");
        }
    }
}
