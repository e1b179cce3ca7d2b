//! CPU time of rooms as graphs, of the whole process: appending messages of another server, with hash, signature and disk, and
//! resolving the 20 forks of a room with 10,000 state events.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
    time::Duration,
};

use criterion::{
    BatchSize, Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use database::{MockClock, SeededRandom, Store};
use database_rocksdb::{Options, RocksEngine};
use federation::Keys;
use protocol::{
    authorize,
    content::Content,
    event::{Depth, Draft, SignedPdu},
    receive::Pdu,
    room_version,
};
use rooms_testing::{Settings, TestRooms};
use rooms_writer::{Arrival, Outcome, ReceivedPdu};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId,
    UInt, owned_room_id, server_name,
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

const STATE_EVENTS: usize = 10_000;
const FORKS: usize = 20;
/// Forks of which each resolution takes as many as `FORKS`, so that none is cached.
const ALL_FORKS: usize = 24;
/// Messages in one transaction of a server.
const TRANSACTION: usize = 50;

/// CPU time of all threads of this process, in the 10 ms steps of the kernel.
struct CpuTime(WallTime);

impl CpuTime {
    fn now() -> Duration {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum();
        Duration::from_millis(10 * ticks)
    }
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now().saturating_sub(start)
    }

    fn add(&self, left: &Duration, right: &Duration) -> Duration {
        *left + *right
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        self.0.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.0.formatter()
    }
}

type State = BTreeMap<(String, String), OwnedEventId>;

/// A server that sends events, and the one that receives them.
struct Room {
    server: TestRooms,
    keys: Keys,
    room_id: OwnedRoomId,
    state: RefCell<State>,
    last: RefCell<OwnedEventId>,
    depth: Cell<u64>,
}

fn user(number: usize) -> OwnedUserId {
    OwnedUserId::try_from(format!("@user{number}:remote.example")).expect("a user id")
}

impl Room {
    async fn new(store: Store) -> Self {
        let server = TestRooms::open(store, &Settings::default()).await;
        let random = SeededRandom::new(3);
        let name = server_name!("remote.example").to_owned();
        let (own_store, clock) = (Store::memory(), MockClock::default());
        let keys = Keys::open(&own_store, &random, &clock, name);
        let room = Self {
            server,
            keys: keys.await.expect("keys"),
            room_id: owned_room_id!("!room:remote.example"),
            state: RefCell::default(),
            last: RefCell::new(EventId::parse("$none").expect("an id")),
            depth: Cell::new(0),
        };
        let writer = &room.server.writer;
        let begun = writer.begin_join(&room.room_id, &RoomVersionId::V11);
        begun.await.expect("the room begins");
        let create = json!({ "room_version": "11" });
        let create = room.event("m.room.create", Some(""), 0, &create, &[]);
        let state = Vec::new();
        room.take(&create, Arrival::AfterGap { state }).await;
        room.learn("m.room.create", "", &create);
        let join = json!({ "membership": "join" });
        room.add("m.room.member", user(0).as_str(), 0, &join).await;
        let levels: serde_json::Map<String, Value> = (0..50)
            .map(|number| (user(number).to_string(), json!(100)))
            .collect();
        let levels = json!({ "users": levels });
        room.add("m.room.power_levels", "", 0, &levels).await;
        let rules = json!({ "join_rule": "public" });
        room.add("m.room.join_rules", "", 0, &rules).await;
        room
    }

