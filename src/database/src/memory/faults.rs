//! Faults that a test asks for, one by one. For faults at random, see `testing::FaultEngine`.

use std::{iter::repeat_n, sync::Arc};

use super::{Inner, lock};
use crate::error::StoreError;

/// Makes a [`Memory`](super::Memory) fail in chosen ways; shared with it.
#[derive(Clone)]
pub struct Faults {
    pub(super) inner: Arc<Inner>,
}

/// What becomes of the next commit.
pub(super) enum Fault {
    /// It fails and leaves no trace.
    Lost(StoreError),
    /// It fails, and may be there after a restart.
    Kept(StoreError),
}

impl Faults {
    /// The next `count` commits fail with this error, once each; adds to what is to fail already.
    pub fn fail_next(&self, count: usize, error: &StoreError) {
        let faults = repeat_n(error, count).map(|error| Fault::Lost(error.clone()));
        lock(&self.inner.faults).extend(faults);
    }

    /// The same, but these commits are found by [`Memory::restarted`](super::Memory::restarted),
    /// as if the log had been written and its sync had failed.
    pub fn fail_but_keep_next(&self, count: usize, error: &StoreError) {
        let faults = repeat_n(error, count).map(|error| Fault::Kept(error.clone()));
        lock(&self.inner.faults).extend(faults);
    }

    /// From now on commits wait, and nothing new becomes visible, until [`Faults::release`].
    pub fn hold(&self) {
        lock(&self.inner.queue).is_held = true;
    }

    /// Writes all that waits as one group, in the order it came.
    pub fn release(&self) {
        lock(&self.inner.queue).is_held = false;
        self.inner.commit_waiting();
    }

    /// The same, and goes on holding what comes later.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn commit_waiting(&self) {
        self.inner.commit_waiting();
    }

    /// How many commits wait, those of callers that are gone included.
    pub fn waiting(&self) -> usize {
        lock(&self.inner.queue).waiting.len()
    }

    /// The waiting commits from the given one on are lost; their callers get an error.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn lose_waiting(&self, from: usize) {
        lock(&self.inner.queue).waiting.truncate(from);
    }

    /// Whether a waiting commit whose caller is gone is written all the same, as by an engine that
    /// had begun to; by default it is left out.
    pub fn keep_abandoned(&self, keeps: bool) {
        lock(&self.inner.queue).keeps_abandoned = keeps;
    }

    /// Whether reads behave as if nothing were cached.
    pub fn set_cold(&self, is_cold: bool) {
        self.inner.cold.send_replace(is_cold);
    }
}
