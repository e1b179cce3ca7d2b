//! Whose keys are to be read anew, compared with a plain model over random histories: who shared a room with whom at a token and now,
//! and whose keys changed between. The seed of a failing history is printed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use database::{Random, SeededRandom};
use rooms_history::SyncToken;
use rooms_writer::{Change, Preset};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Value, json};
use users::{ProfileChange, Propagation};

use crate::world::{Ask, Person, World, next_batch};

const HISTORIES: u64 = 200;
const STEPS: usize = 150;
const ROOMS: usize = 3;
const DEVICES: [&str; 3] = ["DEVICE", "PHONE", "LAPTOP"];

type People = BTreeSet<OwnedUserId>;

/// What the server should know.
#[derive(Clone, Debug, Default)]
struct Model {
    joined: BTreeMap<OwnedRoomId, People>,
    /// Published keys by user and device.
    keys: BTreeMap<(OwnedUserId, &'static str), u8>,
    /// How often each user's keys changed.
    changes: BTreeMap<OwnedUserId, u64>,
}

impl Model {
    fn rooms_of(&self, user: &OwnedUserId) -> impl Iterator<Item = (&OwnedRoomId, &People)> {
        self.joined
            .iter()
            .filter(|(_, people)| people.contains(user))
    }

    fn shares_with(&self, user: &OwnedUserId) -> People {
        let mut all: People = self
            .rooms_of(user)
            .flat_map(|(_, people)| people.clone())
            .collect();
        all.remove(user);
        all
    }

    /// Those who are in a room with the user now and were not at `before`: one of the two came.
    fn came_to(&self, user: &OwnedUserId, before: &Self) -> People {
        let mut came = People::new();
        for (room, people) in self.rooms_of(user) {
            let were = before.joined.get(room).cloned().unwrap_or_default();
            let is_new = |other: &&OwnedUserId| {
                *other != user && !(were.contains(user) && were.contains(*other))
            };
            came.extend(people.iter().filter(is_new).cloned());
        }
        came
    }

    fn changed_keys(&self, before: &Self) -> People {
        let changes = self.changes.iter();
        let new = changes.filter(|(user, count)| before.changes.get(*user) != Some(*count));
        new.map(|(user, _)| user.clone()).collect()
    }

    /// `changed` and `left` for a user who knows what was at `before`.
    fn lists(&self, user: &OwnedUserId, before: &Self) -> (People, People) {
        let sharing = self.shares_with(user);
        let mut changed = self.changed_keys(before);
        changed.retain(|other| other == user || sharing.contains(other));
        changed.extend(self.came_to(user, before));
        let left = before.shares_with(user);
        (changed, left.difference(&sharing).cloned().collect())
    }
}

/// A token that somebody was given, and what was then.
struct Given {
    token: String,
    then: Model,
}

struct History {
    world: Arc<World>,
    random: SeededRandom,
    people: Vec<Person>,
    rooms: Vec<OwnedRoomId>,
    model: Model,
    given: BTreeMap<OwnedUserId, Vec<Given>>,
    /// Users told as changed, and as left.
    told: (usize, usize),
}

impl History {
    async fn new(seed: u64) -> Self {
        let world = World::seeded(seed).await;
        let people = world.people(["alice", "bob", "carol", "dave"]).await;
        let mut model = Model::default();
        let mut rooms = Vec::new();
        for number in 0..ROOMS {
            let creator = &people[number % people.len()];
            let room = creator.create_room(Preset::PublicChat).await;
            let inside = People::from([creator.user_id.clone()]);
            model.joined.insert(room.clone(), inside);
            rooms.push(room);
        }
        Self {
            world,
            random: SeededRandom::new(seed),
            people: people.to_vec(),
            rooms,
            model,
            given: BTreeMap::new(),
            told: (0, 0),
        }
    }

    fn pick(&self, below: usize) -> usize {
        usize::try_from(self.random.u64() % below as u64).expect("small")
    }

    async fn step(&mut self) {
        let actor = self.people[self.pick(self.people.len())].clone();
        let target = self.people[self.pick(self.people.len())].clone();
        let room = self.rooms[self.pick(self.rooms.len())].clone();
        match self.pick(24) {
            0..=5 => self.change(&actor, &actor, &room, Change::Join).await,
            6..=7 => self.change(&actor, &actor, &room, Change::Leave).await,
            8 => self.change(&actor, &target, &room, Change::Kick).await,
            9 => self.change(&actor, &target, &room, Change::Ban).await,
            10 => self.change(&actor, &target, &room, Change::Unban).await,
            11 => self.change(&actor, &target, &room, Change::Invite).await,
            12 => drop(self.world.writer.forget(&room, actor.number).await),
            13 => drop(actor.try_send(&room, json!({ "body": "a message" })).await),
            14 => self.rename(&actor).await,
            15..=16 => self.publish_keys(&actor).await,
            17 => self.end_device(&actor).await,
            18 => self.restart().await,
            _ => self.sync(&actor).await,
        }
    }

