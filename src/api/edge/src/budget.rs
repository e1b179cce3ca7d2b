//! Memory of request bodies and responses in flight: one budget for the process, with a share for
//! each user and each address.
//!
//! A body is counted before memory is allocated for it, and refused if that exceeds a limit. A
//! response already exists when it is counted, so it is refused only if a limit was reached before:
//! the largest response passes when little else is in flight.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use database::UserNumber;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{ApiError, Response};

/// Responses up to this size are not counted: a connection costs as much anyway.
const UNCOUNTED_RESPONSE: u64 = 4 * 1024;
/// Counted for a streamed response: the chunk being written, and the next one.
const STREAM_BYTES: usize = 128 * 1024;
/// `Retry-After` when a limit is reached.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const SHARDS: usize = 16;

/// Limits in bytes. Each share must hold the largest body that a request may have.
#[derive(Clone, Copy, Debug)]
pub struct InFlightLimits {
    /// Of the process. Above it, requests fail with 503.
    pub total: usize,
    /// Of one user. Above it, the user's requests fail with 429.
    pub per_user: usize,
    /// Of one address, with all of its users.
    pub per_address: usize,
}

/// The counts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Counts>);

struct Counts {
    limits: InFlightLimits,
    total: AtomicUsize,
    users: Shares<UserNumber>,
    addresses: Shares<IpAddr>,
}

/// Bytes by owner; owners without any have no entry.
struct Shares<K> {
    shards: [Mutex<HashMap<K, usize>>; SHARDS],
    hasher: std::hash::RandomState,
}

/// The shares that a request counts towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) user: Option<UserNumber>,
    pub(crate) address: Option<IpAddr>,
}

/// Counted bytes, released when dropped.
pub(crate) struct Reservation {
    budget: Budget,
    account: Account,
    bytes: usize,
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Share,
    Total,
}

/// Whether bytes beyond a limit are refused, or only those that begin beyond it.
#[derive(Clone, Copy)]
enum Admission {
    Whole,
    Beginning,
}

impl Default for InFlightLimits {
    fn default() -> Self {
        Self::new(32 << 20)
    }
}

impl InFlightLimits {
    /// The usual shares of a total: half for one user, three quarters for one address.
    pub fn new(total: usize) -> Self {
        Self {
            total,
            per_user: total / 2,
            per_address: total / 4 * 3,
        }
    }
}

impl From<Exhausted> for ApiError {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::Share => Self::limit_exceeded(RETRY_AFTER),
            Exhausted::Total => Self::overloaded(RETRY_AFTER),
        }
    }
}

impl Budget {
    pub(crate) fn new(limits: InFlightLimits) -> Self {
        Self(Arc::new(Counts {
            limits,
            total: AtomicUsize::new(0),
            users: Shares::default(),
            addresses: Shares::default(),
        }))
    }

    /// Nothing yet.
    pub(crate) fn reservation(&self, account: Account) -> Reservation {
        Reservation {
            budget: self.clone(),
            account,
            bytes: 0,
        }
    }

    /// Counts a response until it is written or its connection ends.
    pub(crate) fn admit(
        &self,
        response: Response,
        account: impl FnOnce() -> Account,
    ) -> Result<Response, ApiError> {
        let size = response.body().size_hint().exact();
        if size.is_some_and(|size| size <= UNCOUNTED_RESPONSE) {
            return Ok(response);
        }
        let bytes = size.map_or(STREAM_BYTES, |size| {
            usize::try_from(size).unwrap_or(usize::MAX)
        });
        let mut reservation = self.reservation(account());
        reservation.add(bytes, Admission::Beginning)?;
        let reservation = Arc::new(reservation);
        Ok(response.map(|body| Body::new(Counted { body, reservation })))
    }

    /// Bytes of the whole process.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.total.load(Ordering::Relaxed)
    }
}

impl Counts {
    fn add(&self, account: Account, bytes: usize, admission: Admission) -> Result<(), Exhausted> {
        let before = self.total.fetch_add(bytes, Ordering::Relaxed);
        if admission.exceeds(before, bytes, self.limits.total) {
            self.total.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Exhausted::Total);
        }
        let user = self
            .users
            .add(account.user, bytes, self.limits.per_user, admission);
        if user.is_err() {
            self.total.fetch_sub(bytes, Ordering::Relaxed);
            return user;
        }
        let limit = self.limits.per_address;
        let address = self.addresses.add(account.address, bytes, limit, admission);
        if address.is_err() {
            self.users.remove(account.user, bytes);
            self.total.fetch_sub(bytes, Ordering::Relaxed);
        }
        address
    }

    fn remove(&self, account: Account, bytes: usize) {
        self.total.fetch_sub(bytes, Ordering::Relaxed);
        self.users.remove(account.user, bytes);
        self.addresses.remove(account.address, bytes);
    }
}

