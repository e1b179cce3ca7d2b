//! Random histories of one room, with edits, reactions, threads, references, redactions, ignored users, joins and leaves. What
//! each reader gets of relations is compared with a plain second implementation, which reads the whole timeline.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use database::{Random as _, SeededRandom};
use futures_util::future::join_all;
use rooms_history::{AnyToken, Direction, RelationsRequest, ThreadsRequest};
use rooms_store::Event;
use rooms_writer::Change;
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Value, json};

use crate::{
    pages::{backward, list, messages, reader},
    relations::{children, edit, ids, ignore, redact, relate, related},
};
use rooms_testing::TestRooms;

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
const KINDS: [&str; 4] = ["m.thread", "m.replace", "m.reference", "m.annotation"];

struct World {
    house: TestRooms,
    room: OwnedRoomId,
    people: Vec<OwnedUserId>,
    ignored: BTreeMap<OwnedUserId, BTreeSet<OwnedUserId>>,
    random: SeededRandom,
}

/// An event as the second implementation knows it.
struct Plain {
    event: Arc<Event>,
    content: Value,
    /// Who was joined before it, and the visibility then.
    joined: BTreeSet<OwnedUserId>,
    is_shared: bool,
}

impl World {
    async fn new(seed: u64) -> Self {
        let house = TestRooms::new().await;
        let mut people = Vec::new();
        for name in NAMES {
            people.push(house.person(name).await);
        }
        let room = house.public_room(&people[0]).await;
        for person in &people[1..] {
            house.join(&room, person).await.expect("a public room");
        }
        Self {
            house,
            room,
            people,
            ignored: BTreeMap::new(),
            random: SeededRandom::new(seed),
        }
    }

    fn pick(&self, below: usize) -> usize {
        usize::try_from(self.random.u64() % below as u64).expect("small")
    }

    fn person(&self) -> OwnedUserId {
        self.people[self.pick(self.people.len())].clone()
    }

    async fn joined(&self) -> Vec<OwnedUserId> {
        let mut joined = Vec::new();
        for person in &self.people {
            let membership = self.house.membership(&self.room, person).await;
            if membership == Some(rooms_store::Membership::Join) {
                joined.push(person.clone());
            }
        }
        joined
    }

    /// Events that can be named: the newest most of all.
    async fn targets(&self) -> Vec<Arc<Event>> {
        let mut all = self.house.timeline(&self.room).await;
        all.retain(|event| !event.is_state() && &*event.kind != "m.room.redaction");
        let from = all.len().saturating_sub(12);
        all.split_off(from)
    }

    async fn step(&mut self) {
        let ms = [0, 1, 1000][self.pick(3)];
        self.house.clock.advance(Duration::from_millis(ms));
        match self.pick(20) {
            0 => self.move_somebody().await,
            1 => self.ignore_somebody().await,
            2 | 3 => self.redact_something().await,
            4 => {
                let visibility = ["shared", "joined", "shared"][self.pick(3)];
                let content = json!({ "history_visibility": visibility });
                let kind = "m.room.history_visibility";
                self.house
                    .set(&self.room, &self.people[0], kind, "", content)
                    .await
                    .expect("the creator may");
            }
            _ => self.send_some().await,
        }
    }

    /// The creator stays, so that somebody can change the room.
    async fn move_somebody(&self) {
        let person = &self.people[1 + self.pick(self.people.len() - 1)];
        let joined = self.joined().await;
        let change = if joined.contains(person) {
            Change::Leave
        } else {
            Change::Join
        };
        self.house
            .change(&self.room, person, person, change)
            .await
            .expect("a public room");
    }

    async fn ignore_somebody(&mut self) {
        let (person, other) = (self.person(), self.person());
        let list = self.ignored.entry(person.clone()).or_default();
        if !list.remove(&other) {
            list.insert(other);
        }
        let list: Vec<_> = list.iter().map(|user| &**user).collect();
        ignore(&self.house, &person, &list).await;
    }

    async fn redact_something(&self) {
        let targets = self.targets().await;
        if !targets.is_empty() {
            let target = &targets[self.pick(targets.len())];
            redact(&self.house, &self.room, &self.people[0], &target.id).await;
        }
    }

    /// One to four at once, so that some share a commit.
    async fn send_some(&self) {
        let (joined, targets) = (self.joined().await, self.targets().await);
        let mut sends = Vec::new();
        for _ in 0..=self.pick(4) {
            let sender = joined[self.pick(joined.len())].clone();
            let kind = ["m.room.message", "m.room.message", "m.sticker"][self.pick(3)];
            let content = if targets.is_empty() || self.pick(4) == 0 {
                json!({ "msgtype": "m.text", "body": "plain" })
            } else {
                let target = targets[self.pick(targets.len())].id.as_str();
                match self.pick(6) {
                    0 | 1 => related("m.thread", target),
                    2 | 3 => edit(target),
                    4 => related("m.reference", target),
                    _ => related(["m.annotation", "m.replace"][self.pick(2)], target),
                }
            };
            sends.push((sender, kind, content));
        }
        let sends = sends.into_iter().map(|(sender, kind, content)| async move {
            relate(&self.house, &self.room, &sender, kind, content).await
        });
        join_all(sends).await;
    }

