//! What people do at their own servers.

use database::Random as _;
use rooms_writer::{Change, Redaction};
use ruma::OwnedUserId;
use serde_json::{Map, json};

use super::Net;

impl Net {
    /// One random action of a random person at their own server. Refusals are part of the history.
    pub(super) async fn act(&self, people: &[(usize, OwnedUserId)]) {
        let (at, user) = &people[self.pick(people.len())];
        let (_, target) = &people[self.pick(people.len())];
        let room = &self.room_id;
        let server = &self.nodes[*at].rooms;
        let change = |target, change| server.change(room, user, target, change);
        let action = match self.ways.is_deep && self.pick(4) != 0 {
            true => 4,
            false => self.pick(11),
        };
        match action {
            0..=2 => drop(self.say(*at, user, "hello").await),
            3 => {
                let value = self.random.u64() % 100;
                self.set(*at, user, "m.room.name", "", value).await;
            }
            4 => {
                let key = self.pick(3).to_string();
                let value = self.random.u64() % 900;
                self.set(*at, user, "org.example", &key, value).await;
            }
            5 => drop(change(target, Change::Ban).await),
            6 => drop(change(target, Change::Unban).await),
            7 => drop(change(user, Change::Leave).await),
            8 => drop(change(user, Change::Join).await),
            9 => self.redact(*at, user).await,
            _ => {
                let levels = self.levels(people);
                let set = server.set(room, user, "m.room.power_levels", "", levels);
                drop(set.await);
            }
        }
    }

    fn levels(&self, people: &[(usize, OwnedUserId)]) -> serde_json::Value {
        let mut users = Map::new();
        for (_, user) in people {
            if user.localpart() != "creator" && self.pick(2) == 0 {
                users.insert(user.to_string(), json!([0, 50, 60][self.pick(3)]));
            }
        }
        json!({ "users": users, "users_default": 50, "state_default": 50, "redact": 60 })
    }

    async fn redact(&self, at: usize, user: &OwnedUserId) {
        let Some(target) = self.redactable(at).await else {
            return;
        };
        let redaction = Redaction {
            sender: user.clone(),
            target,
            content: Map::new(),
            transaction: None,
        };
        let redacted = self.nodes[at].rooms.writer.redact(&self.room_id, redaction);
        drop(redacted.await);
    }

    /// A random event that a server holds, and that is not a redaction itself.
    pub(super) async fn redactable(&self, at: usize) -> Option<ruma::OwnedEventId> {
        let id = self.known.get(self.pick(self.known.len().max(1)))?;
        let event = self.event(at, id).await?;
        let is_plain = !matches!(&*event.kind, "m.room.redaction" | "m.room.create");
        is_plain.then(|| id.clone())
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
