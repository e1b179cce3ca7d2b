//! Random histories of messages, mentions, keywords, threads, receipts, redactions, rule changes and restarts: the unread counts
//! of each room and thread are those that `book` counts from the log, with rules and patterns of its own. The seed of a failing
//! history is printed.

mod book;
mod rules;

use std::{collections::BTreeMap, sync::Arc};

use database::{Random, Read, SeededRandom, Stamp};
use protocol::push::{BodyMentions, Kind, NewRule};
use push::PushConfig;
use rooms_history::Markers;
use rooms_store::{RoomError, tables::ROOM_LOG};
use rooms_writer::{Change, Preset};
use ruma::{OwnedEventId, OwnedRoomId};
use serde_json::{Value, json};
use users::{ProfileChange, Propagation, PushRuleChange};

use self::{
    book::{Book, Entry},
    rules::{Model, Rule, Someone, Test},
};
use crate::world::{Ask, NO_PRESENCE, Person, Settings, World};

const HISTORIES: u64 = 300;
const STEPS: usize = 70;
const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
const DISPLAY_NAMES: [Option<&str>; 4] = [Some("Alice"), Some("Pie"), Some("Carol C."), None];

struct History {
    world: Arc<World>,
    random: SeededRandom,
    people: Vec<Person>,
    rooms: Vec<OwnedRoomId>,
    books: Vec<Book>,
    /// What was sent, by room, also of what was redacted since.
    contents: BTreeMap<OwnedEventId, Value>,
    /// The rules of each person, each with the last stamp before they held.
    rules: Vec<Vec<(Stamp, Model)>>,
    body_mentions: BodyMentions,
}

impl History {
    async fn new(seed: u64) -> Self {
        let body_mentions = match seed % 3 {
            0 => BodyMentions::Notify,
            _ => BodyMentions::Ignored,
        };
        // Every other history forgets what it counted all the time.
        let cache_bytes = if seed.is_multiple_of(2) {
            1 << 20
        } else {
            4096
        };
        let world = World::with(Settings {
            seed,
            body_mentions,
            push: PushConfig { cache_bytes },
            presence: NO_PRESENCE,
        })
        .await;
        let people = world.people(NAMES).await.to_vec();
        for (person, name) in people.iter().zip(DISPLAY_NAMES) {
            let name = ProfileChange::DisplayName(name.map(str::to_owned));
            let told = Propagation::NoRooms;
            let changed = world.users.change_profile(person.number, name, told).await;
            changed.expect("a good name");
        }
        let mut rooms = Vec::new();
        for person in &people[..2] {
            let room = person.create_room(Preset::PublicChat).await;
            people[2].join(&room).await;
            rooms.push(room);
        }
        let books = (0..rooms.len()).map(|creator| Book::new(NAMES[creator]));
        Self {
            books: books.collect(),
            world,
            random: SeededRandom::new(seed),
            rules: vec![vec![(Stamp(0), Model::default())]; people.len()],
            people,
            rooms,
            contents: BTreeMap::new(),
            body_mentions,
        }
    }

    fn pick(&self, below: usize) -> usize {
        usize::try_from(self.random.u64() % below as u64).expect("small")
    }

    fn one<T: Copy>(&self, of: &[T]) -> T {
        of[self.pick(of.len())]
    }

    async fn step(&mut self) {
        let (who, at) = (self.pick(self.people.len()), self.pick(self.rooms.len()));
        let (actor, room) = (self.people[who].clone(), self.rooms[at].clone());
        // What is refused changes nothing: that is part of the history.
        let _ = match self.pick(24) {
            0..=9 => self.send(&actor, &room).await,
            10..=13 => self.read(who, at).await,
            14 => actor.change(&room, &actor, Change::Join).await,
            15 => actor.change(&room, &actor, Change::Leave).await,
            16 | 17 => self.redact(&actor, &room).await,
            18..=21 => {
                self.change_rules(who, &room).await;
                Ok(())
            }
            22 => {
                self.world = self.world.restarted(self.random.u64()).await;
                for person in &mut self.people {
                    *person = person.at(&self.world);
                }
                Ok(())
            }
            _ => {
                self.check(who).await;
                Ok(())
            }
        };
        self.follow().await;
    }

