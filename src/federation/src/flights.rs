//! Single flight: of those who want the same thing, one fetches it and the others wait.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// A lock for each key that somebody is at. Whoever gets one looks for the result of the one before first.
/// Dropped in the middle, the next in line takes over.
pub(crate) struct Flights<K: Hash + Eq + Clone>(Arc<Mutex<Waiting<K>>>);

type Waiting<K> = HashMap<K, Arc<tokio::sync::Mutex<()>>>;

/// The right to fetch.
pub(crate) struct Flight<K: Hash + Eq + Clone> {
    flights: Arc<Mutex<Waiting<K>>>,
    key: K,
    lock: Option<Arc<tokio::sync::Mutex<()>>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl<K: Hash + Eq + Clone> Flights<K> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) async fn enter(&self, key: K) -> Flight<K> {
        let own = lock(&self.0).entry(key.clone()).or_default().clone();
        let mut flight = Flight {
            flights: self.0.clone(),
            key,
            lock: Some(own.clone()),
            held: None,
        };
        flight.held = Some(own.lock_owned().await);
        flight
    }
}

impl<K: Hash + Eq + Clone> Drop for Flight<K> {
    fn drop(&mut self) {
        self.held = None;
        let mut flights = lock(&self.flights);
        self.lock = None;
        if let Some(own) = flights.get(&self.key)
            && Arc::strong_count(own) == 1
        {
            flights.remove(&self.key);
        }
    }
}

fn lock<K>(waiting: &Mutex<Waiting<K>>) -> MutexGuard<'_, Waiting<K>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn one_flies_and_nothing_stays() {
        let flights = Flights::new();
        let first = flights.enter("a").now_or_never().expect("nobody is at it");
        let mut second = Box::pin(flights.enter("a"));
        assert!(second.as_mut().now_or_never().is_none(), "it waits");
        assert!(flights.enter("b").now_or_never().is_some());
        drop(first);
        assert!(second.as_mut().now_or_never().is_some());
        drop(second);
        assert!(lock(&flights.0).is_empty());
    }

    #[test]
    fn whoever_gives_up_lets_the_next_one_go() {
        let flights = Flights::new();
        let first = flights.enter("a").now_or_never().expect("nobody is at it");
        let mut second = Box::pin(flights.enter("a"));
        assert!(second.as_mut().now_or_never().is_none());
        drop(second);
        drop(first);
        assert!(lock(&flights.0).is_empty());
    }
}
