//! File operations run on blocking threads, a bounded number at once.

use std::{io, sync::Arc};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Where work that waits for a disk runs. Cheap to clone.
#[derive(Clone)]
pub struct Blocking {
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Blocking {
    /// `most` operations run at once; others wait.
    pub fn new(most: usize, tasks: TaskTracker) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(most)),
            tasks,
        }
    }

    /// Runs to its end even if the caller is gone.
    pub(crate) async fn run<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<io::Error> + Send + 'static,
    {
        let slot = self.slots.clone().acquire_owned().await;
        let slot = slot.map_err(|error| io::Error::other(error.to_string()))?;
        let work = self.tasks.spawn_blocking(move || {
            let result = work();
            drop(slot);
            result
        });
        match work.await {
            Ok(result) => result,
            Err(error) => Err(io::Error::other(error).into()),
        }
    }
}