    /// What is refused changes nothing.
    async fn change(&mut self, by: &Person, whom: &Person, room: &OwnedRoomId, change: Change) {
        if by.change(room, whom, change).await.is_err() {
            return;
        }
        let people = self.model.joined.entry(room.clone()).or_default();
        match change {
            Change::Join => people.insert(whom.user_id.clone()),
            Change::Leave | Change::Kick | Change::Ban => people.remove(&whom.user_id),
            Change::Unban | Change::Invite | Change::Knock => false,
        };
    }

    /// Changes all member events, in the background.
    async fn rename(&self, person: &Person) {
        let name = Some(self.random.u64().to_string());
        let change = ProfileChange::DisplayName(name);
        let users = &self.world.users;
        let changed = users.change_profile(person.number, change, Propagation::AllRooms);
        changed.await.expect("may be changed");
    }

    async fn publish_keys(&mut self, person: &Person) {
        let device = DEVICES[self.pick(DEVICES.len())];
        let key = u8::try_from(self.pick(3)).expect("small");
        person.publish_keys(device, key).await;
        let name = (person.user_id.clone(), device);
        if self.model.keys.insert(name, key) != Some(key) {
            *self
                .model
                .changes
                .entry(person.user_id.clone())
                .or_default() += 1;
        }
    }

    async fn end_device(&mut self, person: &Person) {
        let device = DEVICES[1 + self.pick(DEVICES.len() - 1)];
        let ended = self
            .world
            .users
            .delete_devices(person.number, vec![device.to_owned()]);
        ended.await.expect("is stored");
        let name = (person.user_id.clone(), device);
        if self.model.keys.remove(&name).is_some() {
            *self
                .model
                .changes
                .entry(person.user_id.clone())
                .or_default() += 1;
        }
    }

    async fn restart(&mut self) {
        self.world = self.world.restarted(self.random.u64()).await;
        for person in &mut self.people {
            *person = person.at(&self.world);
        }
    }

    /// From one of the tokens that the person was given, whichever.
    async fn sync(&mut self, person: &Person) {
        let given = self.given.get(&person.user_id).map_or(0, Vec::len);
        if given == 0 {
            let token = person.token().await;
            return self.give(person, token);
        }
        let from = &self.given[&person.user_id][self.pick(given)];
        let (changed, left) = self.model.lists(&person.user_id, &from.then);
        let since: SyncToken = from.token.parse().expect("a token");

        let lists = self.world.sync.device_lists(person.number, since.stamp);
        let lists = lists.await.expect("the token is good");
        let answer = person.sync(&Ask::since(&from.token)).await;

        let both = (
            People::from_iter(lists.changed),
            People::from_iter(lists.left),
        );
        assert_eq!(both, (changed, left), "/keys/changes of {}", person.user_id);
        let told = &answer["device_lists"];
        let told = (people_in(&told["changed"]), people_in(&told["left"]));
        assert_eq!(told, both, "/sync of {}", person.user_id);
        self.told.0 += both.0.len();
        self.told.1 += both.1.len();
        self.give(person, next_batch(&answer));
    }

    fn give(&mut self, person: &Person, token: String) {
        let then = self.model.clone();
        let given = self.given.entry(person.user_id.clone()).or_default();
        given.push(Given { token, then });
    }
}

fn people_in(list: &Value) -> People {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|user| OwnedUserId::try_from(user.as_str().expect("a user id")).expect("a user id"))
        .collect()
}

#[tokio::test]
async fn changed_and_left_are_exact_from_every_token() {
    let mut told = (0, 0);
    for seed in 0..HISTORIES {
        println!("history {seed}");
        let mut history = History::new(seed).await;
        for _ in 0..STEPS {
            history.step().await;
        }
        told.0 += history.told.0;
        told.1 += history.told.1;
    }
    println!("{} times changed, {} times left", told.0, told.1);
    assert!(told.0.min(told.1) > 1_000, "the histories say something");
}
