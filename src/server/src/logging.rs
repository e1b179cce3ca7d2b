//! Structured logs on standard output: `text` for people, `json` for machines.
//!
//! A thread of its own writes them, so that whoever reads them slowly holds up no request. What waits is bounded: lines that find it
//! full are dropped, and their number is told at the end.

use std::{
    io::{self, IsTerminal as _, Write},
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Libraries that would write a line for every event. `log.level` can name them to have it so.
const QUIET: &str = "ruma_state_res=warn,hyper=warn";

/// Lines that may wait to be written.
const WAITING_LINES: usize = 16_384;

/// How long the thread lets lines gather after it wrote some: while it rests, a request that logs need not wake it.
const REST: Duration = Duration::from_millis(20);
/// Bytes that are written at the latest.
const BATCH: usize = 64 * 1024;

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
        .finish(Batches::new(io::stdout(), REST));
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

/// Writes lines together, those of one flush at once, and then rests.
struct Batches<W> {
    out: W,
    lines: Vec<u8>,
    rest: Duration,
}

impl<W: Write> Batches<W> {
    fn new(out: W, rest: Duration) -> Self {
        Self {
            out,
            lines: Vec::new(),
            rest,
        }
    }

    /// Lines that cannot be written are lost, so that they do not pile up.
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
        thread::sleep(self.rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every write as it came.
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
