//! Who waits: parked `/sync` requests by user, many to a user and device.
//!
//! A slot is registered **before** its request takes a snapshot, and a wake-up is a stamp that only grows: a request that
//! was built at an older stamp than the slot's does not park. So no wake-up can be lost, and parking and waking touch no
//! database.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use database::{Stamp, UserNumber};
use futures_util::task::AtomicWaker;

/// Enough that two wake-ups seldom want one lock.
const SHARDS: usize = 64;

/// Owner: the notifier. Bound: the open connections, each of which waits in one slot.
pub(crate) struct Waiters {
    shards: Vec<Mutex<HashMap<UserNumber, Vec<Arc<Slot>>>>>,
    /// How many users wait.
    users: AtomicUsize,
    closed: AtomicBool,
}

/// Where one request waits.
struct Slot {
    /// The newest commit that concerned the user, since the slot was made.
    stamp: AtomicU64,
    /// The newest change of who types in a room of the user.
    typing: AtomicU64,
    /// The newest change of presence that the user may know of, and of how many are online in a room of the user.
    presence: AtomicU64,
    online: AtomicU64,
    waker: AtomicWaker,
}

/// What woke a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wake {
    pub(crate) stamp: Stamp,
    pub(crate) typing: u64,
    /// Of what was seen: `u64::MAX` where the request does not want to know.
    pub(crate) presence: u64,
    /// Likewise.
    pub(crate) online: u64,
}

/// A registered slot; dropping it takes it out again.
pub(crate) struct Waiter {
    waiters: Arc<Waiters>,
    user: UserNumber,
    slot: Arc<Slot>,
}

/// Ready once something happened that the request has not seen.
pub(crate) struct Woken<'a> {
    slot: &'a Slot,
    seen: Wake,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            users: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn register(self: &Arc<Self>, user: UserNumber) -> Waiter {
        let slot = Arc::new(Slot {
            stamp: AtomicU64::new(0),
            typing: AtomicU64::new(0),
            presence: AtomicU64::new(0),
            online: AtomicU64::new(0),
            waker: AtomicWaker::new(),
        });
        let mut shard = self.shard(user);
        let slots = shard.entry(user).or_default();
        if slots.is_empty() {
            self.users.fetch_add(1, Ordering::SeqCst);
        }
        slots.push(slot.clone());
        drop(shard);
        if self.closed.load(Ordering::SeqCst) {
            slot.wake(Wake {
                stamp: Stamp::MAX,
                ..Wake::default()
            });
        }
        Waiter {
            waiters: self.clone(),
            user,
            slot,
        }
    }

    /// How many users wait.
    pub(crate) fn users(&self) -> usize {
        self.users.load(Ordering::SeqCst)
    }

    pub(crate) fn wake(&self, user: UserNumber, wake: Wake) {
        if let Some(slots) = self.shard(user).get(&user) {
            for slot in slots {
                slot.wake(wake);
            }
        }
    }

    /// Wakes those who wait and whom `concerns` names, a shard at a time.
    pub(crate) fn wake_where(&self, wake: Wake, concerns: impl Fn(UserNumber) -> bool) {
        for shard in &self.shards {
            let shard = shard
                .lock()
                .expect("nothing panics while it holds this lock");
            for (user, slots) in &*shard {
                if concerns(*user) {
                    for slot in slots {
                        slot.wake(wake);
                    }
                }
            }
        }
    }

    /// Everyone who waits answers with what there is, and nobody waits any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake_where(
            Wake {
                stamp: Stamp::MAX,
                ..Wake::default()
            },
            |_| true,
        );
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn shard(&self, user: UserNumber) -> MutexGuard<'_, HashMap<UserNumber, Vec<Arc<Slot>>>> {
        let count = SHARDS as u64;
        let index = usize::try_from(user.0 % count).expect("less than the number of shards");
        self.shards[index]
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Slot {
    fn wake(&self, wake: Wake) {
        self.stamp.fetch_max(wake.stamp.0, Ordering::SeqCst);
        self.typing.fetch_max(wake.typing, Ordering::SeqCst);
        self.presence.fetch_max(wake.presence, Ordering::SeqCst);
        self.online.fetch_max(wake.online, Ordering::SeqCst);
        self.waker.wake();
    }

    fn has_more_than(&self, seen: Wake) -> bool {
        self.stamp.load(Ordering::SeqCst) > seen.stamp.0
            || self.typing.load(Ordering::SeqCst) > seen.typing
            || self.presence.load(Ordering::SeqCst) > seen.presence
            || self.online.load(Ordering::SeqCst) > seen.online
    }
}

impl Waiter {
    /// Waits until there is more than what the answer that was just built has seen.
    pub(crate) fn woken_beyond(&self, seen: Wake) -> Woken<'_> {
        Woken {
            slot: &self.slot,
            seen,
        }
    }
}

impl Future for Woken<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.slot.waker.register(context.waker());
        if self.slot.has_more_than(self.seen) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut shard = self.waiters.shard(self.user);
        let Some(slots) = shard.get_mut(&self.user) else {
            return;
        };
        if let Some(at) = slots.iter().position(|slot| Arc::ptr_eq(slot, &self.slot)) {
            slots.swap_remove(at);
        }
        if slots.is_empty() {
            shard.remove(&self.user);
            self.waiters.users.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ALICE: UserNumber = UserNumber(1);

    fn at(stamp: u64) -> Wake {
        Wake {
            stamp: Stamp(stamp),
            ..Wake::default()
        }
    }

    #[test]
    fn a_wake_up_before_parking_is_not_lost() {
        let waiters = Arc::new(Waiters::new());
        let waiter = waiters.register(ALICE);
        waiters.wake(ALICE, at(7));
        assert!(waiter.woken_beyond(at(6)).now_or_never().is_some());
        assert!(waiter.woken_beyond(at(7)).now_or_never().is_none());
    }

    #[test]
    fn every_slot_of_a_user_wakes_and_nobody_else() {
        let waiters = Arc::new(Waiters::new());
        let [phone, laptop] = [waiters.register(ALICE), waiters.register(ALICE)];
        let other = waiters.register(UserNumber(65));
        waiters.wake(ALICE, at(1));
        assert!(phone.woken_beyond(at(0)).now_or_never().is_some());
        assert!(laptop.woken_beyond(at(0)).now_or_never().is_some());
        assert!(other.woken_beyond(at(0)).now_or_never().is_none());
    }

    #[test]
    fn a_slot_that_is_dropped_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::new());
        let first = waiters.register(ALICE);
        let second = waiters.register(ALICE);
        assert_eq!(waiters.users(), 1);
        drop(first);
        assert_eq!(waiters.users(), 1);
        drop(second);
        assert_eq!(waiters.users(), 0);
        assert!(waiters.shard(ALICE).is_empty());
    }

    #[test]
    fn nobody_waits_after_closing() {
        let waiters = Arc::new(Waiters::new());
        let before = waiters.register(ALICE);
        waiters.close();
        let after = waiters.register(ALICE);
        assert!(before.woken_beyond(at(9)).now_or_never().is_some());
        assert!(after.woken_beyond(at(9)).now_or_never().is_some());
    }
}
