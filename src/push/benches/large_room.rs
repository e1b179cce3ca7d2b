//! What a room of 10,000 members costs: sending to it, then reading each member's unread counts once.
//!
//! Everything runs on one thread, so that the time of a bench is the CPU time of its work.

use std::{
    collections::HashSet,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use database::{Millis, MockClock, Position, Read, SeededRandom, Stamp, Store, UserNumber};
use protocol::push::{Kind, NewRule};
use push::{Place, Push, PushConfig, Recent};
use rooms_history::History;
use rooms_store::{
    RoomStore,
    tables::{LogEntry, ROOM_LOG, USER_ROOMS},
};
use rooms_testing::{Handles, Settings};
use rooms_writer::{
    Change, CreateRoom, MembershipRequest, Message, Preset, RoomWriter, Visibility,
};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Map, json, value::to_raw_value};
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;
use users::{NewAccount, PushRuleChange, Users};

const MEMBERS: usize = 10_000;
/// Entries of a room's log that are held for all readers, as `sync` does.
const ENTRIES: usize = 64;

struct Member {
    id: OwnedUserId,
    number: UserNumber,
    joined_at: Position,
}

struct Fixture {
    users: Users,
    rooms: RoomStore,
    history: History,
    writer: RoomWriter,
    push: Push,
    room: OwnedRoomId,
    members: Vec<Member>,
}

/// Whether the members' rules are as they were when they were last read.
#[derive(Clone, Copy, PartialEq)]
enum Rules {
    Known,
    Changed,
}

impl Fixture {
    /// A room with so many members, each of whom has read their counts.
    async fn new(members: usize) -> Self {
        let store = Store::memory();
        let clock = Arc::new(MockClock::new(Millis(1_700_000_000_000)));
        let random = Arc::new(SeededRandom::new(1));
        let mut settings = Settings::named("localhost");
        settings.cache_bytes = 20 << 20;
        let Handles {
            users,
            rooms,
            history,
            writer,
            tasks,
            ..
        } = Handles::open(store, &settings, clock, random).await;
        let push = open(&history, tasks);
        let creator = register(&users, "creator").await;
        let room = create_room(&writer, creator.0).await;
        let mut house = Self {
            users,
            rooms,
            history,
            writer,
            push,
            room,
            members: Vec::new(),
        };
        for at in 0..members {
            house.join(&format!("member{at}")).await;
        }
        house
            .read_counts(&house.push, &house.members, Rules::Known)
            .await;
        house
    }

    async fn join(&mut self, name: &str) {
        let (id, number) = register(&self.users, name).await;
        let request = MembershipRequest::own(id.clone(), Change::Join);
        self.writer
            .change_membership(&self.room, request)
            .await
            .expect("may join");
        let db = self.rooms.snapshot().await.expect("reads");
        let room = self.rooms.require(&db, &self.room).await.expect("is there");
        let row = db.get(USER_ROOMS.at((number, room))).await.expect("reads");
        self.members.push(Member {
            id,
            number,
            joined_at: row.expect("has joined").position,
        });
    }

    /// Gives each member a keyword of their own.
    async fn give_keywords(&self) {
        for (at, member) in self.members.iter().enumerate() {
            let rule = NewRule {
                rule_id: "keyword".to_owned(),
                pattern: Some(format!("keyword{at}")),
                actions: vec![json!("notify"), json!({ "set_tweak": "highlight" })],
                ..NewRule::default()
            };
            let change = PushRuleChange::Set {
                kind: Kind::Content,
                rule,
                after: None,
                before: None,
            };
            let changed = self.users.change_push_rules(member.number, change).await;
            changed.expect("a good rule");
        }
    }

    async fn send(&self, body: &str) {
        let content = json!({ "msgtype": "m.text", "body": body });
        let message = Message {
            sender: "@creator:localhost".try_into().expect("a user id"),
            kind: "m.room.message".to_owned(),
            content: to_raw_value(&content).expect("JSON"),
            transaction: None,
            timestamp: None,
        };
        let sent = self.writer.send(&self.room, message).await;
        sent.expect("may send");
    }

