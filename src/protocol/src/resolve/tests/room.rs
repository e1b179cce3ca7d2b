//! A room whose events are made up one by one.

use std::collections::{HashMap, HashSet};

use ruma::{
    EventId, OwnedEventId, RoomVersionId, UserId, room_version_rules::RoomVersionRules,
    state_res::Event as _,
};
use serde_json::{Value, json};

use super::super::{ResolveError, StatePair, StateSet, resolve};
use crate::{
    authorize::{AuthEvent, auth_types},
    room_version::rules,
};

pub(super) fn pair(kind: &str, key: &str) -> StatePair {
    (kind.into(), key.to_owned())
}

pub(super) struct Room {
    pub(super) rules: &'static RoomVersionRules,
    version: String,
    events: HashMap<OwnedEventId, (AuthEvent, Value)>,
    /// The auth events of what is added.
    pub(super) state: StateSet,
    last: Option<OwnedEventId>,
}

impl Room {
    pub(super) fn new(version: &RoomVersionId) -> Self {
        Self {
            rules: rules(version).expect("a supported version"),
            version: version.to_string(),
            events: HashMap::new(),
            state: StateSet::new(),
            last: None,
        }
    }

    pub(super) fn id(&self, name: &str) -> OwnedEventId {
        let server = match self.rules.event_format.require_event_id {
            true => ":x",
            false => "",
        };
        OwnedEventId::try_from(format!("${name}{server}")).expect("an event id")
    }

    pub(super) fn event(&self, id: &EventId) -> Option<AuthEvent> {
        self.events.get(id).map(|(event, _)| event.clone())
    }

    fn has_create_in_auth_events(&self) -> bool {
        !self.rules.authorization.room_create_event_id_as_room_id
    }

    /// Alice's public room with Bob as a moderator and Carol; the state with which all tests begin.
    pub(super) fn public_chat(&mut self) -> StateSet {
        let join = json!({ "membership": "join" });
        let levels = |bob: i32| match self.has_create_in_auth_events() {
            true => json!({ "users": { "@alice:x": 100, "@bob:x": bob } }),
            false => json!({ "users": { "@bob:x": bob } }),
        };
        let (first, second) = (levels(0), levels(50));
        let create = json!({ "creator": "@alice:x", "room_version": self.version });
        let rule = json!({ "join_rule": "public" });
        for (name, kind, key, sender, content) in [
            ("create", "m.room.create", "", "@alice:x", &create),
            ("alice", "m.room.member", "@alice:x", "@alice:x", &join),
            ("p0", "m.room.power_levels", "", "@alice:x", &first),
            ("rules", "m.room.join_rules", "", "@alice:x", &rule),
            ("bob", "m.room.member", "@bob:x", "@bob:x", &join),
            ("carol", "m.room.member", "@carol:x", "@carol:x", &join),
            ("p1", "m.room.power_levels", "", "@alice:x", &second),
        ] {
            let ts = i64::try_from(self.events.len()).expect("a few");
            self.add(name, kind, key, sender, ts, content);
            self.state.insert(pair(kind, key), self.id(name));
        }
        self.state.clone()
    }

    /// Adds an event whose auth events are those of `state`, without checking it.
    pub(super) fn add(
        &mut self,
        name: &str,
        kind: &str,
        key: &str,
        sender: &str,
        ts: i64,
        content: &Value,
    ) -> &mut Self {
        let mut json = json!({
            "auth_events": [], "content": content, "depth": self.events.len() + 1, "origin_server_ts": ts,
            "prev_events": self.last.iter().collect::<Vec<_>>(), "sender": sender, "state_key": key, "type": kind,
        });
        if self.has_create_in_auth_events() {
            json["room_id"] = json!("!room:x");
        } else if kind != "m.room.create" {
            json["room_id"] = json!("!create");
        }
        let id = self.id(name);
        let event = AuthEvent::parse(id.clone(), &json.to_string()).expect("an event");
        let types = auth_types(self.rules, &event).unwrap_or_default();
        let auth_events: Vec<_> = types
            .iter()
            .filter_map(|pair| self.state.get(pair))
            .collect();
        json["auth_events"] = json!(auth_events);
        self.put(id, json);
        self
    }

    pub(super) fn add_message(&mut self, name: &str, sender: &str) {
        self.add(name, "m.room.message", "", sender, 1, &json!({}));
        self.change(|json| {
            json.as_object_mut().expect("an object").remove("state_key");
        });
    }

    /// Gives the last event another depth.
    pub(super) fn depth(&mut self, depth: u64) {
        self.change(|json| json["depth"] = json!(depth));
    }

    /// Gives the last event other auth events.
    pub(super) fn auth(&mut self, names: &[&str]) {
        let ids: Vec<_> = names.iter().map(|name| self.id(name)).collect();
        self.change(|json| json["auth_events"] = json!(ids));
    }

    fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let id = self.last.clone().expect("an event was added");
        let mut json = self.events[&id].1.clone();
        change(&mut json);
        self.put(id, json);
    }

    fn put(&mut self, id: OwnedEventId, json: Value) {
        let event = AuthEvent::parse(id.clone(), &json.to_string()).expect("an event");
        self.events.insert(id.clone(), (event, json));
        self.last = Some(id);
    }

    /// The auth chain of each state.
    pub(super) fn chains(&self, sets: &[StateSet]) -> Vec<HashSet<OwnedEventId>> {
        let chain_of = |set: &StateSet| {
            let mut chain = HashSet::new();
            let mut open: Vec<OwnedEventId> = set.values().cloned().collect();
            while let Some(id) = open.pop() {
                let event = self.event(&id);
                for id in event.iter().flat_map(|event| event.auth_events()) {
                    if chain.insert(id.clone()) {
                        open.push(id.clone());
                    }
                }
            }
            chain
        };
        sets.iter().map(chain_of).collect()
    }

    pub(super) fn resolve(&self, sets: &[StateSet]) -> Result<StateSet, ResolveError> {
        resolve(self.rules, sets, self.chains(sets), |id| self.event(id))
    }

    pub(super) fn is_joined(&self, state: &StateSet, user: &UserId) -> bool {
        state
            .get(&pair("m.room.member", user.as_str()))
            .and_then(|id| self.event(id))
            .is_some_and(|event| event.content().contains(r#""membership":"join""#))
    }
}
