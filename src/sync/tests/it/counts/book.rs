//! A room's log as the test keeps it, and what of it a person has not read.

use std::collections::BTreeMap;

use database::Stamp;
use protocol::push::BodyMentions;
use ruma::OwnedEventId;
use serde_json::Value;

use super::rules::{Model, Someone, View};

/// One event, with what was known when it came.
pub(super) struct Entry {
    pub(super) id: OwnedEventId,
    stamp: Stamp,
    json: Value,
    /// Joined members before it.
    members: usize,
}

/// A room.
pub(super) struct Book {
    creator: &'static str,
    pub(super) entries: Vec<Entry>,
    /// Who has joined, and where.
    joined: BTreeMap<String, usize>,
    /// How far each thread is read, by person; the thread is empty for the whole room.
    read: BTreeMap<(&'static str, String), usize>,
    redacted: Vec<OwnedEventId>,
}

impl Book {
    pub(super) fn new(creator: &'static str) -> Self {
        Self {
            creator,
            entries: Vec::new(),
            joined: BTreeMap::new(),
            read: BTreeMap::new(),
            redacted: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, id: OwnedEventId, stamp: Stamp, json: Value) {
        let members = self.joined.len();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if json["type"] == "m.room.member" {
            let who = text(&json["state_key"]).expect("a member");
            if json["content"]["membership"] == "join" {
                self.joined.entry(who).or_insert(self.entries.len());
            } else {
                self.joined.remove(&who);
            }
        }
        if json["type"] == "m.room.redaction" {
            let target = text(&json["content"]["redacts"]).or(text(&json["redacts"]));
            let target = target.expect("a target").try_into().expect("an id");
            self.redacted.push(target);
        }
        self.entries.push(Entry {
            id,
            stamp,
            json,
            members,
        });
    }

    pub(super) fn read(&mut self, who: &'static str, thread: String, event: &OwnedEventId) {
        let at = self.entries.iter().position(|entry| entry.id == *event);
        let read = self.read.entry((who, thread)).or_default();
        *read = (*read).max(at.expect("is there"));
    }

    /// The root of the thread that an event is in.
    pub(super) fn thread(
        event: &OwnedEventId,
        contents: &BTreeMap<OwnedEventId, Value>,
    ) -> Option<String> {
        let mut id = event.clone();
        for _ in 0..4 {
            let relation = &contents.get(&id)?["m.relates_to"];
            let parent = relation["event_id"].as_str()?;
            if relation["rel_type"] == "m.thread" {
                return Some(parent.to_owned());
            }
            id = parent.try_into().ok()?;
        }
        None
    }

    /// Notifications and highlights by thread, where there are any; `None` for who is not in the room.
    pub(super) fn unread(
        &self,
        who: Someone,
        room: &str,
        rules: &[(Stamp, Model)],
        contents: &BTreeMap<OwnedEventId, Value>,
        body_mentions: BodyMentions,
    ) -> Option<BTreeMap<String, (u64, u64)>> {
        let user_id = format!("@{}:localhost", who.name);
        let joined = *self.joined.get(&user_id)?;
        let mut unread: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (at, entry) in self.entries.iter().enumerate().skip(joined + 1) {
            let thread = Self::thread(&entry.id, contents);
            let thread = thread.unwrap_or_else(|| "main".to_owned());
            let is_read = [String::new(), thread.clone()].into_iter().any(|of| {
                self.read
                    .get(&(who.name, of))
                    .is_some_and(|read| at <= *read)
            });
            let is_own = entry.json["sender"] == user_id.as_str();
            if is_read || is_own || self.redacted.contains(&entry.id) {
                continue;
            }
            let held = rules.iter().rev().find(|(since, _)| entry.stamp > *since);
            let view = View {
                json: &entry.json,
                room,
                user_id: &user_id,
                reader: who,
                members: entry.members,
                may_notify_room: entry.json["sender"] == format!("@{}:localhost", self.creator),
                body_mentions: body_mentions == BodyMentions::Notify,
            };
            let (notify, highlight) = held.expect("rules").1.verdict(&view);
            if notify {
                let counts = unread.entry(thread).or_default();
                counts.0 += 1;
                counts.1 += u64::from(highlight);
            }
        }
        Some(unread)
    }
}
