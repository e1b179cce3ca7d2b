//! Creating a room: one commit, with everything in it or nothing (client-server API, "Creation").

use std::{collections::HashSet, str::FromStr};

use database::{Read, RoomNumber, Txn, UserNumber};
use protocol::room_version;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomAliasId, RoomVersionId, room_version_rules::RoomVersionRules,
};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    build::Draft,
    commit::NewRoom,
    handle::RoomWriter,
    intents::check_levels,
    turn::{Pause, Turn},
};
use rooms_store::{
    RoomError,
    tables::{ALIASES, Alias, DIRECTORY, ROOM_ALIASES},
};

/// The presets of `POST /createRoom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    PrivateChat,
    TrustedPrivateChat,
    PublicChat,
}

/// One of the state events that the creator asks for.
#[derive(Clone, Debug)]
pub struct InitialState {
    pub kind: String,
    pub state_key: String,
    pub content: Box<RawValue>,
}

/// Whether the directory shows a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    Public,
    Private,
}

/// What a local user asks of `POST /createRoom`.
#[derive(Clone, Debug)]
pub struct CreateRoom {
    pub creator: OwnedUserId,
    /// As the client wrote it; `None` is the server's default.
    pub version: Option<String>,
    /// `None` follows the visibility.
    pub preset: Option<Preset>,
    pub visibility: Visibility,
    /// The localpart of the room's first alias.
    pub alias_localpart: Option<String>,
    pub name: Option<String>,
    pub topic: Option<String>,
    pub invite: Vec<OwnedUserId>,
    /// The invites are for a direct chat.
    pub is_direct: bool,
    /// Further keys for the content of `m.room.create`.
    pub creation_content: Map<String, Value>,
    pub initial_state: Vec<InitialState>,
    /// Keys that replace those of the default `m.room.power_levels`.
    pub power_levels: Map<String, Value>,
}

/// The key of the create event's content that makes it unlike all others.
const NONCE: &str = "chat.aqueduct.nonce";
/// Invites and initial state are bounded, so that a creation stays one small commit.
const MAX_INVITES: usize = 100;
const MAX_INITIAL_STATE: usize = 200;
/// More do not fit into one event.
const MAX_CREATORS: usize = 5_000;

impl RoomWriter {
    /// Creates the room and returns its id once all of it is on disk.
    pub async fn create_room(&self, request: CreateRoom) -> Result<OwnedRoomId, RoomError> {
        let (version, rules) = self.version(request.version.as_deref())?;
        self.check(&request, rules)?;
        let alias = self.check_alias(&request).await?;
        let mut turn = Turn::for_new_room(self, &version, rules).await?;
        let creator = &request.creator;
        let mut content = create_content(&request, &version, rules);
        // Redaction keeps all of it, so that no two create events have one hash.
        content.insert(NONCE.to_owned(), self.shared.random.token(18).into());
        turn.append(Draft::state(creator, "m.room.create", "", &content)?)
            .await
            .map_err(Pause::into_error)?;
        let profile = self.member_content(creator, "join").await?;
        turn.append(Draft::state(
            creator,
            "m.room.member",
            creator.as_str(),
            &profile,
        )?)
        .await
        .map_err(Pause::into_error)?;
        for (kind, state_key, content) in first_state(&request, rules, alias.as_deref())? {
            turn.append(Draft::state(creator, &kind, &state_key, &content)?)
                .await
                .map_err(Pause::into_error)?;
        }
        for user in &request.invite {
            // The spec lets the rest of the creation succeed.
            if turn.blocks_invites(user).await? {
                continue;
            }
            let mut content = self.member_content(user, "invite").await?;
            if request.is_direct {
                content.insert("is_direct".to_owned(), Value::Bool(true));
            }
            turn.append(Draft::state(
                creator,
                "m.room.member",
                user.as_str(),
                &content,
            )?)
            .await
            .map_err(Pause::into_error)?;
        }
        let creator = creator.clone();
        let room = NewRoom {
            alias: alias.clone(),
            creator,
            is_public: request.visibility == Visibility::Public,
        };
        turn.commit_new_room(room).await
    }

