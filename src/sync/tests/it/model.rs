//! Random histories: a client that applies what it was told ends with what the server holds. No event is lost, none comes
//! twice, none that its user may not see. The seed of a failing history is printed.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use database::{Random, Read, SeededRandom};
use rooms_history::Markers;
use rooms_store::tables::{MEMBER_HISTORY, Membership, ROOM_LOG};
use rooms_writer::{Change, Preset};
use ruma::{OwnedEventId, OwnedRoomId};
use serde_json::{Value, json};
use sync::StateAfter;

use crate::world::{Ask, Person, World, events, next_batch};

const HISTORIES: u64 = 300;
const STEPS: usize = 120;

type StateKey = (String, String);

/// What a client knows of a room.
#[derive(Debug, Default)]
struct KnownRoom {
    section: &'static str,
    state: BTreeMap<StateKey, String>,
    /// Since the last gap.
    timeline: Vec<String>,
    unread: u64,
}

struct Client {
    person: Person,
    since: Option<String>,
    state_after: StateAfter,
    limit: u64,
    rooms: BTreeMap<OwnedRoomId, KnownRoom>,
    /// Everything that was told in a timeline.
    told: BTreeMap<OwnedRoomId, HashSet<String>>,
}

impl Client {
    async fn sync(&mut self) {
        let filter = json!({ "room": { "timeline": { "limit": self.limit } } });
        let ask = Ask {
            since: self.since.clone(),
            state_after: self.state_after,
            ..Ask::default().filter(filter)
        };
        let answer = self.person.sync(&ask).await;
        self.since = Some(next_batch(&answer));
        for section in ["join", "leave", "invite", "knock"] {
            let Some(rooms) = answer["rooms"][section].as_object() else {
                continue;
            };
            for (room, told) in rooms {
                let room: OwnedRoomId = room.as_str().try_into().expect("a room id");
                self.apply(room, section, told);
            }
        }
    }

    fn apply(&mut self, room_id: OwnedRoomId, section: &'static str, told: &Value) {
        let room = self.rooms.entry(room_id.clone()).or_default();
        if section == "join" && room.section != "join" {
            *room = KnownRoom::default();
        }
        room.section = section;
        let (state, timeline) = match self.state_after {
            StateAfter::No => (events(&told["state"]), events(&told["timeline"])),
            _ => (events(&told["state_after"]), Vec::new()),
        };
        for event in state.iter().chain(&timeline) {
            let Some(state_key) = event["state_key"].as_str() else {
                continue;
            };
            let kind = event["type"].as_str().expect("a type").to_owned();
            let id = event["event_id"].as_str().expect("an id").to_owned();
            room.state.insert((kind, state_key.to_owned()), id);
        }
        if told["timeline"]["limited"] == true {
            room.timeline.clear();
        }
        let seen = self.told.entry(room_id).or_default();
        for event in events(&told["timeline"]) {
            let id = event["event_id"].as_str().expect("an id").to_owned();
            // After a gap, or with a room that is new again, older events may come again.
            assert!(!room.timeline.contains(&id), "{id} was told twice");
            seen.insert(id.clone());
            room.timeline.push(id);
        }
        let unread = &told["unread_notifications"]["notification_count"];
        room.unread = unread.as_u64().unwrap_or_default();
    }
}

struct History {
    world: Arc<World>,
    random: SeededRandom,
    people: Vec<Person>,
    rooms: Vec<OwnedRoomId>,
    clients: Vec<Client>,
    sent: BTreeMap<OwnedRoomId, Vec<OwnedEventId>>,
}

impl History {
    async fn new(seed: u64) -> Self {
        let world = World::seeded(seed).await;
        let people = world.people(["alice", "bob", "carol"]).await.to_vec();
        let mut rooms = Vec::new();
        for person in &people[..2] {
            rooms.push(person.create_room(Preset::PublicChat).await);
        }
        let mut clients = Vec::new();
        for person in &people {
            for (limit, state_after) in [(3, StateAfter::No), (50, StateAfter::Stable)] {
                clients.push(Client {
                    person: person.clone(),
                    since: None,
                    state_after,
                    limit,
                    rooms: BTreeMap::new(),
                    told: BTreeMap::new(),
                });
            }
        }
        let random = SeededRandom::new(seed);
        Self {
            world,
            random,
            people,
            rooms,
            clients,
            sent: BTreeMap::new(),
        }
    }

