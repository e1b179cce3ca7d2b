//! Creating a room: one commit, with everything in it or nothing (client-server API, "Creation").

use std::str::FromStr;

use database::{Read, RoomNumber, Txn, UserNumber};
use protocol::room_version;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomAliasId, RoomVersionId, room_version_rules::RoomVersionRules,
};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    build::Draft,
    commit::NewRoom,
    first_state::{create_content, creators, first_state, has_privileged_creators},
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
