//! When a server's keys are fetched next: a minute after an attempt that failed, doubling to an hour; a
//! minute after one that succeeded, if the wanted key was not among them.

use std::time::Duration;

use quick_cache::sync::Cache;
use ruma::ServerName;

/// Servers that are remembered, each in about 350 bytes. A server that is forgotten is asked again early.
const MOST: usize = 16_384;
pub(super) const FIRST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(1);

pub(super) struct Retries(Cache<String, Attempt>);

#[derive(Clone, Copy)]
struct Attempt {
    /// By the monotonic clock.
    at: Duration,
    failures: u32,
}

/// Why keys are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Event,
    /// The server has just sent a request, so it may be back: it is asked once a minute at least.
    Request,
}

impl Retries {
    pub(super) fn new() -> Self {
        Self(Cache::new(MOST))
    }

    /// How long the server is not to be asked; zero where it may be.
    pub(super) fn wait(&self, server: &ServerName, purpose: Purpose, now: Duration) -> Duration {
        let Some(attempt) = self.0.get(server.as_str()) else {
            return Duration::ZERO;
        };
        let doublings = attempt.failures.saturating_sub(1).min(16);
        let wait = match purpose {
            Purpose::Event => FIRST.saturating_mul(1 << doublings).min(LONGEST),
            Purpose::Request => FIRST,
        };
        (attempt.at + wait).saturating_sub(now)
    }

    pub(super) fn succeeded(&self, server: &ServerName, now: Duration) {
        let attempt = Attempt {
            at: now,
            failures: 0,
        };
        self.0.insert(server.as_str().to_owned(), attempt);
    }

    pub(super) fn failed(&self, server: &ServerName, now: Duration) {
        let before = self
            .0
            .get(server.as_str())
            .map_or(0, |attempt| attempt.failures);
        let attempt = Attempt {
            at: now,
            failures: before.saturating_add(1),
        };
        self.0.insert(server.as_str().to_owned(), attempt);
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn failures_double_the_wait_up_to_an_hour() {
        let (retries, server) = (Retries::new(), server_name!("a.example"));
        let mut now = Duration::from_secs(5);
        assert_eq!(retries.wait(server, Purpose::Event, now), Duration::ZERO);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            retries.failed(server, now);
            assert_eq!(retries.wait(server, Purpose::Event, now), FIRST * minutes);
            assert_eq!(retries.wait(server, Purpose::Request, now), FIRST);
            now += FIRST * minutes;
            assert_eq!(retries.wait(server, Purpose::Event, now), Duration::ZERO);
        }
        retries.succeeded(server, now);
        assert_eq!(retries.wait(server, Purpose::Event, now), FIRST);
    }
}