    fn pick(&self, below: usize) -> usize {
        usize::try_from(self.random.u64() % below as u64).expect("small")
    }

    async fn step(&mut self) {
        let actor = self.people[self.pick(self.people.len())].clone();
        let target = self.people[self.pick(self.people.len())].clone();
        let room = self.rooms[self.pick(self.rooms.len())].clone();
        let own = |change| actor.change(&room, &actor, change);
        let other = |change| actor.change(&room, &target, change);
        // What is refused changes nothing: that is part of the history.
        let _ = match self.pick(20) {
            0..=5 => self.message(&actor, &room).await,
            6 => {
                let topic = json!({ "topic": self.random.u64().to_string() });
                actor
                    .set_state(&room, "m.room.topic", topic)
                    .await
                    .map(drop)
            }
            7 => {
                let word = ["joined", "invited", "shared", "world_readable"][self.pick(4)];
                let content = json!({ "history_visibility": word });
                actor
                    .set_state(&room, "m.room.history_visibility", content)
                    .await
                    .map(drop)
            }
            8 | 9 => own(Change::Join).await,
            10 => own(Change::Leave).await,
            11 => other(Change::Invite).await,
            12 => other(Change::Kick).await,
            13 => other(Change::Ban).await,
            14 => other(Change::Unban).await,
            15 => self.redact(&actor, &room).await,
            16 => self.read(&actor, &room).await,
            _ => {
                let client = self.pick(self.clients.len());
                self.clients[client].sync().await;
                Ok(())
            }
        };
    }

    async fn message(
        &mut self,
        actor: &Person,
        room: &OwnedRoomId,
    ) -> Result<(), rooms_store::RoomError> {
        let content = json!({ "msgtype": "m.text", "body": self.random.u64().to_string() });
        let sent = actor.try_send(room, content).await?;
        self.sent.entry(room.clone()).or_default().push(sent);
        Ok(())
    }

    fn some_event(&self, room: &OwnedRoomId) -> Option<OwnedEventId> {
        let sent = self.sent.get(room)?;
        sent.get(self.pick(sent.len())).cloned()
    }

    async fn redact(
        &self,
        actor: &Person,
        room: &OwnedRoomId,
    ) -> Result<(), rooms_store::RoomError> {
        let Some(event) = self.some_event(room) else {
            return Ok(());
        };
        actor.redact(room, event).await.map(drop)
    }

    async fn read(&self, actor: &Person, room: &OwnedRoomId) -> Result<(), rooms_store::RoomError> {
        let Some(event) = self.some_event(room) else {
            return Ok(());
        };
        let mut markers = Markers::default();
        match self.pick(2) {
            0 => markers.read = Some(event),
            _ => markers.read_private = Some(event),
        }
        actor.read(room, markers).await
    }

    async fn check(&mut self) {
        for client in &mut self.clients {
            client.sync().await;
        }
        for client in &self.clients {
            for room in &self.rooms {
                self.check_room(client, room).await;
            }
        }
    }