    async fn send(&mut self, actor: &Person, room: &OwnedRoomId) -> Result<(), RoomError> {
        let words = [
            "cake",
            "Cakes",
            "a pie",
            "bob",
            "hi Carol C.",
            "pan-cake!",
            "@room",
            "cae",
            "x",
        ];
        let body = format!("{} {}", self.one(&words), self.one(&words));
        let mut content =
            json!({ "body": body, "msgtype": self.one(&["m.text", "m.text", "m.notice"]) });
        if self.pick(3) == 0 {
            let name = format!("@{}:localhost", self.one(&NAMES));
            content["m.mentions"] = match self.pick(4) {
                0 => json!({ "room": true }),
                1 => json!({}),
                _ => json!({ "user_ids": [name] }),
            };
        }
        if self.pick(5) < 2
            && let Some(event) = self.some_event(room)
        {
            let kind = self.one(&[
                "m.thread",
                "m.thread",
                "m.replace",
                "m.reference",
                "m.annotation",
            ]);
            content["m.relates_to"] = json!({ "rel_type": kind, "event_id": event });
        }
        let kind = self.one(&[
            "m.room.message",
            "m.room.message",
            "m.room.message",
            "m.room.encrypted",
            "m.reaction",
            "org.matrix.msc3381.poll.start",
            "org.example.other",
        ]);
        let sent = actor.try_send_kind(room, kind, content.clone()).await?;
        self.contents.insert(sent, content);
        Ok(())
    }

    /// Something that was sent to the room.
    fn some_event(&self, room: &OwnedRoomId) -> Option<OwnedEventId> {
        let at = self.rooms.iter().position(|one| one == room)?;
        let entries = self.books[at].entries.iter();
        let sent: Vec<&Entry> = entries
            .filter(|entry| self.contents.contains_key(&entry.id))
            .collect();
        (!sent.is_empty()).then(|| sent[self.pick(sent.len())].id.clone())
    }

    async fn redact(&self, actor: &Person, room: &OwnedRoomId) -> Result<(), RoomError> {
        match self.some_event(room) {
            Some(event) => actor.redact(room, event).await.map(drop),
            None => Ok(()),
        }
    }

    async fn read(&mut self, who: usize, at: usize) -> Result<(), RoomError> {
        let (actor, room) = (&self.people[who], &self.rooms[at]);
        let entries = &self.books[at].entries;
        // Mostly what came last.
        let back = self.pick(entries.len().min(if self.pick(4) == 0 { 100 } else { 6 }));
        let event = entries[entries.len() - 1 - back].id.clone();
        let thread = match self.pick(4) {
            0 => Some("main".to_owned()),
            1 => Book::thread(&event, &self.contents),
            2 => self.some_event(room).map(|root| root.to_string()),
            _ => None,
        };
        let (read, read_private) = match self.pick(2) {
            0 => (Some(event.clone()), None),
            _ => (None, Some(event.clone())),
        };
        let markers = Markers {
            read,
            read_private,
            fully_read: None,
            thread: thread.clone(),
        };
        actor.read(room, markers).await?;
        self.books[at].read(NAMES[who], thread.unwrap_or_default(), &event);
        Ok(())
    }

