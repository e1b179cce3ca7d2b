//! Several servers that share one room without any network: each has the real writer on the memory engine, and a transport
//! that the test drives carries their events, late, twice, out of order, or not at all while they are parted.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use database::{Clock as _, Random as _, Read, SeededRandom, Store};
use federation::Keys;
use protocol::{
    authorize::{self, AuthEvent},
    content::Content,
    event::{Depth, Draft},
    room_version,
};
use rooms_store::{
    Event, Place, Verdict,
    tables::{EVENT_NUMBERS, EVENTS, ROOM_LOG},
};
use rooms_writer::{Arrival, Change, Outcome, Preset, ReceivedPdu};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId,
    UInt, UserId, events::TimelineEventType, state_res::Event as _,
};
use serde_json::{Value, json};

use crate::fixture::{Settings, TestRooms, asked};

/// One server of the net and what it knows of its deliveries.
pub struct Node {
    pub rooms: TestRooms,
    keys: Keys,
    /// Events of this server's users that were seen, oldest first.
    sent: Vec<OwnedEventId>,
    /// Events to be delivered here: sender's index and event.
    inbox: Vec<(usize, OwnedEventId)>,
}

/// Servers that share a room.
pub struct Net {
    pub nodes: Vec<Node>,
    pub room_id: OwnedRoomId,
    version: RoomVersionId,
    random: SeededRandom,
    /// Entries of each server's log that were looked at.
    cursor: Vec<usize>,
    /// The server that nobody reaches now.
    parted: Option<usize>,
}

/// How often an event is delivered whose auth events keep missing.
const MOST_TRIES: usize = 4;
/// Events walked back in one delivery.
const MOST_WALKED: usize = 2_000;

impl Net {
    /// `count` servers; the first creates a public room with its user `creator`.
    ///
    /// # Panics
    ///
    /// Where a server fails: this is for tests.
    pub async fn new(seed: u64, count: usize, version: RoomVersionId) -> Self {
        let mut nodes = Vec::with_capacity(count);
        for at in 0..count {
            nodes.push(Node::new(seed, at, &version).await);
        }
        let creator = nodes[0].rooms.person("creator").await;
        let mut request = asked(&creator, Preset::PublicChat);
        request.version = Some(version.to_string());
        let room_id = nodes[0].rooms.writer.create_room(request).await;
        let mut net = Self {
            room_id: room_id.expect("a room"),
            cursor: vec![0; count],
            parted: None,
            random: SeededRandom::new(seed ^ 0x5eed),
            nodes,
            version,
        };
        net.collect().await;
        // What was sent before anybody else joined reaches them by their join.
        for node in &mut net.nodes {
            node.inbox.clear();
        }
        net
    }

    /// A number below `below`.
    pub fn pick(&self, below: usize) -> usize {
        usize::try_from(self.random.u64() % below as u64).expect("small")
    }

    /// Two people on each server beside the creator, all of them in the room, where everybody may do much. Each comes with the
    /// index of their server.
    pub async fn populate(&mut self) -> Vec<(usize, OwnedUserId)> {
        let creator = OwnedUserId::try_from("@creator:server0.example").expect("an id");
        let open = json!({ "users_default": 50, "ban": 50, "state_default": 50 });
        let first = &self.nodes[0].rooms;
        let opened = first.set(&self.room_id, &creator, "m.room.power_levels", "", open);
        opened.await.expect("the creator's room");
        self.collect().await;
        for node in &mut self.nodes {
            node.inbox.clear();
        }
        let mut people = vec![(0, creator)];
        for at in 0..self.nodes.len() {
            for name in ["ann", "ben"] {
                let user = self.nodes[at].rooms.person(name).await;
                if self.is_in(at).await {
                    let joined = self.nodes[at].rooms.join(&self.room_id, &user).await;
                    joined.expect("a public room");
                } else {
                    self.join(at, &user, 0).await;
                }
                self.heal().await;
                people.push((at, user));
            }
        }
        people
    }

