//! The division of `memory.budget` among the caches.

use edge::InFlightLimits;

use crate::config::Config;

/// Shares of `memory.budget`, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Block cache, write buffers and queues of the database.
    pub(crate) database: usize,
    pub(crate) events: u64,
    pub(crate) state_nodes: u64,
    pub(crate) sync: u64,
    pub(crate) push: u64,
    pub(crate) tokens: u64,
    pub(crate) devices: u64,
    /// Request bodies and responses: a quarter of the budget, besides the caches' shares, but at
    /// least two of the largest bodies.
    pub(crate) in_flight: InFlightLimits,
}

impl Shares {
    pub(crate) fn of(config: &Config) -> Self {
        let budget = config.memory.budget.0;
        let percent = |share: u64| budget / 100 * share;
        Self {
            database: usize::try_from(percent(45)).unwrap_or(usize::MAX),
            events: percent(16),
            state_nodes: percent(12),
            sync: percent(13),
            push: percent(7),
            tokens: percent(2),
            devices: percent(5),
            in_flight: in_flight(budget / 4, config.http.bodies().large),
        }
    }
}

fn in_flight(share: u64, largest_body: usize) -> InFlightLimits {
    let share = usize::try_from(share).unwrap_or(usize::MAX);
    InFlightLimits::new(share.max(largest_body.saturating_mul(2)))
}

/// Starts jemalloc's background threads, which return unused memory to the system soon after it is
/// freed. The server also works without them.
pub(crate) fn return_unused() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::debug!(%error, "could not start the background threads of the allocator");
    }
}
