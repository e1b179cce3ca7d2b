//! Several servers that share one room without any network: each has the real writer on the memory engine, and a transport
//! that the test drives carries their events, late, twice, out of order, or not at all while they are parted.

mod act;
mod carry;
mod fill;
mod forge;
mod join;
mod read;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use database::{Random as _, SeededRandom, Store};
use federation::Keys;
use rooms_writer::{Defect, Preset};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId};
use serde_json::json;

use crate::fixture::{Settings, TestRooms, asked};

/// One server of the net and what it knows of its deliveries.
pub struct Node {
    pub rooms: TestRooms,
    pub(crate) keys: Keys,
    /// Events to be delivered here.
    inbox: Vec<Letter>,
}

/// An event on its way.
#[derive(Clone)]
struct Letter {
    /// The index of the server that has it.
    from: usize,
    id: OwnedEventId,
    way: Way,
}

/// How an event reaches a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Sent, with what the receiver lacks before it.
    Sent,
    /// Sent, where nothing before it can be had now: it opens a gap.
    AcrossGap,
    /// Fetched as part of an auth chain.
    Outlier,
}

/// Servers that share a room.
pub struct Net {
    pub nodes: Vec<Node>,
    pub room_id: OwnedRoomId,
    pub version: RoomVersionId,
    pub ways: Ways,
    random: SeededRandom,
    /// Entries of each server's log that were looked at.
    cursor: Vec<usize>,
    /// Events that were collected, in the order of collection.
    known: Vec<OwnedEventId>,
    /// The side of each server, while the net is parted.
    sides: Option<Vec<bool>>,
    /// Events that no server has built.
    forged: BTreeMap<OwnedEventId, String>,
    /// Verdicts that the current state at the time contradicts.
    wrong: Mutex<Vec<String>>,
}

/// What may happen in a history besides what people do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ways {
    /// Users of some server send events that no honest server would build.
    pub is_hostile: bool,
    /// Servers take events without those before them.
    pub has_gaps: bool,
    /// The net stays parted until it is healed.
    pub is_deep: bool,
}

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
            ways: Ways::default(),
            known: Vec::new(),
            sides: None,
            forged: BTreeMap::new(),
            wrong: Mutex::default(),
            random: SeededRandom::new(seed ^ 0x5eed),
            nodes,
            version,
        };
        net.collect().await;
        net.drop_letters();
        net
    }

    /// Plants a defect in every server but the first.
    pub fn plant(&self, defect: Defect) {
        for node in &self.nodes[1..] {
            node.rooms.writer.plant(defect);
        }
    }

    /// A number below `below`.
    pub fn pick(&self, below: usize) -> usize {
        usize::try_from(self.random.u64() % below as u64).expect("small")
    }

    /// What was sent before anybody else joined reaches them by their join.
    fn drop_letters(&mut self) {
        for node in &mut self.nodes {
            node.inbox.clear();
        }
    }

    /// Two people on each server beside the creator, all of them in the room, where everybody may do much. Each comes with the
    /// index of their server.
    pub async fn populate(&mut self) -> Vec<(usize, OwnedUserId)> {
        let creator = OwnedUserId::try_from("@creator:server0.example").expect("an id");
        let open = json!({
            "users_default": 50, "ban": 50, "state_default": 50, "redact": 60,
        });
        let first = &self.nodes[0].rooms;
        let opened = first.set(&self.room_id, &creator, "m.room.power_levels", "", open);
        opened.await.expect("the creator's room");
        self.collect().await;
        self.drop_letters();
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

    /// Parts the servers into two sides that do not reach each other.
    pub fn part(&mut self) {
        let count = self.nodes.len();
        let mut sides: Vec<bool> = (0..count).map(|_| self.pick(2) == 0).collect();
        sides[0] = true;
        let alone = 1 + self.pick(count - 1);
        sides[alone] = false;
        self.sides = Some(sides);
    }

    /// One step of a random history: now and then the servers are parted or come together, somebody does something, and some of
    /// what is under way arrives.
    pub async fn step(&mut self, people: &[(usize, OwnedUserId)]) {
        if !self.ways.is_deep && self.pick(12) == 0 {
            match self.sides {
                None => self.part(),
                Some(_) => self.sides = None,
            }
        }
        if self.ways.is_hostile && self.pick(6) == 0 {
            self.forge(people).await;
        } else {
            self.act(people).await;
        }
        self.collect().await;
        for at in 0..self.nodes.len() {
            if self.pick(2) == 0 {
                self.deliver_one(at).await;
            }
        }
    }

    /// Whether what one server sends reaches another one now.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let sides = self.sides.as_ref();
        sides.is_none_or(|sides| sides[from] == sides[to])
    }

    /// Notes what is wrong with a verdict.
    fn complain(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.push(what);
    }

    /// What was wrong with the verdicts so far: events that the current state at their arrival forbade and that were
    /// accepted, and the reverse.
    pub fn wrong(&self) -> Vec<String> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.clone()
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
            inbox: Vec::new(),
        }
    }
}