    async fn history(&self) -> Vec<Plain> {
        let mut joined = BTreeSet::new();
        let mut is_shared = true;
        let mut history = Vec::new();
        for event in self.house.timeline(&self.room).await {
            let content: Value = serde_json::from_str(event.content()).expect("JSON");
            history.push(Plain {
                content: content.clone(),
                joined: joined.clone(),
                is_shared,
                event: event.clone(),
            });
            if &*event.kind == "m.room.member" {
                let user = event.state_key.as_deref().expect("a member");
                let user = OwnedUserId::try_from(user).expect("a user");
                if content["membership"] == "join" {
                    joined.insert(user);
                } else {
                    joined.remove(&user);
                }
            }
            if &*event.kind == "m.room.history_visibility" {
                is_shared = content["history_visibility"] == "shared";
            }
        }
        history
    }

    async fn compare(&self) {
        let history = self.history().await;
        let now = self.joined().await;
        for person in &self.people {
            let view = View::new(self, &history, person, now.contains(person));
            view.compare_messages(self).await;
            view.compare_relations(self).await;
            view.compare_threads(self).await;
        }
    }
}

/// What one reader gets of a history.
struct View<'a> {
    person: &'a OwnedUserId,
    /// All messages that they get, oldest first.
    seen: Vec<&'a Plain>,
    /// The whole history, by which threads are ordered.
    all: &'a [Plain],
}

impl<'a> View<'a> {
    fn new(world: &World, history: &'a [Plain], person: &'a OwnedUserId, is_in: bool) -> Self {
        let last_in = history.iter().rposition(|at| at.joined.contains(person));
        let sees = |at: usize, plain: &Plain| {
            let was_in_later = is_in || last_in.is_some_and(|last| last > at);
            plain.joined.contains(person) || (plain.is_shared && was_in_later)
        };
        let ignored = world.ignored.get(person).cloned().unwrap_or_default();
        let is_heard = |plain: &Plain| {
            !plain.event.is_state()
                && (plain.event.sender == *person || !ignored.contains(&plain.event.sender))
        };
        let visible = history.iter().enumerate();
        let visible = visible.filter(|(at, plain)| sees(*at, plain) && is_heard(plain));
        Self {
            person,
            seen: visible.map(|(_, plain)| plain).collect(),
            all: history,
        }
    }

