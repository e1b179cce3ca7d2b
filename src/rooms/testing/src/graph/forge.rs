//! Events that no honest server would build: of users without the power, on old events, with auth events of their choice.

use database::{Clock as _, Random as _};
use protocol::{
    authorize,
    content::Content,
    event::{Depth, Draft},
    room_version,
};
use rooms_store::Place;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UInt, events::TimelineEventType,
};
use serde_json::{Value, json};

use super::{Letter, Net, Way};

/// The type, state key and content of an event, and what it redacts.
struct Wish {
    kind: &'static str,
    state_key: Option<String>,
    content: Value,
    redacts: Option<OwnedEventId>,
}

impl Net {
    /// A server fabricates an event of one of its users and sends it to everybody.
    pub(super) async fn forge(&mut self, people: &[(usize, OwnedUserId)]) {
        let (at, user) = people[self.pick(people.len())].clone();
        if !self.is_in(at).await {
            return;
        }
        let previous = match self.old_event(at).await {
            Some(id) => vec![id],
            None => return,
        };
        let wish = self.wish(at, &user, people).await;
        let Some(draft) = self.draft(at, &user, wish, previous).await else {
            return;
        };
        if self.pick(4) == 0 {
            self.forge_outliers(at, &user, &draft).await;
            return;
        }
        let Some(id) = self.signed(at, &draft) else {
            return;
        };
        self.send_to_all(at, &id, Way::Sent);
    }

    /// An event whose auth events include one that comes after it.
    async fn forge_outliers(&mut self, at: usize, user: &OwnedUserId, draft: &Draft) {
        let profile = Wish {
            kind: "m.room.member",
            state_key: Some(user.to_string()),
            content: json!({ "membership": "join", "displayname": self.random.token(4) }),
            redacts: None,
        };
        let drafted = self.draft(at, user, profile, draft.prev_events.clone());
        let Some(first) = drafted.await else { return };
        let Some(first) = self.signed(at, &first) else {
            return;
        };
        let mut second = draft.clone();
        second.kind = TimelineEventType::from("org.example");
        second.state_key = Some("forged".to_owned());
        second.redacts = None;
        second.auth_events = self.auth_for(at, &second).await;
        for id in &mut second.auth_events {
            let event = self.event(at, id).await;
            if event.is_some_and(|event| event.state_key.as_deref() == Some(user.as_str())) {
                id.clone_from(&first);
            }
        }
        let Some(second) = self.signed(at, &second) else {
            return;
        };
        for id in [second, first] {
            for to in (0..self.nodes.len()).filter(|to| *to != at) {
                let letter = Letter {
                    from: at,
                    id: id.clone(),
                    way: Way::Outlier,
                };
                self.deliver(to, &letter).await;
            }
        }
    }

    async fn wish(&self, at: usize, user: &OwnedUserId, people: &[(usize, OwnedUserId)]) -> Wish {
        let (_, target) = &people[self.pick(people.len())];
        let wish = |kind, state_key: Option<&str>, content| Wish {
            kind,
            state_key: state_key.map(str::to_owned),
            content,
            redacts: None,
        };
        match self.pick(7) {
            0 => wish("m.room.message", None, json!({ "body": "forged" })),
            1 => {
                let users = json!({ user.as_str(): 100 });
                let levels = json!({ "users": users, "users_default": 50 });
                wish("m.room.power_levels", Some(""), levels)
            }
            2 => {
                let content = json!({ "membership": "ban" });
                wish("m.room.member", Some(target.as_str()), content)
            }
            3 => {
                let content = json!({ "membership": "join" });
                wish("m.room.member", Some(user.as_str()), content)
            }
            4 | 5 => Wish {
                redacts: self.redactable(at).await,
                ..wish("m.room.redaction", None, json!({}))
            },
            _ => {
                let key = self.pick(3).to_string();
                wish("org.example", Some(&key), json!({ "value": "forged" }))
            }
        }
    }

    /// An event on these, with the auth events of the current state or worse ones.
    async fn draft(
        &self,
        at: usize,
        user: &OwnedUserId,
        wish: Wish,
        previous: Vec<OwnedEventId>,
    ) -> Option<Draft> {
        let mut depth = Depth(0);
        for id in &previous {
            let event = self.event(at, id).await?;
            depth = depth.max(Depth(event.depth));
        }
        let mut draft = Draft {
            rules: room_version::rules(&self.version).expect("a supported version"),
            room_id: Some(self.room_id.clone()),
            sender: user.clone(),
            kind: TimelineEventType::from(wish.kind),
            state_key: wish.state_key,
            content: Content::parse(&wish.content.to_string()).expect("JSON"),
            auth_events: Vec::new(),
            prev_events: previous,
            depth: match self.pick(8) {
                0 => Depth(1),
                1 => Depth(1 << 40),
                _ => Depth(depth.0 + 1),
            },
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(
                self.nodes[at].rooms.clock.now().0 + self.random.u64() % 100,
            )),
            redacts: wish.redacts,
            old_format: None,
        };
        draft.auth_events = self.auth_for(at, &draft).await;
        match self.pick(10) {
            // One that the type of event does not need.
            0 => draft.auth_events.extend(self.old_event(at).await),
            // One too few.
            1 => drop(draft.auth_events.pop()),
            // One of another room.
            2 => {
                let id = format!("${}", self.random.token(32));
                draft.auth_events.extend(EventId::parse(id).ok());
            }
            _ => {}
        }
        Some(draft)
    }

    /// The auth events that the current state of a server has for an event.
    pub(super) async fn auth_for(&self, at: usize, draft: &Draft) -> Vec<OwnedEventId> {
        let state = self.state(at).await;
        let types = authorize::auth_types(draft.rules, draft).unwrap_or_default();
        let found = types.into_iter().filter_map(|(kind, key)| {
            let id = state.get(&(kind.to_string(), key));
            id.cloned()
        });
        found.collect()
    }

    /// A random placed event of a server.
    async fn old_event(&self, at: usize) -> Option<OwnedEventId> {
        let id = self.known.get(self.pick(self.known.len().max(1)))?;
        let event = self.event(at, id).await?;
        let is_placed = matches!(event.place, Place::Placed(_));
        is_placed.then(|| id.clone())
    }

    /// Signs an event as its server, and keeps it for whoever asks.
    fn signed(&mut self, at: usize, draft: &Draft) -> Option<OwnedEventId> {
        let signed = draft.sign(&*self.nodes[at].keys.current()).ok()?;
        self.forged.insert(signed.event_id.clone(), signed.json);
        Some(signed.event_id)
    }

    fn send_to_all(&mut self, from: usize, id: &OwnedEventId, way: Way) {
        for node in &mut self.nodes {
            node.inbox.push(Letter {
                from,
                id: id.clone(),
                way,
            });
        }
    }
}
