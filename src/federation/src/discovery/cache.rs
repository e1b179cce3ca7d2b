//! What `.well-known` said, by host. Bounded in entries of a few hundred bytes; nothing but time
//! invalidates them.

use std::time::Duration;

use quick_cache::sync::Cache as Entries;
use ruma::OwnedServerName;

use super::well_known::{LONGEST, Outcome};

/// At most 600 bytes each.
const MOST: usize = 16_384;
/// Where a host delegates to nobody; also the longest time between two tries of one that fails.
const ABSENT: Duration = Duration::from_hours(1);
/// Before the second try of a host that fails; doubled with each.
const FIRST_RETRY: Duration = Duration::from_mins(1);

pub(super) struct Cache(Entries<String, Entry>);

/// Moments are of the monotonic clock.
#[derive(Clone)]
struct Entry {
    delegated: Option<OwnedServerName>,
    fresh_until: Duration,
    /// How long a delegation outlives failures to renew it.
    usable_until: Duration,
    failures: u32,
}

pub(super) enum Found {
    Fresh(Option<OwnedServerName>),
    Stale,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self(Entries::new(MOST))
    }

    pub(super) fn get(&self, host: &str, now: Duration) -> Found {
        match self.0.get(host) {
            Some(entry) if now < entry.fresh_until => {
                let usable = now < entry.usable_until;
                Found::Fresh(entry.delegated.filter(|_| usable))
            }
            _ => Found::Stale,
        }
    }

    /// Returns what holds from now on.
    pub(super) fn put(
        &self,
        host: &str,
        outcome: Outcome,
        now: Duration,
    ) -> Option<OwnedServerName> {
        let entry = match outcome {
            Outcome::Delegated { to, holds } => Entry {
                delegated: Some(to),
                fresh_until: now + holds,
                usable_until: now + LONGEST,
                failures: 0,
            },
            Outcome::None => Entry {
                delegated: None,
                fresh_until: now + ABSENT,
                usable_until: now + ABSENT,
                failures: 0,
            },
            Outcome::Failed => self.failed(host, now),
        };
        let usable = now < entry.usable_until;
        let delegated = entry.delegated.clone().filter(|_| usable);
        self.0.insert(host.to_owned(), entry);
        delegated
    }

    fn failed(&self, host: &str, now: Duration) -> Entry {
        let before = self.0.get(host);
        let failures = before.as_ref().map_or(0, |entry| entry.failures);
        let wait = FIRST_RETRY
            .saturating_mul(1 << failures.min(16))
            .min(ABSENT);
        Entry {
            fresh_until: now + wait,
            usable_until: before.as_ref().map_or(now, |entry| entry.usable_until),
            delegated: before.and_then(|entry| entry.delegated),
            failures: failures.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn is_fresh(cache: &Cache, now: Duration) -> bool {
        matches!(cache.get("a", now), Found::Fresh(_))
    }

    #[test]
    fn failures_are_retried_after_a_minute_and_then_ever_later() {
        let cache = Cache::new();
        let mut now = Duration::ZERO;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(cache.put("a", Outcome::Failed, now), None);
            assert!(is_fresh(
                &cache,
                now + MINUTE * (minutes - 1) + Duration::from_secs(59)
            ));
            now += MINUTE * minutes;
            assert!(!is_fresh(&cache, now));
        }
    }

    #[test]
    fn a_delegation_outlives_failures_for_two_days() {
        let cache = Cache::new();
        let to = server_name!("b").to_owned();
        let outcome = Outcome::Delegated {
            to: to.clone(),
            holds: MINUTE * 60,
        };
        cache.put("a", outcome, Duration::ZERO);
        assert!(!is_fresh(&cache, MINUTE * 60));
        assert_eq!(cache.put("a", Outcome::Failed, MINUTE * 60), Some(to));
        assert_eq!(cache.put("a", Outcome::Failed, LONGEST), None);
    }

    #[test]
    fn a_host_that_delegates_no_more_does_so_at_once() {
        let cache = Cache::new();
        let outcome = Outcome::Delegated {
            to: server_name!("b").to_owned(),
            holds: MINUTE * 60,
        };
        cache.put("a", outcome, Duration::ZERO);
        assert_eq!(cache.put("a", Outcome::None, MINUTE * 60), None);
        assert!(!is_fresh(&cache, MINUTE * 120));
    }
}
