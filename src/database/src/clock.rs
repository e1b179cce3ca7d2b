//! Time is injected: everything takes `Arc<dyn Clock>`, so that tests decide what time it is.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{number_key, value::Record};

/// A moment: milliseconds since the Unix epoch, the unit of `origin_server_ts`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

number_key!(Millis);
impl Record for Millis {}

impl Millis {
    /// This moment and `duration` more, at most the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

pub trait Clock: Send + Sync {
    /// The wall clock, for times that are stored or shown. May jump.
    fn now(&self) -> Millis;
    /// Time since some fixed moment of this process: for measuring. Never goes back.
    fn monotonic(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the machine's clock is read"
)]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock is read"
    )]
    fn now(&self) -> Millis {
        Millis(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, whole_millis),
        )
    }

    fn monotonic(&self) -> Duration {
        START.elapsed()
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct MockClock {
    now: AtomicU64,
    /// Nanoseconds.
    monotonic: AtomicU64,
}

impl MockClock {
    pub const fn new(now: Millis) -> Self {
        Self {
            now: AtomicU64::new(now.0),
            monotonic: AtomicU64::new(0),
        }
    }

    /// Sets the wall clock only, as an administrator or NTP would.
    pub fn set(&self, now: Millis) {
        self.now.store(now.0, Relaxed);
    }

    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(whole_millis(by), Relaxed);
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.monotonic.fetch_add(nanos, Relaxed);
    }
}

impl Default for MockClock {
    /// New Year 2025.
    fn default() -> Self {
        Self::new(Millis(1_735_689_600_000))
    }
}

impl Clock for MockClock {
    fn now(&self) -> Millis {
        Millis(self.now.load(Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic.load(Relaxed))
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