    fn event(
        &self,
        kind: &str,
        state_key: Option<&str>,
        sender: usize,
        content: &Value,
        previous: &[OwnedEventId],
    ) -> SignedPdu {
        let depth = self.depth.get() + 1;
        self.depth.set(depth);
        let mut draft = Draft {
            rules: room_version::rules(&RoomVersionId::V11).expect("a version"),
            room_id: Some(self.room_id.clone()),
            sender: user(sender),
            kind: kind.into(),
            state_key: state_key.map(str::to_owned),
            content: Content::parse(&content.to_string()).expect("JSON"),
            auth_events: Vec::new(),
            prev_events: previous.to_vec(),
            depth: Depth(depth),
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(depth)),
            redacts: None,
            old_format: None,
        };
        let state = self.state.borrow();
        let types = authorize::auth_types(draft.rules, &draft).expect("types");
        let auth = types
            .into_iter()
            .filter_map(|(kind, key)| state.get(&(kind.to_string(), key)).cloned());
        draft.auth_events = auth.collect();
        draft.sign(&*self.keys.current()).expect("an event")
    }

    /// Receives an event as it comes from the network.
    async fn take(&self, event: &SignedPdu, arrival: Arrival) -> Outcome {
        let pdu = self.checked(event);
        let writer = &self.server.writer;
        let taken = writer.receive(&self.room_id, vec![(pdu, arrival)]).await;
        let outcome = taken.expect("the room is known").pop();
        outcome.expect("one outcome").expect("a healthy store")
    }

    fn checked(&self, event: &SignedPdu) -> ReceivedPdu {
        let rules = room_version::rules(&RoomVersionId::V11).expect("a version");
        let public = self.keys.current().public();
        let pdu = Pdu::read(rules, &event.json).expect("a PDU");
        ReceivedPdu::of(pdu.verify(|_, _| Some(public)).expect("a signature"))
    }

    fn learn(&self, kind: &str, key: &str, event: &SignedPdu) {
        let pair = (kind.to_owned(), key.to_owned());
        self.state.borrow_mut().insert(pair, event.event_id.clone());
        self.last.replace(event.event_id.clone());
    }

    async fn add(&self, kind: &str, key: &str, sender: usize, content: &Value) {
        let previous = [self.last.borrow().clone()];
        let event = self.event(kind, Some(key), sender, content, &previous);
        let outcome = self.take(&event, Arrival::Live).await;
        assert_eq!(outcome, Outcome::Accepted);
        self.learn(kind, key, &event);
    }

    /// The next messages of a chain.
    fn messages(&self) -> Vec<SignedPdu> {
        let mut messages = Vec::with_capacity(TRANSACTION);
        for _ in 0..TRANSACTION {
            let previous = [self.last.borrow().clone()];
            let content = json!({ "msgtype": "m.text", "body": "a message of a usual length" });
            let event = self.event("m.room.message", None, 0, &content, &previous);
            self.last.replace(event.event_id.clone());
            messages.push(event);
        }
        messages
    }

    async fn take_all(&self, messages: Vec<SignedPdu>) {
        let pdus = messages.iter().map(|event| self.checked(event));
        let pdus = pdus.map(|pdu| (pdu, Arrival::Live)).collect();
        let taken = self.server.writer.receive(&self.room_id, pdus).await;
        for outcome in taken.expect("the room is known") {
            assert_eq!(outcome.expect("a healthy store"), Outcome::Accepted);
        }
    }

    /// Fills the state, and lets what happens in a busy room happen at once in many places.
    async fn fork(&self) -> Vec<OwnedEventId> {
        let join = json!({ "membership": "join" });
        for number in 1..STATE_EVENTS {
            let key = user(number);
            self.add("m.room.member", key.as_str(), number, &join).await;
        }
        let mut ends = Vec::new();
        for fork in 0..ALL_FORKS {
            let mut last = self.last.borrow().clone();
            let state = self.state.borrow().clone();
            for number in 0..10 {
                let other = user(100 + fork * 10 + number);
                let ban = json!({ "membership": "ban" });
                let topic = json!({ "topic": fork });
                let (kind, key, content) = match number % 3 {
                    0 => ("m.room.topic", "", topic),
                    _ => ("m.room.member", other.as_str(), ban),
                };
                let event = self.event(kind, Some(key), 1 + fork, &content, &[last]);
                assert_eq!(self.take(&event, Arrival::Live).await, Outcome::Accepted);
                last = event.event_id;
            }
            self.state.replace(state);
            ends.push(last);
        }
        ends
    }

    /// An event that follows some of the forks, and that the state after them forbids.
    fn merge(&self, ends: &[OwnedEventId], turn: usize) -> SignedPdu {
        let mut chosen = ends.to_vec();
        let mut number = turn;
        while chosen.len() > FORKS {
            chosen.remove(number % chosen.len());
            number /= chosen.len() + 1;
        }
        let content = json!({ "body": turn });
        self.event("m.room.message", None, STATE_EVENTS + 1, &content, &chosen)
    }
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

fn append(criterion: &mut Criterion<CpuTime>) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let tasks = tokio_util::task::TaskTracker::new();
    let engine = RocksEngine::open(&Options::new(folder.path(), tasks)).expect("a database");
    let room = runtime.block_on(Room::new(Store::new(Arc::new(engine))));
    let mut group = criterion.benchmark_group("graph");
    group.throughput(Throughput::Elements(TRANSACTION as u64));
    group.bench_function("50 messages of another server", |bencher| {
        bencher.iter_batched(
            || room.messages(),
            |messages| runtime.block_on(room.take_all(messages)),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn resolve(criterion: &mut Criterion<CpuTime>) {
    let runtime = runtime();
    let room = runtime.block_on(Room::new(Store::memory()));
    let ends = runtime.block_on(room.fork());
    let mut turn = 0;
    criterion.bench_function("20 forks of a room of 10,000 state events", |bencher| {
        bencher.iter_batched(
            || {
                turn += 1;
                room.merge(&ends, turn)
            },
            |event| {
                let outcome = runtime.block_on(room.take(&event, Arrival::Live));
                assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
            },
            BatchSize::LargeInput,
        );
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime(WallTime)).sample_size(20);
    targets = append, resolve
}
criterion_main!(benches);
