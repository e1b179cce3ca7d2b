//! How many requests run at once: to one destination, and in all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ClientError;

#[derive(Clone, Copy, Debug)]
pub struct Concurrency {
    /// To one scheme, host and port. Further ones wait.
    pub per_destination: usize,
    /// To all. Further ones wait.
    pub running: usize,
    /// Running and waiting together. Further ones fail with `Busy`.
    pub admitted: usize,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self {
            per_destination: 16,
            running: 1024,
            admitted: 8192,
        }
    }
}

pub(super) struct Slots {
    concurrency: Concurrency,
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
    destinations: Destinations,
}

/// The destinations that are in use; each has an entry as long as somebody holds or awaits a slot.
type Destinations = Arc<Mutex<HashMap<String, Arc<Semaphore>>>>;

/// One running request. Dropping it lets the next one run.
pub(super) struct Slot {
    _destination: Guard,
    _permits: [OwnedSemaphorePermit; 2],
}

/// Removes a destination's entry with its last user.
struct Guard {
    destinations: Destinations,
    name: String,
    semaphore: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(super) fn new(concurrency: Concurrency) -> Self {
        let semaphore = |size: usize| Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS)));
        Self {
            concurrency,
            admitted: semaphore(concurrency.admitted),
            running: semaphore(concurrency.running),
            destinations: Arc::default(),
        }
    }

    /// The destination's slot first, so that requests to a slow destination do not fill the common ones.
    pub(super) async fn enter(&self, destination: String) -> Result<Slot, ClientError> {
        let admitted = self.admitted.clone().try_acquire_owned();
        let admitted = admitted.map_err(|_| ClientError::Busy)?;
        let mut guard = self.guard(destination);
        if let Some(semaphore) = &guard.semaphore {
            let permit = semaphore.clone().acquire_owned().await;
            guard.permit = Some(permit.map_err(|_| ClientError::Busy)?);
        }
        let running = self.running.clone().acquire_owned().await;
        Ok(Slot {
            _destination: guard,
            _permits: [running.map_err(|_| ClientError::Busy)?, admitted],
        })
    }

    fn guard(&self, name: String) -> Guard {
        let mut destinations = lock(&self.destinations);
        let semaphore = destinations
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(self.concurrency.per_destination)))
            .clone();
        drop(destinations);
        Guard {
            destinations: self.destinations.clone(),
            name,
            semaphore: Some(semaphore),
            permit: None,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The permit holds the semaphore, too.
        self.permit = None;
        let mut destinations = lock(&self.destinations);
        self.semaphore = None;
        if let Some(semaphore) = destinations.get(&self.name)
            && Arc::strong_count(semaphore) == 1
        {
            destinations.remove(&self.name);
        }
    }
}

fn lock(destinations: &Destinations) -> MutexGuard<'_, HashMap<String, Arc<Semaphore>>> {
    destinations.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const FEW: Concurrency = Concurrency {
        per_destination: 1,
        running: 2,
        admitted: 3,
    };

    fn enter(slots: &Slots, name: &str) -> Option<Result<Slot, ClientError>> {
        slots.enter(name.to_owned()).now_or_never()
    }

    #[test]
    fn one_destination_does_not_take_the_slots_of_others() {
        let slots = Slots::new(FEW);
        let first = enter(&slots, "a");
        assert!(matches!(first, Some(Ok(_))));
        assert!(enter(&slots, "a").is_none(), "it waits");
        let other = enter(&slots, "b");
        assert!(matches!(other, Some(Ok(_))));
        assert!(enter(&slots, "c").is_none(), "all slots are taken");
        drop(first);
        assert!(matches!(enter(&slots, "a"), Some(Ok(_))));
    }

    #[test]
    fn too_many_that_wait_are_refused() {
        let slots = Slots::new(Concurrency { admitted: 1, ..FEW });
        let _first = enter(&slots, "a");
        assert!(matches!(enter(&slots, "b"), Some(Err(ClientError::Busy))));
    }

    #[test]
    fn a_destination_is_forgotten_with_its_last_request() {
        let slots = Slots::new(FEW);
        let first = enter(&slots, "a");
        assert!(enter(&slots, "a").is_none());
        assert_eq!(lock(&slots.destinations).len(), 1);
        drop(first);
        assert!(lock(&slots.destinations).is_empty());
    }
}