    /// One step of a random history: now and then a server is parted from the others or comes back, somebody does something,
    /// and some of what is under way arrives.
    pub async fn step(&mut self, people: &[(usize, OwnedUserId)]) {
        if self.pick(12) == 0 {
            self.parted = match self.parted {
                None => Some(self.pick(self.nodes.len())),
                Some(_) => None,
            };
        }
        self.act(people).await;
        self.collect().await;
        let parted = self.parted;
        for at in 0..self.nodes.len() {
            if self.pick(2) == 0 {
                let is_reachable = |from| parted.is_none_or(|alone| alone != at && alone != from);
                self.deliver_one(at, is_reachable).await;
            }
        }
    }

    /// One random action of a random person at their own server. Refusals are part of the history.
    async fn act(&self, people: &[(usize, OwnedUserId)]) {
        let (at, user) = &people[self.pick(people.len())];
        let (_, target) = &people[self.pick(people.len())];
        let room = &self.room_id;
        let server = &self.nodes[*at].rooms;
        match self.pick(10) {
            0..=2 => drop(self.say(*at, user, "hello").await),
            3 => drop(
                self.set(*at, user, "m.room.name", "", self.random.u64() % 100)
                    .await,
            ),
            4 => {
                let key = self.pick(3).to_string();
                let value = self.random.u64() % 9;
                self.set(*at, user, "org.example", &key, value).await;
            }
            5 => drop(server.change(room, user, target, Change::Ban).await),
            6 => drop(server.change(room, user, target, Change::Unban).await),
            7 => drop(server.change(room, user, user, Change::Leave).await),
            8 => drop(server.change(room, user, user, Change::Join).await),
            _ => {
                let mut users = serde_json::Map::new();
                for (_, user) in people {
                    if user.localpart() != "creator" && self.pick(2) == 0 {
                        users.insert(user.to_string(), json!([0, 50, 60][self.pick(3)]));
                    }
                }
                let levels = json!({ "users": users, "users_default": 50, "state_default": 50 });
                drop(
                    server
                        .set(room, user, "m.room.power_levels", "", levels)
                        .await,
                );
            }
        }
    }

    /// Joins a user of one server by another: what `make_join` and `send_join` do.
    pub async fn join(&mut self, at: usize, user: &UserId, via: usize) {
        let (join, state, chain) = self.join_event(at, user, via).await;
        let pdu = ReceivedPdu::new(join.event_id.clone(), join.json.clone()).expect("a PDU");
        let accepted = self.receive(via, vec![(pdu.clone(), Arrival::Live)]).await;
        assert_eq!(accepted, [Outcome::Accepted]);
        let writer = &self.nodes[at].rooms.writer;
        let begun = writer.begin_join(&self.room_id, &self.version).await;
        begun.expect("the join begins");
        let mut outliers = Vec::new();
        for event in chain {
            let pdu = ReceivedPdu::new(event.id.clone(), event.json().to_owned()).expect("a PDU");
            outliers.push((pdu, Arrival::Outlier));
        }
        self.receive(at, outliers).await;
        let arrival = Arrival::AfterGap { state };
        let placed = self.receive(at, vec![(pdu, arrival)]).await;
        assert_eq!(placed, [Outcome::Accepted]);
        self.collect().await;
    }

