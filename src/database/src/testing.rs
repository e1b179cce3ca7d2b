//! An engine that fails at random, for simulations (feature `testing`).
//!
//! [`FaultEngine`] runs the memory engine and injects what a real disk and a real process do:
//! commits that fail and are gone, or fail and are there after a restart; turns of being read-only;
//! reads that fail or are slow; answers that come late, so that commits meet in groups and callers
//! are cancelled in the middle; and crashes that lose any suffix of what was not yet on disk. What
//! was acknowledged is never lost.
//!
//! Everything follows from the seed and from the order of the calls. On a single-threaded runtime,
//! with injected clock and randomness, a run repeats exactly. Delays are turns of the scheduler,
//! not time.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use database::testing::{FaultEngine, FaultPlan};
//!
//! let engine = FaultEngine::new(42, FaultPlan::SOME);
//! let store = engine.store();
//! // ... run parts on `store`, then kill the process:
//! let engine = engine.crash();
//! let store = engine.store(); // The next process; the old store answers with errors alone.
//! engine.heal(); // No more faults: the parts have to recover from here.
//! # drop(store);
//! # });
//! ```

mod engine;
#[cfg(test)]
mod tests;
mod view;

pub use self::engine::FaultEngine;

/// How often each fault happens. Shares are out of 1,000 calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// Commits that conflict with one that nobody made.
    pub conflicts: u16,
    /// Commits that fail; half of them may be there after a crash.
    pub write_errors: u16,
    /// After a failed commit, up to so many further ones fail as well: the engine is read-only.
    pub read_only_turns: u16,
    /// Reads from the disk that fail.
    pub read_errors: u16,
    /// Reads that are not in memory, so that they go to the disk.
    pub cold_reads: u16,
    /// A commit, or a read from the disk, takes up to so many turns of the scheduler.
    pub delay: u16,
}

impl FaultPlan {
    pub const NONE: Self = Self {
        conflicts: 0,
        write_errors: 0,
        read_only_turns: 0,
        read_errors: 0,
        cold_reads: 0,
        delay: 0,
    };

    /// Enough of everything that a run of some hundred commits sees each fault, and still gets on.
    pub const SOME: Self = Self {
        conflicts: 30,
        write_errors: 20,
        read_only_turns: 3,
        read_errors: 5,
        cold_reads: 200,
        delay: 8,
    };
}
