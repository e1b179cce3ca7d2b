//! The engine: decides the fate of each commit, and of what waits when the process is killed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{sync::watch, task::yield_now};

use super::{FaultPlan, view::FaultView};
use crate::{
    engine::{BoxFuture, Commit, Engine, View},
    error::{Result, StoreError},
    memory::Memory,
    stamp::Stamp,
    store::Store,
};

/// A database that fails at random, and the process that runs on it. Clones share both.
#[derive(Clone)]
pub struct FaultEngine {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    memory: Memory,
    state: Mutex<State>,
}

struct State {
    random: StdRng,
    plan: FaultPlan,
    /// So many further commits fail.
    read_only: u16,
    /// Failed commits that the memory engine keeps for the next process.
    unsure: usize,
    is_crashed: bool,
}

enum Fate {
    Refused(StoreError),
    Fails { is_kept: bool },
    Succeeds,
}

impl FaultEngine {
    pub fn new(seed: u64, plan: FaultPlan) -> Self {
        Self::on(Memory::new(), StdRng::seed_from_u64(seed), plan)
    }

    fn on(memory: Memory, random: StdRng, plan: FaultPlan) -> Self {
        // Commits gather, and the first whose delay is over writes all of them.
        memory.faults().hold();
        memory.faults().keep_abandoned(true);
        let state = State {
            random,
            plan,
            read_only: 0,
            unsure: 0,
            is_crashed: false,
        };
        Self {
            inner: Arc::new(Inner {
                memory,
                state: Mutex::new(state),
            }),
        }
    }

    pub fn store(&self) -> Store {
        Store::new(Arc::new(self.clone()))
    }

    /// Kills the process: of the commits that were not acknowledged, those that were being written
    /// or had failed, the first few are on disk and the others are lost. Returns the database as
    /// the next process finds it, with the same plan; this one answers with errors from now on.
    /// Tasks that wait for its next stamp wait for ever: drop them, as the kill would.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.inner.lock();
        state.is_crashed = true;
        let faults = self.inner.memory.faults();
        let unsure = std::mem::take(&mut state.unsure);
        let kept = if unsure > 0 {
            // Nothing is written behind a commit that failed.
            faults.lose_waiting(0);
            state.random.random_range(0..=unsure)
        } else {
            let waiting = faults.waiting();
            faults.lose_waiting(state.random.random_range(0..=waiting));
            faults.commit_waiting();
            0
        };
        let random = StdRng::seed_from_u64(state.random.random());
        let plan = state.plan;
        drop(state);
        Self::on(self.inner.memory.restarted(kept), random, plan)
    }

    /// No more faults; what waits is still written in its time.
    pub fn heal(&self) {
        self.set_plan(FaultPlan::NONE);
    }

    pub fn set_plan(&self, plan: FaultPlan) {
        let mut state = self.inner.lock();
        state.plan = plan;
        state.read_only = 0;
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a read may go on, and whether it is cold.
    pub(super) fn read_now(&self) -> Result<bool> {
        let mut state = self.lock();
        state.check()?;
        let share = state.plan.cold_reads;
        Ok(state.chance(share))
    }

    /// A read from the disk.
    pub(super) async fn read_disk(&self) -> Result<()> {
        let (fails, delay) = {
            let mut state = self.lock();
            state.check()?;
            let share = state.plan.read_errors;
            (state.chance(share), state.delay())
        };
        for _ in 0..delay {
            yield_now().await;
        }
        self.lock().check()?;
        if fails {
            return Err(unavailable("injected: the disk cannot be read"));
        }
        Ok(())
    }
}

impl State {
    fn check(&self) -> Result<()> {
        if self.is_crashed {
            return Err(unavailable("injected: the process was killed"));
        }
        Ok(())
    }

    fn chance(&mut self, share: u16) -> bool {
        share > 0 && self.random.random_range(0..1000) < share
    }

    fn delay(&mut self) -> u16 {
        if self.plan.delay == 0 {
            return 0;
        }
        self.random.random_range(0..=self.plan.delay)
    }

    fn fate(&mut self) -> Fate {
        if let Err(error) = self.check() {
            return Fate::Refused(error);
        }
        if self.read_only > 0 {
            self.read_only -= 1;
            return Fate::Refused(unavailable("injected: the database is read-only"));
        }
        let plan = self.plan;
        if self.chance(plan.conflicts) {
            return Fate::Refused(StoreError::Conflict);
        }
        if self.chance(plan.write_errors) {
            self.read_only = self.random.random_range(0..=plan.read_only_turns);
            return Fate::Fails {
                is_kept: self.random.random(),
            };
        }
        Fate::Succeeds
    }
}

impl Engine for FaultEngine {
    fn snapshot(&self) -> Arc<dyn View> {
        Arc::new(FaultView::new(
            self.inner.memory.snapshot(),
            self.inner.clone(),
        ))
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Stamp>> {
        Box::pin(async move {
            let (fate, delay) = {
                let mut state = self.inner.lock();
                (state.fate(), state.delay())
            };
            let faults = self.inner.memory.faults();
            match fate {
                Fate::Refused(error) => return Err(error),
                Fate::Fails { is_kept } => {
                    // What came before it is written first, so that the failure is its own.
                    faults.commit_waiting();
                    let error = unavailable("injected: the disk cannot be written");
                    if is_kept {
                        faults.fail_but_keep_next(1, &error);
                    } else {
                        faults.fail_next(1, &error);
                    }
                    let mut failing = self.inner.memory.commit(commit);
                    assert!(start(&mut failing).await.is_none(), "commits are held");
                    faults.commit_waiting();
                    let result = failing.await;
                    if is_kept && result.as_ref() == Err(&error) {
                        self.inner.lock().unsure += 1;
                    }
                    return result;
                }
                Fate::Succeeds => {}
            }
            let mut running = self.inner.memory.commit(commit);
            if let Some(result) = start(&mut running).await {
                return result;
            }
            for _ in 0..delay {
                yield_now().await;
            }
            {
                let mut state = self.inner.lock();
                state.check()?;
                faults.commit_waiting();
                // Whatever was written cuts off the commits that had failed before it.
                state.unsure = 0;
            }
            running.await
        })
    }

    fn published(&self) -> watch::Receiver<Stamp> {
        self.inner.memory.published()
    }
}

/// Polls once.
async fn start<T>(future: &mut BoxFuture<'_, T>) -> Option<T> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable(reason.to_owned())
}
