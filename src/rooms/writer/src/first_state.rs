//! The state of a new room: what the creator's request, the preset and the room version make of it.

use std::collections::HashSet;

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};
use serde_json::{Map, Value, json};

use crate::create::{CreateRoom, Preset, Visibility};
use rooms_store::RoomError;

/// The state after the creator's join, in the order of the spec.
pub(crate) fn first_state(
    request: &CreateRoom,
    rules: &RoomVersionRules,
    alias: Option<&str>,
) -> Result<Vec<StateEvent>, RoomError> {
    let preset = request.preset.unwrap_or(match request.visibility {
        Visibility::Public => Preset::PublicChat,
        Visibility::Private => Preset::PrivateChat,
    });
    let mut state = StateList(Vec::new());
    state.add("m.room.power_levels", power_levels(request, rules, preset));
    if let Some(alias) = alias {
        state.add("m.room.canonical_alias", json!({ "alias": alias }));
    }
    let (join_rule, guests) = match preset {
        Preset::PublicChat => ("public", "forbidden"),
        Preset::PrivateChat | Preset::TrustedPrivateChat => ("invite", "can_join"),
    };
    state.add("m.room.join_rules", json!({ "join_rule": join_rule }));
    state.add(
        "m.room.history_visibility",
        json!({ "history_visibility": "shared" }),
    );
    state.add("m.room.guest_access", json!({ "guest_access": guests }));
    for initial in &request.initial_state {
        if initial.kind == "m.room.create" || initial.kind == "m.room.member" {
            return Err(RoomError::InitialState(format!(
                "{} cannot be among the initial state",
                initial.kind
            )));
        }
        let content = serde_json::from_str(initial.content.get())
            .map_err(|_| RoomError::BadContent("content must be an object".to_owned()))?;
        state.replace(&initial.kind, &initial.state_key, content);
    }
    if let Some(name) = &request.name {
        state.replace("m.room.name", "", as_object(json!({ "name": name })));
    }
    if let Some(topic) = &request.topic {
        let text = json!([{ "body": topic }]);
        let content = json!({ "topic": topic, "m.topic": { "m.text": text } });
        state.replace("m.room.topic", "", as_object(content));
    }
    Ok(state.0)
}

/// State events in order, one for each (type, state key): what comes later replaces in place.
struct StateList(Vec<StateEvent>);

/// Type, state key, content.
type StateEvent = (String, String, Map<String, Value>);

impl StateList {
    fn add(&mut self, kind: &str, content: Value) {
        self.replace(kind, "", as_object(content));
    }

    fn replace(&mut self, kind: &str, state_key: &str, content: Map<String, Value>) {
        match self
            .0
            .iter_mut()
            .find(|(k, s, _)| k == kind && s == state_key)
        {
            Some(entry) => entry.2 = content,
            None => self
                .0
                .push((kind.to_owned(), state_key.to_owned(), content)),
        }
    }
}

/// Since version 12, creators stand above the power levels.
pub(crate) fn has_privileged_creators(rules: &RoomVersionRules) -> bool {
    rules.authorization.explicitly_privilege_room_creators
}

fn as_object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The content of `m.room.create`: what the client gave, and what only the server may say.
pub(crate) fn create_content(
    request: &CreateRoom,
    version: &RoomVersionId,
    rules: &RoomVersionRules,
) -> Map<String, Value> {
    let mut content = request.creation_content.clone();
    content.insert("room_version".to_owned(), version.as_str().into());
    content.remove("creator");
    if !rules.authorization.use_room_create_sender {
        content.insert("creator".to_owned(), request.creator.as_str().into());
    }
    if has_privileged_creators(rules) {
        let additional: Vec<String> = creators(request, rules)
            .into_iter()
            .filter(|user| *user != request.creator.as_str())
            .collect();
        if !additional.is_empty() {
            content.insert("additional_creators".to_owned(), json!(additional));
        }
    }
    content
}

/// Everyone who has a creator's power: the creator, those named, and in a trusted chat those invited.
pub(crate) fn creators(request: &CreateRoom, rules: &RoomVersionRules) -> Vec<String> {
    let mut creators = vec![request.creator.to_string()];
    let mut seen: HashSet<String> = creators.iter().cloned().collect();
    if !has_privileged_creators(rules) {
        return creators;
    }
    let named = request
        .creation_content
        .get("additional_creators")
        .and_then(Value::as_array);
    let named = named
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    let invited = request.invite.iter().map(ToString::to_string);
    let trusted = request.preset == Some(Preset::TrustedPrivateChat);
    for user in named.chain(invited.filter(|_| trusted)) {
        if seen.insert(user.clone()) {
            creators.push(user);
        }
    }
    creators
}

/// The first `m.room.power_levels`.
fn power_levels(request: &CreateRoom, rules: &RoomVersionRules, preset: Preset) -> Value {
    let mut users = Map::new();
    if !has_privileged_creators(rules) {
        users.insert(request.creator.to_string(), 100.into());
        if preset == Preset::TrustedPrivateChat {
            for user in &request.invite {
                users.insert(user.to_string(), 100.into());
            }
        }
    }
    let tombstone = if has_privileged_creators(rules) {
        150
    } else {
        100
    };
    let mut levels = as_object(json!({
        "ban": 50,
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": tombstone,
        },
        "events_default": 0,
        "historical": 100,
        "invite": 0,
        "kick": 50,
        "redact": 50,
        "state_default": 50,
        "users": users,
        "users_default": 0,
    }));
    if preset == Preset::PublicChat {
        levels.insert("invite".to_owned(), 50.into());
    }
    for (key, value) in &request.power_levels {
        let mut value = value.clone();
        if has_privileged_creators(rules)
            && key == "events"
            && let Value::Object(events) = &mut value
        {
            // Only creators upgrade such rooms, unless the request names a level for it.
            events
                .entry("m.room.tombstone")
                .or_insert_with(|| tombstone.into());
        }
        levels.insert(key.clone(), value);
    }
    Value::Object(levels)
}