    /// The signed join, the ids of the state before it, and that state with its auth chain in the order of depth.
    async fn join_event(
        &self,
        at: usize,
        user: &UserId,
        via: usize,
    ) -> (
        protocol::event::SignedPdu,
        Vec<OwnedEventId>,
        Vec<Arc<Event>>,
    ) {
        let rules = room_version::rules(&self.version).expect("a supported version");
        let resident = &self.nodes[via].rooms;
        let db = resident.rooms.snapshot().await.expect("a snapshot");
        let room = resident
            .rooms
            .require(&db, &self.room_id)
            .await
            .expect("a room");
        let head = resident.rooms.head(&db, room).await.expect("a head");
        let state = resident.history.state_events(&db, room, head.state).await;
        let state = state.expect("a state");
        let mut draft = Draft {
            rules,
            room_id: Some(self.room_id.clone()),
            sender: user.to_owned(),
            kind: TimelineEventType::RoomMember,
            state_key: Some(user.to_string()),
            content: Content::parse(r#"{"membership":"join"}"#).expect("JSON"),
            auth_events: Vec::new(),
            prev_events: head
                .extremities
                .iter()
                .map(|end| EventId::parse(&end.event_id).expect("an id"))
                .collect(),
            depth: Depth::after(head.extremities.iter().map(|end| Depth(end.depth))),
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(
                resident.clock.now().0,
            )),
            redacts: None,
            old_format: None,
        };
        for (kind, key) in authorize::auth_types(rules, &draft).expect("auth types") {
            let found = state.iter().find(|event| {
                *event.kind == kind.to_string() && event.state_key.as_deref() == Some(&*key)
            });
            draft
                .auth_events
                .extend(found.map(|event| event.id.clone()));
        }
        let signed = draft
            .sign(&*self.nodes[at].keys.current())
            .expect("a signed join");
        let ids = state.iter().map(|event| event.id.clone()).collect();
        let mut chain: BTreeMap<(u64, OwnedEventId), Arc<Event>> = BTreeMap::new();
        let mut ahead = state;
        while let Some(event) = ahead.pop() {
            let key = (event.depth, event.id.clone());
            if chain.contains_key(&key) {
                continue;
            }
            let parsed = AuthEvent::parse(event.id.clone(), event.json()).expect("an event");
            for id in parsed.auth_events() {
                let auth = resident.rooms.event_by_id(&db, room, id).await;
                ahead.push(auth.expect("a read").expect("an auth event"));
            }
            chain.insert(key, event);
        }
        (signed, ids, chain.into_values().collect())
    }

    async fn receive(&self, at: usize, events: Vec<(ReceivedPdu, Arrival)>) -> Vec<Outcome> {
        let received = self.nodes[at].rooms.writer.receive(&self.room_id, events);
        let outcomes = received.await.expect("the room is known");
        outcomes
            .into_iter()
            .map(|outcome| outcome.expect("a healthy store"))
            .collect()
    }

    /// Finds the events that each server's users have sent since, and puts them into the others' inboxes.
    pub async fn collect(&mut self) {
        for at in 0..self.nodes.len() {
            let new = self.new_events(at).await;
            for other in (0..self.nodes.len()).filter(|other| *other != at) {
                let inbox = &mut self.nodes[other].inbox;
                inbox.extend(new.iter().map(|id| (at, id.clone())));
            }
            self.nodes[at].sent.extend(new);
        }
    }

    async fn new_events(&mut self, at: usize) -> Vec<OwnedEventId> {
        let node = &self.nodes[at];
        let rooms = &node.rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let Some(room) = rooms.number(&db, &self.room_id).await.expect("a read") else {
            return Vec::new();
        };
        let log = db
            .page(ROOM_LOG.under(room), usize::MAX)
            .await
            .expect("rows");
        let mut new = Vec::new();
        for (_, entry) in &log[self.cursor[at]..] {
            let Some(number) = entry.event else { continue };
            let event = rooms
                .named_event(&db, room, number)
                .await
                .expect("an event");
            if event.sender.server_name() == rooms.server_name() {
                new.push(event.id.clone());
            }
        }
        self.cursor[at] = log.len();
        new
    }