    async fn check_room(&self, client: &Client, room_id: &OwnedRoomId) {
        let rooms = &self.world.rooms;
        let db = rooms.snapshot().await.expect("reads");
        let room = rooms.require(&db, room_id).await.expect("is there");
        let user = client.person.number;
        let own = rooms.user_room(&db, user, room).await.expect("reads");
        let known = client.rooms.get(room_id);
        let Some(own) = own else {
            assert!(known.is_none_or(|known| known.section.is_empty()));
            return;
        };
        let mut events = Vec::new();
        for (_, event) in db
            .page(ROOM_LOG.under(room), usize::MAX)
            .await
            .expect("reads")
        {
            events.push(
                rooms
                    .named_event(&db, room, event.event.expect("no forks here"))
                    .await
                    .expect("reads"),
            );
        }
        let mut viewer = self
            .world
            .history
            .viewer(&db, room, user)
            .await
            .expect("reads");
        let visible = viewer.visible(rooms, &db, &events).await.expect("reads");
        let visible: Vec<_> = events
            .iter()
            .zip(visible)
            .filter(|(_, visible)| *visible)
            .map(|(e, _)| e)
            .collect();
        let own_member = own.event;
        for id in client.told.get(room_id).into_iter().flatten() {
            let may_know = visible.iter().any(|event| event.id.as_str() == id)
                || events.iter().any(|event| {
                    event.id.as_str() == id
                        && event.state_key.as_deref() == Some(client.person.user_id.as_str())
                });
            assert!(may_know, "{id} was told to who may not see it");
        }
        if own.membership != Membership::Join {
            let wanted = match own.membership {
                Membership::Invite => "invite",
                Membership::Knock => "knock",
                _ => "leave",
            };
            // Who was never told of the room before it ended need not be told in an initial sync.
            if let Some(known) = known {
                assert_eq!(known.section, wanted, "{own_member:?}");
            }
            return;
        }
        let known = known.expect("a joined room is known");
        assert_eq!(known.section, "join");
        let tail: Vec<&str> = visible.iter().map(|event| event.id.as_str()).collect();
        let told: Vec<&str> = known.timeline.iter().map(String::as_str).collect();
        assert!(
            tail.ends_with(&told),
            "the timeline is not the end of the room's: {told:?} {tail:?}"
        );
        assert_eq!(
            known.state,
            self.state(room_id, &client.person).await,
            "the state"
        );
        assert_eq!(
            known.unread,
            self.unread(&client.person, room_id).await,
            "the counts"
        );
    }

    async fn state(&self, room: &OwnedRoomId, person: &Person) -> BTreeMap<StateKey, String> {
        let state = self
            .world
            .history
            .state_for(room, person.number)
            .await
            .expect("is inside");
        let state: Vec<Value> = serde_json::from_slice(&state).expect("is JSON");
        let text = |event: &Value, key: &str| event[key].as_str().expect("a text").to_owned();
        let entry = |event: &Value| {
            (
                (text(event, "type"), text(event, "state_key")),
                text(event, "event_id"),
            )
        };
        state.iter().map(entry).collect()
    }

    /// Messages of others since the join and the receipts, without those that were redacted.
    async fn unread(&self, person: &Person, room_id: &OwnedRoomId) -> u64 {
        let rooms = &self.world.rooms;
        let db = rooms.snapshot().await.expect("reads");
        let room = rooms.require(&db, room_id).await.expect("is there");
        let history = MEMBER_HISTORY.under((room, person.number)).reversed();
        let last = db.first(history).await.expect("reads").expect("has joined");
        let mut read = last.0.2;
        for (_, key, receipt) in self
            .world
            .history
            .receipts_since(&db, room, database::Stamp(0))
            .await
            .expect("reads")
        {
            if key.user == person.number {
                let id = OwnedEventId::try_from(receipt.event_id).expect("an id");
                let event = rooms.event_by_id(&db, room, &id).await.expect("reads");
                read = read.max(event.expect("is there").position);
            }
        }
        let mut unread = 0;
        for ((_, at), event) in db
            .page(ROOM_LOG.under(room), usize::MAX)
            .await
            .expect("reads")
        {
            let event = rooms
                .named_event(&db, room, event.event.expect("no forks here"))
                .await
                .expect("reads");
            let counts = at > read
                && &*event.kind == "m.room.message"
                && event.sender != person.user_id
                && event.redacted_because.is_none();
            unread += u64::from(counts);
        }
        unread
    }
}

#[tokio::test]
async fn clients_end_with_what_the_server_holds() {
    for seed in 0..HISTORIES {
        println!("history {seed}");
        let mut history = History::new(seed).await;
        for step in 0..STEPS {
            history.step().await;
            if step % 40 == 39 {
                history.check().await;
            }
        }
        history.check().await;
    }
}