    /// A version that this server can create rooms in, with its rules.
    fn version(
        &self,
        version: Option<&str>,
    ) -> Result<(RoomVersionId, &'static RoomVersionRules), RoomError> {
        let unsupported = |text: &str| RoomError::UnsupportedVersion(text.to_owned());
        let version = match version {
            Some(text) => RoomVersionId::from_str(text).map_err(|_| unsupported(text))?,
            None => self.config().default_version.clone(),
        };
        // The writer does not give events the ids that they have in versions 1 and 2.
        let rules = room_version::rules(&version)
            .filter(|rules| !rules.event_format.require_event_id)
            .ok_or_else(|| unsupported(version.as_str()))?;
        Ok((version, rules))
    }

    fn check(&self, request: &CreateRoom, rules: &RoomVersionRules) -> Result<(), RoomError> {
        if request.invite.len() > MAX_INVITES {
            return Err(RoomError::Invalid(format!(
                "at most {MAX_INVITES} users can be invited"
            )));
        }
        if request.initial_state.len() > MAX_INITIAL_STATE {
            return Err(RoomError::Invalid(format!(
                "at most {MAX_INITIAL_STATE} initial state events can be given"
            )));
        }
        let server_name = self.rooms.server_name();
        let remote = |user: &&OwnedUserId| user.server_name() != server_name;
        if let Some(user) = request.invite.iter().find(remote) {
            return Err(RoomError::Remote(user.to_string()));
        }
        check_additional_creators(&request.creation_content, rules)?;
        check_levels(&Value::Object(request.power_levels.clone()).to_string())?;
        if has_privileged_creators(rules) {
            let named = request.power_levels.get("users").and_then(Value::as_object);
            let creators = creators(request, rules);
            if named.is_some_and(|users| creators.iter().any(|id| users.contains_key(id))) {
                return Err(RoomError::Invalid(
                    "creators have power of their own and cannot be in `users`".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// The full alias that the request asks for, if it is free now (the commit looks again).
    async fn check_alias(&self, request: &CreateRoom) -> Result<Option<String>, RoomError> {
        let Some(localpart) = &request.alias_localpart else {
            return Ok(None);
        };
        let alias = format!("#{localpart}:{}", self.rooms.server_name());
        if localpart.is_empty() || RoomAliasId::parse(&alias).is_err() || localpart.contains(':') {
            return Err(RoomError::Invalid(format!("{alias} is not a room alias")));
        }
        let db = self.rooms.snapshot().await?;
        match self.rooms.alias_target(&db, &alias).await? {
            Some(_) => Err(RoomError::AliasInUse),
            None => Ok(Some(alias)),
        }
    }
}

/// The additional rows of a new room; reads the alias again, inside the commit.
pub(crate) async fn write_directory_rows(
    txn: &Txn,
    room: RoomNumber,
    creator: UserNumber,
    new: &NewRoom,
) -> Result<(), RoomError> {
    if let Some(alias) = &new.alias {
        if txn.get(ALIASES.at(alias.as_str())).await?.is_some() {
            return Err(RoomError::AliasInUse);
        }
        txn.put(ALIASES.at(alias.as_str()), &Alias { room, creator });
        txn.put(ROOM_ALIASES.at((room, alias.as_str())), &());
    }
    if new.is_public {
        txn.put(DIRECTORY.at(room), &());
    }
    Ok(())
}

/// The state after the creator's join, in the order of the spec.
fn first_state(
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
fn has_privileged_creators(rules: &RoomVersionRules) -> bool {
    rules.authorization.explicitly_privilege_room_creators
}

fn as_object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The content of `m.room.create`: what the client gave, and what only the server may say.
fn create_content(
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
fn creators(request: &CreateRoom, rules: &RoomVersionRules) -> Vec<String> {
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

fn check_additional_creators(
    content: &Map<String, Value>,
    rules: &RoomVersionRules,
) -> Result<(), RoomError> {
    if !has_privileged_creators(rules) {
        return Ok(());
    }
    let Some(named) = content.get("additional_creators") else {
        return Ok(());
    };
    if named
        .as_array()
        .is_some_and(|users| users.len() > MAX_CREATORS)
    {
        return Err(RoomError::TooLarge);
    }
    let are_users = named.as_array().is_some_and(|users| {
        users.iter().all(|user| {
            user.as_str()
                .is_some_and(|id| ruma::UserId::parse(id).is_ok())
        })
    });
    if are_users {
        return Ok(());
    }
    Err(RoomError::Invalid(
        "additional_creators must be a list of user ids".to_owned(),
    ))
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