    /// Reads the counts of some members, in one snapshot; their sum.
    async fn read_counts(&self, push: &Push, members: &[Member], rules: Rules) -> u64 {
        let db = self.rooms.snapshot().await.expect("reads");
        let room = self.rooms.require(&db, &self.room).await.expect("is there");
        let log = db.page(ROOM_LOG.under(room).reversed(), ENTRIES).await;
        let log = log.expect("reads");
        let after = log.last().map_or(Stamp(0), |((_, at), _)| at.0);
        let entries: Vec<(Position, LogEntry)> = log
            .into_iter()
            .rev()
            .map(|((_, at), event)| (at, event))
            .filter(|(at, _)| at.0 > after)
            .collect();
        let recent = Recent {
            after,
            entries: &entries,
            receipts_after: Stamp(0),
            receipts: &[],
        };
        let nobody: Arc<HashSet<OwnedUserId>> = Arc::default();
        let mut sum = 0;
        for member in members {
            let reader = push
                .reader(
                    &db,
                    member.number,
                    member.id.clone(),
                    nobody.clone(),
                    |_| rules == Rules::Known,
                )
                .await
                .expect("reads");
            let place = Place {
                room,
                room_id: &self.room,
                joined_at: member.joined_at,
            };
            let unread = push.unread(&db, &reader, &place, &recent).await;
            sum += unread.expect("reads").total().notifications;
        }
        sum
    }
}

/// With its share of the default memory budget.
fn open(history: &History, tasks: TaskTracker) -> Push {
    let config = PushConfig {
        cache_bytes: 10 << 20,
    };
    Push::open(history.clone(), &config, tasks)
}

async fn register(users: &Users, name: &str) -> (OwnedUserId, UserNumber) {
    let new = NewAccount {
        user_id: users.wanted_name(name).expect("a good name"),
        password: None,
        is_admin: false,
        device: None,
    };
    let account = users.register(new).await.expect("the name is free");
    (account.user_id, account.number)
}

async fn create_room(writer: &RoomWriter, creator: OwnedUserId) -> OwnedRoomId {
    let request = CreateRoom {
        creator,
        version: None,
        preset: Some(Preset::PublicChat),
        visibility: Visibility::Private,
        alias_localpart: None,
        name: None,
        topic: None,
        invite: Vec::new(),
        is_direct: false,
        creation_content: Map::new(),
        initial_state: Vec::new(),
        power_levels: Map::new(),
    };
    writer.create_room(request).await.expect("the room is made")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("starts")
}

/// The sender's wait does not depend on the members.
fn sending(criterion: &mut Criterion) {
    for members in [10, MEMBERS] {
        let runtime = runtime();
        let house = runtime.block_on(Fixture::new(members));
        criterion.bench_function(&format!("send to {members}"), |bench| {
            bench.iter(|| runtime.block_on(house.send("a message of usual length, more or less")));
        });
    }
}

/// After one message, the counts of every member; then the first counts of who never read the room: joins and a few messages.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench that times a part of its loop needs a clock of its own"
)]
fn reading(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut house = runtime.block_on(Fixture::new(MEMBERS));
    let mut group = criterion.benchmark_group("counts of 10000");
    group.sample_size(10);
    for name in ["predefined rules", "a keyword each"] {
        if name == "a keyword each" {
            runtime.block_on(async {
                house.give_keywords().await;
                let changed = Rules::Changed;
                house
                    .read_counts(&house.push, &house.members, changed)
                    .await;
            });
        }
        group.bench_function(name, |bench| {
            bench.iter_custom(|turns| {
                let mut spent = Duration::ZERO;
                for turn in 0..turns {
                    runtime.block_on(house.send(&format!("message {turn} about keyword7")));
                    let begin = Instant::now();
                    let all = house.read_counts(&house.push, &house.members, Rules::Known);
                    black_box(runtime.block_on(all));
                    spent += begin.elapsed();
                }
                spent
            });
        });
    }
    // Who joined at another moment than the checkpoint says has none.
    for member in &mut house.members[..2] {
        member.joined_at.1 += 1;
    }
    for (name, reader) in [("the first reader", 0), ("the next reader", 1)] {
        group.bench_function(format!("first count, {name}"), |bench| {
            bench.iter_custom(|turns| {
                let mut spent = Duration::ZERO;
                for _ in 0..turns {
                    let push = open(&house.history, TaskTracker::new());
                    for member in 0..=reader {
                        let begin = Instant::now();
                        let member = &house.members[member..=member];
                        let one = house.read_counts(&push, member, Rules::Known);
                        black_box(runtime.block_on(one));
                        if member[0].number == house.members[reader].number {
                            spent += begin.elapsed();
                        }
                    }
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, sending, reading);
criterion_main!(benches);
