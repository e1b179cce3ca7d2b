//! `POST /createRoom`: client-server API, "Creation".

use edge::{ApiError, Call, State};
use http::StatusCode;
use rooms_store::RoomError;
use rooms_writer::{CreateRoom, InitialState, Preset, RoomWriter, Visibility};
use ruma::{
    api::client::room::{
        self,
        create_room::v3::{Request, Response, RoomPreset},
    },
    events::AnyInitialStateEvent,
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::refusal::refuse;

/// "Size limits" of the spec.
const MAX_EVENT_BYTES: usize = 65_536;

pub(super) async fn create(
    State(rooms): State<RoomWriter>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let request = call.request;
    if !request.invite_3pid.is_empty() {
        return Err(ApiError::forbidden(
            "this server cannot invite by email address or telephone",
        ));
    }
    let create = CreateRoom {
        creator: call.caller.user_id.clone(),
        version: request.room_version.map(|version| version.to_string()),
        preset: request.preset.as_ref().map(preset).transpose()?,
        visibility: match request.visibility {
            room::Visibility::Public => Visibility::Public,
            _ => Visibility::Private,
        },
        alias_localpart: request.room_alias_name,
        name: request.name,
        topic: request.topic,
        invite: request.invite,
        is_direct: request.is_direct,
        creation_content: object(request.creation_content.as_ref())?,
        initial_state: request
            .initial_state
            .iter()
            .map(initial)
            .collect::<Result<_, _>>()?,
        power_levels: object(request.power_level_content_override.as_ref())?,
    };
    rooms
        .create_room(create)
        .await
        .map(Response::new)
        .map_err(|error| match error {
            RoomError::AliasInUse => ApiError::new(StatusCode::BAD_REQUEST, "M_ROOM_IN_USE", error),
            error => refuse(error),
        })
}

fn preset(preset: &RoomPreset) -> Result<Preset, ApiError> {
    match preset {
        RoomPreset::PrivateChat => Ok(Preset::PrivateChat),
        RoomPreset::PublicChat => Ok(Preset::PublicChat),
        RoomPreset::TrustedPrivateChat => Ok(Preset::TrustedPrivateChat),
        other => Err(ApiError::invalid_param(format_args!(
            "unknown preset {other}"
        ))),
    }
}

/// An object of which the server reads no more than it must.
fn object<T>(raw: Option<&Raw<T>>) -> Result<Map<String, Value>, ApiError> {
    let Some(raw) = raw else {
        return Ok(Map::new());
    };
    check_size(raw.json())?;
    serde_json::from_str(raw.json().get()).map_err(ApiError::bad_json)
}

/// Refuses early what would not fit into an event.
fn check_size(json: &RawValue) -> Result<(), ApiError> {
    if json.get().len() > MAX_EVENT_BYTES {
        return Err(ApiError::too_large(
            "An event of the room would be too large",
        ));
    }
    Ok(())
}

fn initial(raw: &Raw<AnyInitialStateEvent>) -> Result<InitialState, ApiError> {
    #[derive(Deserialize)]
    struct Initial {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        state_key: String,
        content: Box<RawValue>,
    }
    let Initial {
        kind,
        state_key,
        content,
    } = serde_json::from_str(raw.json().get()).map_err(ApiError::bad_json)?;
    check_size(&content)?;
    Ok(InitialState {
        kind,
        state_key,
        content,
    })
}
