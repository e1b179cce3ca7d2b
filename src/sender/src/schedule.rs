//! Which destination is tried when. In memory, with an entry for each server that something waits
//! for; at start from the tables.
//!
//! Bound per destination: the times, [`MOST_RECEIPTS`] receipts and [`MOST_EPHEMERAL`] EDUs that
//! may be lost, and for those that do not answer [`MOST_RECEIPTS_WAITING`] receipts and nothing
//! else that may be lost.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use database::{Millis, Position, Read as _, RoomNumber, Store, StoreError, UserNumber};
use ruma::{OwnedServerName, OwnedUserId, ServerName};
use serde_json::value::RawValue;
use tokio::sync::{Notify, broadcast::error::RecvError};

use crate::{
    deliver,
    handle::Sender,
    tables::{CATCH_UP, EDU_QUEUE, QUEUE},
};

/// Transactions that are in flight at once.
const MOST_AT_ONCE: usize = 128;
const MOST_RECEIPTS: usize = 1_000;
const MOST_RECEIPTS_WAITING: usize = 50;
const MOST_EPHEMERAL: usize = 100;
/// What may be late waits so long for more of its kind; longer in rooms with many servers.
const COALESCE: Duration = Duration::from_millis(200);
const COALESCE_PER_SERVER: Duration = Duration::from_millis(5);
/// The scheduler looks at the clock so often, which may be moved.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// A destination whose queue is longer than this gets marks instead.
pub(crate) const MOST_QUEUED: u64 = 1_000;

/// A receipt, which is read when it is sent: the newest one goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReceiptKey {
    pub(crate) room: RoomNumber,
    pub(crate) user: UserNumber,
    pub(crate) thread: String,
}

/// What may be lost.
#[derive(Default)]
pub(crate) struct Ephemeral {
    pub(crate) typing: BTreeMap<(RoomNumber, OwnedUserId), bool>,
    pub(crate) receipts: BTreeSet<ReceiptKey>,
    pub(crate) other: BTreeMap<String, Box<RawValue>>,
}

/// What a destination is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Ready,
    /// There is more since it began.
    InFlight {
        has_more: bool,
    },
    /// More of its kind may come until then.
    Coalescing(Millis),
    /// The last attempt failed.
    Waiting(Millis),
}

#[derive(Default)]
struct Destination {
    state: State,
    /// Rows of its queue, about.
    queued: u64,
    is_catching_up: bool,
    /// It spoke to us: its backoff does not count.
    is_urgent: bool,
    ephemeral: Ephemeral,
    /// The last transaction that failed: a hash of its content, and its id. The same content goes
    /// with the same id.
    failed: Option<(u64, String)>,
    /// Transactions in a row that it refused although it answers.
    refusals: u32,
}

#[derive(Default)]
struct Destinations {
    known: HashMap<OwnedServerName, Destination>,
    ready: VecDeque<OwnedServerName>,
    later: BTreeSet<(Millis, OwnedServerName)>,
    in_flight: usize,
}

/// Owner: `Sender`.
pub(crate) struct Schedule {
    /// Guards all destinations; held for moments, never while waiting.
    destinations: Mutex<Destinations>,
    changed: Notify,
}

/// What a transaction begins with.
pub(crate) struct Start {
    pub(crate) is_urgent: bool,
    pub(crate) ephemeral: Ephemeral,
    pub(crate) failed: Option<(u64, String)>,
    pub(crate) refusals: u32,
}

/// How a transaction ended.
pub(crate) enum End {
    /// Acknowledged: so many rows of the queue. `has_more`: there may be more.
    Sent { events: u64, has_more: bool },
    /// To be tried again then. What may be lost and still matters comes back.
    Failed {
        until: Millis,
        ephemeral: Ephemeral,
        content: Option<(u64, String)>,
        is_refusal: bool,
    },
}