    async fn change_rules(&mut self, who: usize, room: &OwnedRoomId) {
        let user = self.people[who].number;
        let mut model = self.rules[who].last().expect("there is one").1.clone();
        let change = match self.pick(5) {
            0 | 1 => {
                let (id, enabled) = (self.one(&rules::CHANGEABLE), self.pick(2) == 0);
                model.enabled.insert(id.1, enabled);
                PushRuleChange::Enable {
                    kind: id.0,
                    id: id.1.to_owned(),
                    enabled,
                }
            }
            2 => {
                let (kind, id) = self.one(&rules::CHANGEABLE);
                let (notify, highlight) = self.some_actions();
                model.actions.insert(id, (notify, highlight));
                PushRuleChange::SetActions {
                    kind,
                    id: id.to_owned(),
                    actions: rules::actions(notify, highlight),
                }
            }
            3 if !model.own.is_empty() => {
                let rule = model.own.remove(self.pick(model.own.len()));
                PushRuleChange::Remove {
                    kind: rule.kind,
                    id: rule.id,
                }
            }
            _ => {
                let rule = self.some_rule(room);
                model
                    .own
                    .retain(|old| old.id != rule.id || old.kind != rule.kind);
                model.own.insert(0, rule.clone());
                let first = model.own[1..].iter().find(|other| other.kind == rule.kind);
                PushRuleChange::Set {
                    kind: rule.kind,
                    rule: NewRule {
                        rule_id: rule.id.clone(),
                        conditions: rule.test.conditions(),
                        pattern: rule.test.pattern(),
                        actions: rules::actions(rule.notify, rule.highlight),
                    },
                    after: None,
                    before: first.map(|first| first.id.clone()),
                }
            }
        };
        self.world
            .users
            .change_push_rules(user, change)
            .await
            .expect("a good change");
        let db = self.world.rooms.snapshot().await.expect("reads");
        self.rules[who].push((db.stamp(), model));
    }

    fn some_actions(&self) -> (bool, bool) {
        self.one(&[(false, false), (true, false), (true, true)])
    }

    fn some_rule(&self, room: &OwnedRoomId) -> Rule {
        let pattern = self.one(&["cake", "ca*e", "p?e", "*", "an-c*", "hi"]);
        let (kind, test) = match self.pick(8) {
            0 | 1 => (Kind::Content, Test::Body(pattern)),
            2 => (Kind::Room, Test::Room(room.to_string())),
            3 => (
                Kind::Sender,
                Test::Sender(format!("@{}:localhost", self.one(&NAMES))),
            ),
            4 => (
                Kind::Override,
                Test::Members(self.one(&["2", "<3", ">=4", "==3"])),
            ),
            5 => (Kind::Override, Test::DisplayName),
            6 => (
                Kind::Underride,
                Test::Type(self.one(&["org.example.*", "m.*", "M.REACTION"])),
            ),
            _ => (Kind::Override, Test::MayNotifyRoom(pattern)),
        };
        let (notify, highlight) = self.some_actions();
        let id = match &test {
            Test::Room(id) | Test::Sender(id) => id.clone(),
            _ => format!("rule{}", self.pick(3)),
        };
        Rule {
            kind,
            id,
            test,
            notify,
            highlight,
        }
    }

    fn someone(who: usize) -> Someone {
        Someone {
            name: NAMES[who],
            display_name: DISPLAY_NAMES[who],
        }
    }

    /// Takes what is new in the logs into the books.
    async fn follow(&mut self) {
        let rooms = &self.world.rooms;
        let db = rooms.snapshot().await.expect("reads");
        for (room_id, book) in self.rooms.iter().zip(&mut self.books) {
            let room = rooms.require(&db, room_id).await.expect("is there");
            let log = db
                .page(ROOM_LOG.under(room), usize::MAX)
                .await
                .expect("reads");
            for ((_, position), number) in log.into_iter().skip(book.entries.len()) {
                let event = rooms
                    .named_event(&db, room, number.event.expect("no forks here"))
                    .await
                    .expect("reads");
                let json = serde_json::from_str(event.json()).expect("is JSON");
                book.add(event.id.clone(), position.0, json);
            }
        }
    }

    /// Everything that a person is told is what the books say.
    async fn check(&self, who: usize) {
        let person = &self.people[who];
        let filter =
            json!({ "room": { "timeline": { "limit": 1, "unread_thread_notifications": true } } });
        let by_thread = person.sync(&Ask::default().filter(filter)).await;
        let whole = person.sync(&Ask::default()).await;
        for (room, book) in self.rooms.iter().zip(&self.books) {
            let told = &by_thread["rooms"]["join"][room.as_str()];
            let expected = book.unread(
                Self::someone(who),
                room.as_str(),
                &self.rules[who],
                &self.contents,
                self.body_mentions,
            );
            let Some(expected) = expected else {
                assert!(told.is_null(), "{told}");
                continue;
            };
            let mut counted: BTreeMap<String, (u64, u64)> = BTreeMap::new();
            counted.insert("main".to_owned(), pair(&told["unread_notifications"]));
            for (root, counts) in told["unread_thread_notifications"]
                .as_object()
                .into_iter()
                .flatten()
            {
                counted.insert(root.clone(), pair(counts));
            }
            counted.retain(|_, counts| *counts != (0, 0));
            assert_eq!(counted, expected, "{} in {room}", NAMES[who]);
            let total = expected
                .values()
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            let told = pair(&whole["rooms"]["join"][room.as_str()]["unread_notifications"]);
            assert_eq!(told, total, "{} in {room}", NAMES[who]);
        }
    }
}

