//! Work that would hold an async worker up (CPU-heavy, or waiting for a disk) runs elsewhere:
//! everything takes `Arc<dyn Blocking>`, so that a simulation can run it in place and stay
//! deterministic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use crate::engine::BoxFuture;

pub type Work = Box<dyn FnOnce() + Send>;

/// Where blocking work runs.
pub trait Blocking: Send + Sync {
    /// Runs `work`; the future ends after it. If the future is dropped first, work that has begun
    /// runs to its end, and work that still waits is dropped. `work` does not panic: use [`run`].
    fn execute(&self, work: Work) -> BoxFuture<'_, ()>;
}

/// Runs `work` on `blocking` and returns its result. A panic of `work` becomes the caller's.
pub async fn run<T: Send + 'static>(
    blocking: &dyn Blocking,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, result) = oneshot::channel();
    let work = move || {
        // A caller that is gone wants no result.
        let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
    };
    blocking.execute(Box::new(work)).await;
    match result.await.expect("`execute` ends after the work has run") {
        Ok(value) => value,
        Err(panic) => resume_unwind(panic),
    }
}

/// Runs work in place, before the future yields: for tests and simulations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Blocking for Inline {
    fn execute(&self, work: Work) -> BoxFuture<'_, ()> {
        Box::pin(async move { work() })
    }
}

/// Runs work on tokio's blocking threads, at most so many pieces at once. More of it waits in the
/// order it came, held by the futures of its callers: whoever accepts requests bounds how many
/// those are.
#[derive(Clone)]
pub struct BlockingPool {
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl BlockingPool {
    /// `tasks` owns what runs, so a shutdown that waits for it waits for work that has begun.
    pub fn new(at_once: usize, tasks: TaskTracker) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(at_once.max(1))),
            tasks,
        }
    }
}

impl Blocking for BlockingPool {
    fn execute(&self, work: Work) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let permit = self.permits.clone().acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            // The permit ends with the work, not with the caller.
            let running = self.tasks.spawn_blocking(move || {
                work();
                drop(permit);
            });
            if running.await.is_err() {
                // Only a runtime that shuts down drops work unrun; it drops the caller as well.
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    };

    use super::*;

    #[tokio::test]
    async fn inline_work_runs_in_place() {
        let here = std::thread::current().id();
        let there = run(&Inline, move || std::thread::current().id()).await;
        assert_eq!(there, here);
    }

    #[tokio::test]
    async fn pooled_work_runs_on_another_thread() {
        let here = std::thread::current().id();
        let pool: Arc<dyn Blocking> = Arc::new(BlockingPool::new(2, TaskTracker::new()));
        let there = run(&*pool, move || std::thread::current().id()).await;
        assert_ne!(there, here);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_than_the_bound_run_at_once() {
        let pool = BlockingPool::new(3, TaskTracker::new());
        let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (pool, running) = (pool.clone(), running.clone());
            callers.spawn(async move {
                let work = move || {
                    let now = running.0.fetch_add(1, SeqCst) + 1;
                    running.1.fetch_max(now, SeqCst);
                    std::thread::yield_now();
                    running.0.fetch_sub(1, SeqCst);
                };
                run(&pool, work).await;
            });
        }
        callers.join_all().await;
        let most = running.1.load(SeqCst);
        assert!((1..=3).contains(&most), "{most} at once");
    }

    #[tokio::test]
    async fn a_caller_that_goes_keeps_its_place_until_the_work_ends() {
        let tasks = TaskTracker::new();
        let pool = BlockingPool::new(1, tasks.clone());
        let (begun, has_begun) = oneshot::channel();
        let (finish, may_finish) = mpsc::channel::<()>();
        let may_finish = Mutex::new(may_finish);
        let slow = run(&pool, move || {
            begun.send(()).expect("the test waits");
            may_finish
                .lock()
                .expect("not poisoned")
                .recv()
                .expect("the test ends it");
        });
        let mut slow = Box::pin(slow);
        tokio::select! {
            () = &mut slow => panic!("it waits for the test"),
            begun = has_begun => begun.expect("it begins"),
        }
        drop(slow);

        let mut next = Box::pin(run(&pool, || 5));
        assert!(
            poll_once(&mut next).await.is_none(),
            "the work has not ended"
        );
        finish.send(()).expect("it waits");
        assert_eq!(next.await, 5);
        tasks.close();
        tasks.wait().await;
    }

    /// Polls once.
    async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        std::future::poll_fn(|context| {
            let polled = std::pin::Pin::new(&mut *future).poll(context);
            std::task::Poll::Ready(match polled {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn a_panic_reaches_the_caller_and_no_one_else() {
        let pool = Arc::new(BlockingPool::new(1, TaskTracker::new()));
        let own = pool.clone();
        let caller = TaskTracker::new().spawn(async move {
            run(&*own, || panic!("on purpose")).await;
        });
        assert!(caller.await.is_err_and(|error| error.is_panic()));
        assert_eq!(run(&*pool, || 5).await, 5);
    }
}