    /// Delivers one event of an inbox, chosen by chance, to a server that may reach its sender. Sometimes it stays there, to
    /// come twice.
    pub async fn deliver_one(&mut self, at: usize, is_reachable: impl Fn(usize) -> bool) {
        let candidates: Vec<usize> = (0..self.nodes[at].inbox.len())
            .filter(|index| is_reachable(self.nodes[at].inbox[*index].0))
            .collect();
        if candidates.is_empty() {
            return;
        }
        let index = candidates[self.pick(candidates.len())];
        let (from, id) = self.nodes[at].inbox[index].clone();
        if self.pick(8) != 0 {
            self.nodes[at].inbox.remove(index);
        }
        self.deliver(at, from, &id).await;
    }

    /// Delivers everything that is under way, until nothing is.
    pub async fn heal(&mut self) {
        loop {
            self.collect().await;
            let mut is_done = true;
            for at in 0..self.nodes.len() {
                for (from, id) in std::mem::take(&mut self.nodes[at].inbox) {
                    is_done = false;
                    self.deliver(at, from, &id).await;
                }
            }
            if is_done {
                return;
            }
        }
    }

    /// Delivers an event with whatever the receiver lacks before it.
    async fn deliver(&self, at: usize, from: usize, id: &EventId) {
        if self.nodes[at].rooms.rooms.snapshot().await.is_err() || !self.is_in(at).await {
            return;
        }
        let mut chain: BTreeMap<(u64, OwnedEventId), Arc<Event>> = BTreeMap::new();
        let mut ahead = vec![id.to_owned()];
        while let Some(id) = ahead.pop() {
            if self.holds_placed(at, &id).await || chain.len() > MOST_WALKED {
                continue;
            }
            let Some(event) = self.event(from, &id).await else {
                continue;
            };
            if chain.insert((event.depth, id), event.clone()).is_none() {
                let previous = event.parts().previous_events(event.json());
                ahead.extend(previous.unwrap_or_default());
            }
        }
        for event in chain.into_values() {
            self.deliver_placed(at, from, &event).await;
        }
    }

