//! Structured logs on standard output: `text` for people, `json` for machines.
//!
//! A separate thread writes them, so that a slow reader of the log delays no request. Its queue is
//! bounded: lines that find it full are dropped, and their number is printed when the server stops.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write},
    thread,
    time::Duration,
};

use database::{Clock as _, SystemClock};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use crate::config::{Log, LogFormat};

/// Libraries that write a line per event at `info`. `log.level` can override this.
const QUIET: &str = "ruma_state_res=warn,hyper=warn";

/// Lines that the queue holds.
const QUEUE_LINES: usize = 16_384;

/// The pause after each write, in which lines accumulate. A request that logs during the pause does
/// not need to wake the thread.
const PAUSE: Duration = Duration::from_millis(20);
/// The bytes at which a batch is written without waiting for a flush.
const BATCH: usize = 64 * 1024;

/// The log of the process. Dropping it writes the lines that are still queued.
pub(crate) struct Logging {
    /// `None` only while it is dropped.
    writer: Option<WorkerGuard>,
    dropped: ErrorCounter,
}

/// Starts the log of the process. Call once; lines are written as long as the return value lives.
#[must_use]
pub(crate) fn start(log: &Log) -> Logging {
    let filter = EnvFilter::new(format!("{QUIET},{}", log.level));
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE_LINES)
        .thread_name("log")
        .finish(Batches::new(io::stdout(), PAUSE));
    let logging = Logging {
        dropped: writer.error_counter(),
        writer: Some(guard),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match log.format {
        LogFormat::Text if io::stdout().is_terminal() => {
            lines
                .compact()
                .with_target(false)
                .with_timer(Seconds)
                .init();
        }
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let text = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, text, "a task panicked");
    }));
    logging
}

/// The time of day, UTC: enough for a person who watches a terminal.
struct Seconds;

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let second = SystemClock.now().0 / 1000 % 86_400;
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(writer, "{hour:02}:{minute:02}:{:02}Z", second % 60)
    }
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

/// Merges the lines between two flushes into one write, and pauses after each flush.
struct Batches<W> {
    out: W,
    lines: Vec<u8>,
    pause: Duration,
}

impl<W: Write> Batches<W> {
    fn new(out: W, pause: Duration) -> Self {
        Self {
            out,
            lines: Vec::new(),
            pause,
        }
    }

    /// Lines that cannot be written are dropped, so that they do not accumulate.
    fn write_out(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.lines);
        self.lines.clear();
        written
    }
}

impl<W: Write> Write for Batches<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.extend_from_slice(line);
        if self.lines.len() >= BATCH {
            self.write_out()?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()?;
        thread::sleep(self.pause);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records each write.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_together_in_their_order() {
        let mut batches = Batches::new(Writes::default(), Duration::ZERO);
        for line in ["one\n", "two\n"] {
            batches.write_all(line.as_bytes()).expect("taken");
        }
        batches.flush().expect("written");
        batches.write_all(b"three\n").expect("taken");
        batches.flush().expect("written");
        assert_eq!(batches.out.0, [&b"one\ntwo\n"[..], b"three\n"]);
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        let mut batches = Batches::new(Writes::default(), Duration::ZERO);
        let line = vec![b'x'; BATCH];
        batches.write_all(&line).expect("taken");
        assert_eq!(batches.out.0, [line]);
    }
}