    /// Children of an event that the reader gets, oldest first.
    fn children(&self, parent: &str, kind: &str) -> Vec<&'a Plain> {
        let is_child = |plain: &&&Plain| {
            let relation = &plain.content["m.relates_to"];
            relation["event_id"] == parent && relation["rel_type"] == kind
        };
        self.seen.iter().filter(is_child).copied().collect()
    }

    /// What is expected under `m.relations`, as far as it is compared.
    fn bundle(&self, plain: &Plain, with_thread: bool) -> Value {
        let event = &plain.event;
        let id = event.id.as_str();
        let mut bundle = json!({});
        let may_be_edited = event.redacted_because.is_none()
            && plain.content["m.relates_to"]["rel_type"] != "m.replace";
        let edit = self
            .children(id, "m.replace")
            .into_iter()
            .filter(|edit| may_be_edited && edit.event.sender == event.sender)
            .filter(|edit| edit.event.kind == event.kind)
            .filter(|edit| edit.content.get("m.new_content").is_some())
            .max_by_key(|edit| (edit.event.origin_server_ts, edit.event.id.clone()));
        if let Some(edit) = edit {
            bundle["m.replace"] = json!(edit.event.id);
        }
        let references = self.children(id, "m.reference");
        if !references.is_empty() {
            let ids: Vec<_> = references.iter().map(|child| &child.event.id).collect();
            bundle["m.reference"] = json!(ids);
        }
        let thread = self.children(id, "m.thread");
        if let Some(latest) = thread.last().filter(|_| with_thread) {
            let own = |plain: &&Plain| plain.event.sender == *self.person;
            bundle["m.thread"] = json!({
                "latest": latest.event.id,
                "of_latest": self.bundle(latest, false),
                "count": thread.len(),
                "participated": own(&plain) || thread.iter().any(own),
            });
        }
        bundle
    }

    async fn compare_messages(&self, world: &World) {
        let (house, room) = (&world.house, &world.room);
        let page = messages(house, room, self.person, &backward(1_000)).await;
        let mut told = list(&page.chunk);
        told.retain(|event| event.get("state_key").is_none());
        told.reverse();
        let told_ids: Vec<_> = told.iter().map(|event| event["event_id"].clone()).collect();
        let seen: Vec<_> = self
            .seen
            .iter()
            .map(|plain| json!(plain.event.id))
            .collect();
        assert_eq!(told_ids, seen, "{}", self.person);
        for (told, plain) in told.iter().zip(&self.seen) {
            let expected = self.bundle(plain, true);
            let bundle = &told["unsigned"]["m.relations"];
            assert_eq!(compared(bundle, true), expected, "{}: {told}", self.person);
        }
    }

    async fn compare_relations(&self, world: &World) {
        let (house, room) = (&world.house, &world.room);
        let reader = reader(house, self.person).await;
        for plain in &self.seen {
            let id = plain.event.id.as_str();
            let mut expected: Vec<_> = KINDS.iter().flat_map(|k| self.children(id, k)).collect();
            expected.sort_by_key(|child| child.event.position);
            let mut request = RelationsRequest {
                limit: 1 + world.pick(3),
                ..children()
            };
            if world.pick(2) == 0 {
                request.direction = Direction::Forward;
            } else {
                expected.reverse();
            }
            if world.pick(2) == 0 {
                let kind = KINDS[world.pick(4)];
                request.relation = Some(kind.to_owned());
                expected.retain(|child| child.content["m.relates_to"]["rel_type"] == kind);
                if world.pick(2) == 0 {
                    request.kind = Some("m.sticker".to_owned());
                    expected.retain(|child| &*child.event.kind == "m.sticker");
                }
            }
            let mut told = Vec::new();
            loop {
                let page = house
                    .history
                    .relations(room, &reader, &plain.event.id, &request);
                let page = page.await.expect("a page");
                assert!(list(&page.chunk).len() <= request.limit);
                told.extend(ids(&page.chunk));
                let Some(next) = page.next else { break };
                request.from = Some(AnyToken::Pagination(next));
            }
            let expected: Vec<_> = expected.iter().map(|c| c.event.id.to_string()).collect();
            assert_eq!(told, expected, "{} {request:?}", self.person);
        }
    }

    async fn compare_threads(&self, world: &World) {
        let (house, room) = (&world.house, &world.room);
        let reader = reader(house, self.person).await;
        for participated in [false, true] {
            let mut request = ThreadsRequest {
                from: None,
                limit: 1 + world.pick(3),
                participated,
            };
            let mut told = Vec::new();
            loop {
                let page = house.history.threads(room, &reader, request).await;
                let Ok(page) = page else { break };
                told.extend(ids(&page.chunk));
                let Some(next) = page.next else { break };
                request.from = Some(AnyToken::Pagination(next));
            }
            let mut expected = BTreeMap::new();
            for plain in &self.seen {
                let bundle = self.bundle(plain, true);
                let Some(thread) = bundle.get("m.thread") else {
                    continue;
                };
                if participated && thread["participated"] == false {
                    continue;
                }
                expected.insert(plain.event.id.to_string(), plain);
            }
            let newest = |root: &String| {
                let is_child = |plain: &&Plain| {
                    let relation = &plain.content["m.relates_to"];
                    relation["event_id"] == **root && relation["rel_type"] == "m.thread"
                };
                let newest = self.all.iter().rfind(is_child);
                newest.map(|plain| plain.event.position)
            };
            assert!(told.is_sorted_by(|one, next| newest(one) > newest(next)));
            let mut sorted = told.clone();
            sorted.sort();
            let names: Vec<_> = expected.keys().cloned().collect();
            assert_eq!(sorted, names, "{} {participated}", self.person);
        }
    }
}

/// The compared part of a bundle that was told.
fn compared(told: &Value, with_thread: bool) -> Value {
    let mut bundle = json!({});
    if let Some(edit) = told.get("m.replace") {
        bundle["m.replace"] = edit["event_id"].clone();
    }
    if let Some(references) = told.get("m.reference") {
        let chunk = references["chunk"].as_array().expect("a chunk");
        let ids: Vec<_> = chunk
            .iter()
            .map(|child| child["event_id"].clone())
            .collect();
        bundle["m.reference"] = json!(ids);
    }
    if let Some(thread) = told.get("m.thread") {
        assert!(with_thread, "a thread in a thread");
        let latest = &thread["latest_event"];
        bundle["m.thread"] = json!({
            "latest": latest["event_id"],
            "of_latest": compared(&latest["unsigned"]["m.relations"], false),
            "count": thread["count"],
            "participated": thread["current_user_participated"],
        });
    }
    bundle
}

#[tokio::test]
async fn readers_get_of_random_histories_what_a_plain_reading_finds() {
    for seed in 0..12 {
        let mut world = World::new(seed).await;
        for step in 0..60 {
            world.step().await;
            if step % 6 == 5 {
                world.compare().await;
            }
        }
    }
}