    async fn deliver_placed(&self, at: usize, from: usize, event: &Arc<Event>) {
        let pdu = ReceivedPdu::new(event.id.clone(), event.json().to_owned()).expect("a PDU");
        for _ in 0..MOST_TRIES {
            let outcome = self.receive(at, vec![(pdu.clone(), Arrival::Live)]).await;
            match &outcome[..] {
                [Outcome::Unchecked(missing)] => {
                    let mut is_found = false;
                    for id in missing {
                        if let Some(auth) = self.event(from, id).await {
                            is_found = true;
                            Box::pin(self.deliver_outlier(at, from, auth)).await;
                        }
                    }
                    if !is_found {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    async fn deliver_outlier(&self, at: usize, from: usize, event: Arc<Event>) {
        let parsed = AuthEvent::parse(event.id.clone(), event.json()).expect("an event");
        for id in parsed.auth_events() {
            let held = self.event(at, id).await;
            let is_decided = held.is_some_and(|held| held.verdict != Verdict::Unchecked);
            if !is_decided && let Some(auth) = self.event(from, id).await {
                Box::pin(self.deliver_outlier(at, from, auth)).await;
            }
        }
        let pdu = ReceivedPdu::new(event.id.clone(), event.json().to_owned()).expect("a PDU");
        self.receive(at, vec![(pdu, Arrival::Outlier)]).await;
    }

    /// Whether a server takes part in the room.
    pub async fn is_in(&self, at: usize) -> bool {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        rooms
            .number(&db, &self.room_id)
            .await
            .expect("a read")
            .is_some()
    }

    async fn holds_placed(&self, at: usize, id: &EventId) -> bool {
        let event = self.event(at, id).await;
        event.is_some_and(|event| event.place != Place::Outlier)
    }

    /// An event as one server holds it.
    pub async fn event(&self, at: usize, id: &EventId) -> Option<Arc<Event>> {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let room = rooms.number(&db, &self.room_id).await.expect("a read")?;
        rooms.event_by_id(&db, room, id).await.expect("a read")
    }

    /// The current state of a server: type and state key to event id.
    pub async fn state(&self, at: usize) -> BTreeMap<(String, String), OwnedEventId> {
        let node = &self.nodes[at].rooms;
        let db = node.rooms.snapshot().await.expect("a snapshot");
        let room = node
            .rooms
            .require(&db, &self.room_id)
            .await
            .expect("a room");
        let root = node.rooms.head(&db, room).await.expect("a head").state;
        let events = node
            .history
            .state_events(&db, room, root)
            .await
            .expect("a state");
        let pairs = events.into_iter().map(|event| {
            let key = event.state_key.as_deref().unwrap_or_default().to_owned();
            ((event.kind.to_string(), key), event.id.clone())
        });
        pairs.collect()
    }

    /// The verdict of every placed event of a server, by event id.
    pub async fn verdicts(&self, at: usize) -> BTreeMap<OwnedEventId, Verdict> {
        let node = &self.nodes[at].rooms;
        let db = node.rooms.snapshot().await.expect("a snapshot");
        let room = node
            .rooms
            .require(&db, &self.room_id)
            .await
            .expect("a room");
        let rows = db.page(EVENTS.under(room), usize::MAX).await.expect("rows");
        let placed = rows
            .into_iter()
            .filter(|(_, row)| row.value.place != Place::Outlier);
        let by_id = placed.map(|(_, row)| {
            let id = OwnedEventId::try_from(row.value.event_id).expect("an id");
            (id, row.value.verdict)
        });
        by_id.collect()
    }

    /// The extremities of a server, by event id.
    pub async fn extremities(&self, at: usize) -> BTreeSet<String> {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let room = rooms.require(&db, &self.room_id).await.expect("a room");
        let head = rooms.head(&db, room).await.expect("a head");
        head.extremities
            .into_iter()
            .map(|end| end.event_id)
            .collect()
    }

    /// How many event ids a server holds.
    pub async fn count(&self, at: usize) -> usize {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let room = rooms.require(&db, &self.room_id).await.expect("a room");
        let rows = db.page(EVENT_NUMBERS.under(room), usize::MAX).await;
        rows.expect("rows").len()
    }

    /// The members of the current state, by user id, as their events say.
    pub async fn members(&self, at: usize) -> HashMap<String, String> {
        let mut members = HashMap::new();
        for ((kind, key), id) in self.state(at).await {
            if kind != "m.room.member" {
                continue;
            }
            let event = self.event(at, &id).await.expect("an event");
            let content: Value = serde_json::from_str(event.content()).expect("JSON");
            let word = content["membership"].as_str().unwrap_or_default();
            members.insert(key, word.to_owned());
        }
        members
    }

    /// A message of a user, for tests that need one more event.
    pub async fn say(&self, at: usize, user: &OwnedUserId, text: &str) -> bool {
        let said = self.nodes[at].rooms.say(&self.room_id, user, text).await;
        said.is_ok()
    }

    /// A piece of state set by a user.
    pub async fn set(
        &self,
        at: usize,
        user: &OwnedUserId,
        kind: &str,
        key: &str,
        value: u64,
    ) -> bool {
        let content = json!({ "value": value });
        let set = self.nodes[at]
            .rooms
            .set(&self.room_id, user, kind, key, content);
        set.await.is_ok()
    }
}

impl Node {
    async fn new(seed: u64, at: usize, version: &RoomVersionId) -> Self {
        let settings = Settings {
            seed: seed.wrapping_mul(31).wrapping_add(at as u64),
            default_version: version.clone(),
            ..Settings::named(&format!("server{at}.example"))
        };
        let rooms = TestRooms::open(Store::memory(), &settings).await;
        let random = &*rooms.random;
        let keys = Keys::open(&rooms.store, random, &*rooms.clock, settings.server_name);
        Self {
            keys: keys.await.expect("keys"),
            rooms,
            sent: Vec::new(),
            inbox: Vec::new(),
        }
    }
}