fn pair(counts: &Value) -> (u64, u64) {
    let of = |name: &str| counts[name].as_u64().expect("a number");
    (of("notification_count"), of("highlight_count"))
}

#[tokio::test]
async fn counts_are_those_of_the_log() {
    for seed in 0..HISTORIES {
        println!("history {seed}");
        let mut history = History::new(seed).await;
        history.follow().await;
        for _ in 0..STEPS {
            history.step().await;
        }
        for who in 0..NAMES.len() {
            history.check(who).await;
        }
    }
}

/// Where almost nothing notifies, counting passes over long parts of the log: for the second reader, for one whose rules changed
/// on the way, and after a restart.
#[tokio::test]
async fn counts_are_right_over_long_quiet_stretches() {
    let mut history = History::new(2).await;
    let room = history.rooms[0].clone();
    for who in [1, 3] {
        history.people[who].join(&room).await;
    }
    let alice = history.people[0].clone();
    for at in 0..1500 {
        let (kind, content) = if at % 97 == 0 {
            let mentions = json!({ "user_ids": ["@carol:localhost"] });
            let message = json!({ "body": "a pie", "msgtype": "m.text", "m.mentions": mentions });
            ("m.room.message", message)
        } else {
            ("m.reaction", json!({}))
        };
        let sent = alice.try_send_kind(&room, kind, content.clone()).await;
        history.contents.insert(sent.expect("may send"), content);
        if at % 500 == 250 {
            history.change_rules(1, &room).await;
        }
    }
    let first = history.contents.keys().next().cloned().expect("was sent");
    alice.redact(&room, first).await.expect("may redact");
    history.follow().await;
    for _ in 0..2 {
        for who in [1, 2, 3, 1, 2, 3] {
            history.check(who).await;
        }
        history.world = history.world.restarted(history.random.u64()).await;
        for person in &mut history.people {
            *person = person.at(&history.world);
        }
    }
}

#[tokio::test]
async fn earlier_rules_are_forgotten_once_everything_before_them_is_read() {
    let history = History::new(2).await;
    let (room, carol) = (history.rooms[0].clone(), history.people[2].clone());
    let users = &history.world.users;
    let add = async |word: usize| {
        let change = PushRuleChange::Set {
            kind: Kind::Content,
            rule: NewRule {
                rule_id: word.to_string(),
                pattern: Some(word.to_string()),
                ..NewRule::default()
            },
            after: None,
            before: None,
        };
        let changed = users.change_push_rules(carol.number, change).await;
        changed.expect("a good rule");
    };
    for word in 0..10 {
        add(word).await;
    }
    let sent = history.people[0].send(&room, "hello").await;
    let others = history.people[1].send(&history.rooms[1], "hello").await;
    add(10).await;
    let read = |event| Markers {
        read: Some(event),
        ..Markers::default()
    };
    carol.read(&room, read(sent)).await.expect("may read");
    let other_room = &history.rooms[1];
    carol
        .read(other_room, read(others))
        .await
        .expect("may read");

    carol.sync(&Ask::default()).await;

    let mut published = history.world.rooms.store().published();
    loop {
        published.borrow_and_update();
        let db = users.snapshot().await.expect("reads");
        let rules = users.push_rules(&db, carol.number).await.expect("reads");
        // What was changed last held after what is read.
        if rules.earlier.len() == 1 {
            return;
        }
        published.changed().await.expect("the engine lives");
    }
}