impl Schedule {
    /// All destinations with rows, each ready.
    pub(crate) async fn load(store: &Store) -> Result<Self, StoreError> {
        let db = store.snapshot().await?;
        let mut destinations = Destinations::default();
        let limit = usize::try_from(MOST_QUEUED).unwrap_or(usize::MAX) + 1;
        let mut next = db.first(QUEUE.all()).await?.map(|((name, _), _)| name);
        while let Some(name) = next {
            let rows = db.page(QUEUE.under(name.as_str()), limit).await?.len() as u64;
            destinations.begin(&name, |destination| destination.queued = rows);
            let rows = QUEUE.all().after((name.as_str(), Position::MAX));
            next = db.first(rows).await?.map(|((name, _), _)| name);
        }
        let mut next = db.first(EDU_QUEUE.all()).await?.map(|((name, _), _)| name);
        while let Some(name) = next {
            destinations.begin(&name, |_| {});
            let rows = EDU_QUEUE.all().after((name.as_str(), Position::MAX));
            next = db.first(rows).await?.map(|((name, _), _)| name);
        }
        let mut next = db.first(CATCH_UP.all()).await?.map(|((name, _), _)| name);
        while let Some(name) = next {
            destinations.begin(&name, |destination| destination.is_catching_up = true);
            let rows = CATCH_UP.all().after((name.as_str(), RoomNumber(u64::MAX)));
            next = db.first(rows).await?.map(|((name, _), _)| name);
        }
        Ok(Self {
            destinations: Mutex::new(destinations),
            changed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Destinations> {
        self.destinations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows were committed for a destination.
    pub(crate) fn queued(&self, server: &ServerName, events: u64) {
        let mut all = self.lock();
        let destination = all.known.entry(server.to_owned()).or_default();
        destination.queued += events;
        all.wake(server);
        drop(all);
        self.changed.notify_one();
    }

    pub(crate) fn receipt(&self, key: &ReceiptKey, servers: &[OwnedServerName], now: Millis) {
        let at = now.plus(coalesce(servers.len()));
        for server in servers {
            self.add(server, at, |destination| {
                let most = match destination.state {
                    State::Waiting(_) => MOST_RECEIPTS_WAITING,
                    _ => MOST_RECEIPTS,
                };
                let receipts = &mut destination.ephemeral.receipts;
                if receipts.len() < most {
                    receipts.insert(key.clone());
                }
            });
        }
        self.changed.notify_one();
    }

    /// A user begins or stops to type.
    pub(crate) fn typing(
        &self,
        room: RoomNumber,
        user: &OwnedUserId,
        is_typing: bool,
        servers: &[OwnedServerName],
        now: Millis,
    ) {
        let at = now.plus(coalesce(servers.len()));
        for server in servers {
            self.add(server, at, |destination| {
                if !matches!(destination.state, State::Waiting(_)) {
                    let typing = &mut destination.ephemeral.typing;
                    if typing.len() < MOST_EPHEMERAL {
                        typing.insert((room, user.clone()), is_typing);
                    }
                }
            });
        }
        self.changed.notify_one();
    }

    pub(crate) fn ephemeral(&self, server: &ServerName, key: String, edu: Box<RawValue>) {
        self.add(server, Millis(0), |destination| {
            let other = &mut destination.ephemeral.other;
            let has_room = other.len() < MOST_EPHEMERAL || other.contains_key(&key);
            if has_room && !matches!(destination.state, State::Waiting(_)) {
                other.insert(key, edu);
            }
        });
        self.changed.notify_one();
    }

    /// Adds something that may be late, and lets it go at `at`.
    fn add(&self, server: &ServerName, at: Millis, add: impl FnOnce(&mut Destination)) {
        let mut all = self.lock();
        let destination = all.known.entry(server.to_owned()).or_default();
        add(destination);
        match &mut destination.state {
            State::InFlight { has_more } => *has_more = true,
            State::Idle => {
                destination.state = State::Coalescing(at);
                all.later.insert((at, server.to_owned()));
            }
            State::Ready | State::Coalescing(_) | State::Waiting(_) => {}
        }
    }

    /// The server sent a request: it is there.
    pub(crate) fn heard(&self, server: &ServerName) {
        let mut all = self.lock();
        let Some(destination) = all.known.get_mut(server) else {
            return;
        };
        if let State::Waiting(at) = destination.state {
            destination.is_urgent = true;
            destination.state = State::Ready;
            all.later.remove(&(at, server.to_owned()));
            all.ready.push_back(server.to_owned());
            drop(all);
            self.changed.notify_one();
        }
    }

    /// Those of the destinations that have marks instead of a queue.
    pub(crate) fn catching_up<'a>(
        &self,
        servers: impl Iterator<Item = &'a OwnedServerName>,
    ) -> HashSet<OwnedServerName> {
        let all = self.lock();
        let is_behind = |server: &&OwnedServerName| {
            all.known
                .get(*server)
                .is_some_and(|known| known.is_catching_up)
        };
        servers.filter(is_behind).cloned().collect()
    }

    pub(crate) fn set_catching_up(&self, server: &ServerName, is_catching_up: bool) {
        let mut all = self.lock();
        let destination = all.known.entry(server.to_owned()).or_default();
        destination.is_catching_up = is_catching_up;
        if is_catching_up {
            destination.queued = 0;
        }
    }

    pub(crate) fn queue_length(&self, server: &ServerName) -> u64 {
        self.lock()
            .known
            .get(server)
            .map_or(0, |known| known.queued)
    }

    /// Takes the next destination that is ready.
    fn take(&self, now: Millis) -> Option<(OwnedServerName, Start)> {
        let mut all = self.lock();
        while let Some((at, server)) = all.later.first().cloned() {
            if at > now {
                break;
            }
            all.later.pop_first();
            if let Some(destination) = all.known.get_mut(&server) {
                destination.state = State::Ready;
                all.ready.push_back(server);
            }
        }
        if all.in_flight >= MOST_AT_ONCE {
            return None;
        }
        let server = all.ready.pop_front()?;
        all.in_flight += 1;
        let destination = all.known.entry(server.clone()).or_default();
        destination.state = State::InFlight { has_more: false };
        let start = Start {
            is_urgent: std::mem::take(&mut destination.is_urgent),
            ephemeral: std::mem::take(&mut destination.ephemeral),
            failed: destination.failed.take(),
            refusals: destination.refusals,
        };
        Some((server, start))
    }

    fn next_time(&self) -> Option<Millis> {
        self.lock().later.first().map(|(at, _)| *at)
    }

    fn ended(&self, server: &ServerName, end: End) {
        let mut all = self.lock();
        all.in_flight = all.in_flight.saturating_sub(1);
        let destination = all.known.entry(server.to_owned()).or_default();
        let came_meanwhile = destination.state == State::InFlight { has_more: true };
        match end {
            End::Sent { events, has_more } => {
                destination.queued = destination.queued.saturating_sub(events);
                destination.refusals = 0;
                if has_more || came_meanwhile {
                    destination.state = State::Ready;
                    all.ready.push_back(server.to_owned());
                } else {
                    all.known.remove(server);
                }
            }
            End::Failed {
                until,
                ephemeral,
                content,
                is_refusal,
            } => {
                destination.refusals = match is_refusal {
                    true => destination.refusals.saturating_add(1),
                    false => 0,
                };
                destination.state = State::Waiting(until);
                destination.failed = content;
                destination.ephemeral.typing.clear();
                destination.ephemeral.other.clear();
                let receipts = &mut destination.ephemeral.receipts;
                receipts.extend(ephemeral.receipts);
                while receipts.len() > MOST_RECEIPTS_WAITING {
                    receipts.pop_first();
                }
                all.later.insert((until, server.to_owned()));
            }
        }
        drop(all);
        self.changed.notify_one();
    }
}

impl Destinations {
    fn begin(&mut self, name: &str, change: impl FnOnce(&mut Destination)) {
        let Ok(server) = OwnedServerName::try_from(name) else {
            return;
        };
        change(self.known.entry(server.clone()).or_default());
        self.wake(&server);
    }

    /// There is something that must arrive.
    fn wake(&mut self, server: &ServerName) {
        let Some(destination) = self.known.get_mut(server) else {
            return;
        };
        match &mut destination.state {
            State::InFlight { has_more } => *has_more = true,
            State::Idle => {
                destination.state = State::Ready;
                self.ready.push_back(server.to_owned());
            }
            State::Coalescing(at) => {
                let at = *at;
                destination.state = State::Ready;
                self.later.remove(&(at, server.to_owned()));
                self.ready.push_back(server.to_owned());
            }
            State::Ready | State::Waiting(_) => {}
        }
    }
}

fn coalesce(servers: usize) -> Duration {
    let more = COALESCE_PER_SERVER.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX));
    COALESCE + more
}

/// Starts the transactions.
pub(crate) async fn run(sender: Sender) {
    let stop = sender.0.needs.stop.clone();
    loop {
        let now = sender.0.needs.clock.now();
        while let Some((server, start)) = sender.0.schedule.take(now) {
            let (own, stop) = (sender.clone(), stop.clone());
            sender.0.needs.tasks.spawn(async move {
                let sent = deliver::run(&own, &server, start);
                if let Some(end) = stop.run_until_cancelled(sent).await {
                    own.0.schedule.ended(&server, end);
                }
            });
        }
        let next = sender.0.schedule.next_time();
        let sleep = next.map_or(LONGEST_SLEEP, |next| next.since(now).min(LONGEST_SLEEP));
        tokio::select! {
            () = sender.0.schedule.changed.notified() => {}
            () = tokio::time::sleep(sleep) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Tries servers at once that speak to us again.
pub(crate) async fn listen(sender: Sender) {
    let stop = sender.0.needs.stop.clone();
    let mut heard = sender.0.needs.federation.heard();
    loop {
        match stop.run_until_cancelled(heard.recv()).await {
            Some(Ok(server)) => sender.0.schedule.heard(&server),
            // Those that were missed are tried when their time comes.
            Some(Err(RecvError::Lagged(_))) => {}
            Some(Err(RecvError::Closed)) | None => return,
        }
    }
}