impl Admission {
    fn exceeds(self, before: usize, bytes: usize, limit: usize) -> bool {
        match self {
            Self::Whole => before.saturating_add(bytes) > limit,
            Self::Beginning => before >= limit,
        }
    }
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: std::hash::RandomState::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> Shares<K> {
    fn add(
        &self,
        owner: Option<K>,
        bytes: usize,
        limit: usize,
        admission: Admission,
    ) -> Result<(), Exhausted> {
        let Some(owner) = owner else {
            return Ok(());
        };
        let mut shares = self.shard(&owner);
        let before = shares.get(&owner).copied().unwrap_or(0);
        if admission.exceeds(before, bytes, limit) {
            return Err(Exhausted::Share);
        }
        shares.insert(owner, before.saturating_add(bytes));
        Ok(())
    }

    fn remove(&self, owner: Option<K>, bytes: usize) {
        let Some(owner) = owner else {
            return;
        };
        let mut shares = self.shard(&owner);
        if let Some(share) = shares.get_mut(&owner) {
            *share = share.saturating_sub(bytes);
            if *share == 0 {
                shares.remove(&owner);
            }
        }
    }

    fn shard(&self, owner: &K) -> std::sync::MutexGuard<'_, HashMap<K, usize>> {
        let hash = self.hasher.hash_one(owner).to_le_bytes();
        self.shards[usize::from(hash[0]) % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Counts so many bytes more, before they are allocated.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.add(bytes, Admission::Whole)
    }

    fn add(&mut self, bytes: usize, admission: Admission) -> Result<(), Exhausted> {
        self.budget.0.add(self.account, bytes, admission)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.0.remove(self.account, self.bytes);
        }
    }
}

/// A response body whose bytes are counted until the connection has written them.
struct Counted {
    body: Body,
    reservation: Arc<Reservation>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map_ok(|frame| frame.map_data(|data| self.hold(data)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Counted {
    /// The connection drops the body as soon as it has the last frame, before that is written.
    fn hold(&self, data: Bytes) -> Bytes {
        Bytes::from_owner(Held {
            data,
            _reservation: self.reservation.clone(),
        })
    }
}

struct Held {
    data: Bytes,
    _reservation: Arc<Reservation>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const LIMITS: InFlightLimits = InFlightLimits {
        total: 20_000,
        per_user: 10_000,
        per_address: 15_000,
    };

    fn account(user: u64) -> Account {
        Account {
            user: Some(UserNumber(user)),
            address: Some(IpAddr::from([203, 0, 113, 1])),
        }
    }

    fn elsewhere(user: u64) -> Account {
        Account {
            address: None,
            ..account(user)
        }
    }

    #[test]
    fn a_user_an_address_and_the_process_have_limits_of_their_own() {
        let budget = Budget::new(LIMITS);
        let mut first = budget.reservation(account(1));
        assert_eq!(first.grow(10_000), Ok(()));
        assert_eq!(first.grow(1), Err(Exhausted::Share));

        let mut second = budget.reservation(account(2));
        assert_eq!(second.grow(5_000), Ok(()));
        assert_eq!(second.grow(1), Err(Exhausted::Share), "of the address");

        let mut third = budget.reservation(elsewhere(3));
        assert_eq!(third.grow(5_000), Ok(()));
        assert_eq!(third.grow(1), Err(Exhausted::Total));
        assert_eq!(budget.in_flight(), LIMITS.total);
    }

    #[test]
    fn a_refusal_and_a_drop_leave_nothing_counted() {
        let budget = Budget::new(LIMITS);
        let mut reservation = budget.reservation(account(1));
        assert_eq!(reservation.grow(20_000), Err(Exhausted::Share));
        assert_eq!(budget.in_flight(), 0);
        assert_eq!(reservation.grow(10_000), Ok(()));
        drop(reservation);
        assert_eq!(budget.in_flight(), 0);
        assert_eq!(budget.reservation(account(1)).grow(10_000), Ok(()));
    }

    #[tokio::test]
    async fn a_response_is_counted_until_its_bytes_are_gone() {
        let budget = Budget::new(LIMITS);
        let large = Response::new(Body::from(vec![0; 30_000]));
        let response = budget
            .admit(large, || account(1))
            .expect("nothing is in flight");
        assert_eq!(budget.in_flight(), 30_000);
        let another = Response::new(Body::from(vec![0; 5_000]));
        assert!(budget.admit(another, || elsewhere(2)).is_err());

        let mut body = response.into_body();
        let frame = body.frame().await.expect("a frame").expect("no error");
        drop(body);
        assert_eq!(budget.in_flight(), 30_000, "not written yet");
        drop(frame);
        assert_eq!(budget.in_flight(), 0);
    }
}
