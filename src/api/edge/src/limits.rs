//! Rate limits: token buckets per class of request, of a user or else of a client address.
//!
//! A bucket is one number (the generic cell rate algorithm): the time at which it will be full
//! again. A full bucket is the same as none, so full ones are evicted first; memory is bounded at
//! about [`MAX_BUCKETS`] x 48 bytes.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use database::UserNumber;
use serde::Deserialize;

const SHARDS: usize = 16;
const MAX_BUCKETS: usize = 128 * 1024;

/// A kind of request that has a limit of its own. Every request is charged as `General` besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    General,
    Login,
    Registration,
    /// Sends an event or changes state.
    Message,
    /// Creates a room or changes a membership.
    Join,
}

/// The settings, `[rate_limits]` in the configuration file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Written")]
pub struct RateLimits {
    pub enabled: bool,
    pub general: Rate,
    pub login: Rate,
    pub registration: Rate,
    pub message: Rate,
    pub join: Rate,
}

/// `burst` requests at once, and `per_second` more with every second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: u32,
}

/// The settings as they are written; those left out have their defaults.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    enabled: Option<bool>,
    general: WrittenRate,
    login: WrittenRate,
    registration: WrittenRate,
    message: WrittenRate,
    join: WrittenRate,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenRate {
    per_second: Option<f64>,
    burst: Option<u32>,
}

impl From<Written> for RateLimits {
    fn from(written: Written) -> Self {
        let usual = Self::default();
        Self {
            enabled: written.enabled.unwrap_or(usual.enabled),
            general: written.general.or(usual.general),
            login: written.login.or(usual.login),
            registration: written.registration.or(usual.registration),
            message: written.message.or(usual.message),
            join: written.join.or(usual.join),
        }
    }
}

impl WrittenRate {
    fn or(self, usual: Rate) -> Rate {
        Rate {
            per_second: self.per_second.unwrap_or(usual.per_second),
            burst: self.burst.unwrap_or(usual.burst),
        }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            enabled: true,
            general: Rate {
                per_second: 50.0,
                burst: 500,
            },
            login: Rate {
                per_second: 0.5,
                burst: 20,
            },
            registration: Rate {
                per_second: 0.2,
                burst: 10,
            },
            message: Rate {
                per_second: 10.0,
                burst: 100,
            },
            join: Rate {
                per_second: 2.0,
                burst: 50,
            },
        }
    }
}

/// The owner of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RateLimitKey {
    User(UserNumber),
    Address(IpAddr),
}

pub(crate) struct Limiter {
    rates: [Interval; 5],
    shards: [Shard; SHARDS],
    hasher: std::hash::RandomState,
}

/// The time at which each bucket is full again. The lock protects nothing else.
type Shard = Mutex<HashMap<(Class, RateLimitKey), Duration>>;

/// A rate as times: the cost of one request, and how much may be owed.
#[derive(Clone, Copy)]
struct Interval {
    cost: Duration,
    credit: Duration,
}

impl Limiter {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        let rates = [
            limits.general,
            limits.login,
            limits.registration,
            limits.message,
            limits.join,
        ];
        Self {
            rates: rates.map(Interval::of),
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: std::hash::RandomState::new(),
        }
    }

    /// Takes one token, or returns how long to wait for it.
    pub(crate) fn charge(
        &self,
        class: Class,
        key: RateLimitKey,
        now: Duration,
    ) -> Result<(), Duration> {
        let interval = self.rates[class as usize];
        let key = (class, key);
        let mut buckets = self
            .shard(&key)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(&key).copied().unwrap_or(now).max(now);
        let owed = full_at.saturating_sub(now) + interval.cost;
        if owed > interval.credit {
            return Err(owed.saturating_sub(interval.credit));
        }
        if buckets.len() >= MAX_BUCKETS / SHARDS && !buckets.contains_key(&key) {
            evict(&mut buckets, now);
        }
        buckets.insert(key, now + owed);
        Ok(())
    }

    fn shard(&self, key: &(Class, RateLimitKey)) -> &Shard {
        let hash = self.hasher.hash_one(key).to_le_bytes();
        &self.shards[usize::from(hash[0]) % SHARDS]
    }
}

impl Interval {
    fn of(rate: Rate) -> Self {
        let per_second = rate.per_second.max(f64::from(f32::MIN_POSITIVE));
        let cost = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::MAX / 1024);
        let cost = cost.min(Duration::from_hours(24));
        Self {
            cost,
            credit: cost.saturating_mul(rate.burst.max(1)),
        }
    }
}

/// Evicts all full buckets and, if those are not a quarter, the fullest ones.
fn evict(buckets: &mut HashMap<(Class, RateLimitKey), Duration>, now: Duration) {
    buckets.retain(|_, full_at| *full_at > now);
    let keep = MAX_BUCKETS / SHARDS * 3 / 4;
    if buckets.len() > keep {
        let mut times: Vec<_> = buckets.values().copied().collect();
        let surplus = times.len() - keep;
        let (_, threshold, _) = times.select_nth_unstable(surplus);
        let threshold = *threshold;
        buckets.retain(|_, full_at| *full_at > threshold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> Limiter {
        let rate = Rate {
            per_second: 2.0,
            burst: 3,
        };
        Limiter::new(&RateLimits {
            login: rate,
            ..RateLimits::default()
        })
    }

    fn address(last: u16) -> RateLimitKey {
        RateLimitKey::Address(std::net::Ipv6Addr::new(0, 0, 0, last, 0, 0, 0, 0).into())
    }

    #[test]
    fn a_burst_passes_and_the_next_request_has_to_wait() {
        let limiter = limiter();
        let now = Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(limiter.charge(Class::Login, address(1), now), Ok(()));
        }
        assert_eq!(
            limiter.charge(Class::Login, address(1), now),
            Err(Duration::from_millis(500))
        );
        let later = now + Duration::from_millis(500);
        assert_eq!(limiter.charge(Class::Login, address(1), later), Ok(()));
    }

    #[test]
    fn users_addresses_and_classes_are_counted_apart() {
        let limiter = limiter();
        let now = Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(limiter.charge(Class::Login, address(1), now), Ok(()));
        }
        assert_eq!(limiter.charge(Class::Login, address(2), now), Ok(()));
        assert_eq!(limiter.charge(Class::General, address(1), now), Ok(()));
    }

    #[test]
    fn many_clients_do_not_grow_the_buckets_without_bound() {
        let mut buckets = HashMap::new();
        for number in 0..u64::try_from(MAX_BUCKETS / SHARDS).expect("small") {
            let key = RateLimitKey::User(UserNumber(number));
            buckets.insert((Class::General, key), Duration::from_secs(10 + number));
        }
        evict(&mut buckets, Duration::ZERO);
        assert!(buckets.len() <= MAX_BUCKETS / SHARDS * 3 / 4);
    }
}
