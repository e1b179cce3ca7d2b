//! `GET` and `PUT /directory/list/room/{roomId}`: client-server API, "Published room directory".
//!
//! A request type of our own for `PUT`: `visibility` may be missing, and is `public` then.

use edge::{ApiError, Call, State};
use http::Request as HttpRequest;
use rooms_directory::RoomDirectory;
use rooms_writer::Visibility;
use ruma::{
    OwnedRoomId,
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        client::{
            directory::{get_room_visibility, set_room_visibility::v3::Response},
            room,
        },
        error::{DeserializationError, Error},
    },
    metadata,
};
use serde::Deserialize;

use crate::rooms::refusal::refuse;

pub(in crate::rooms) struct SetVisibility {
    room_id: OwnedRoomId,
    visibility: room::Visibility,
}

metadata! {
    @for SetVisibility,
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/directory/list/room/{room_id}",
        1.1 => "/_matrix/client/v3/directory/list/room/{room_id}",
    }
}

pub(super) async fn get(
    State(rooms): State<RoomDirectory>,
    call: Call<get_room_visibility::v3::Request>,
) -> Result<get_room_visibility::v3::Response, ApiError> {
    let is_published = rooms
        .is_published(&call.request.room_id)
        .await
        .map_err(refuse)?;
    let visibility = if is_published {
        room::Visibility::Public
    } else {
        room::Visibility::Private
    };
    Ok(get_room_visibility::v3::Response::new(visibility))
}

pub(super) async fn put(
    State(rooms): State<RoomDirectory>,
    call: Call<SetVisibility>,
) -> Result<Response, ApiError> {
    let SetVisibility {
        room_id,
        visibility,
    } = &call.request;
    let visibility = match visibility {
        room::Visibility::Public => Visibility::Public,
        room::Visibility::Private => Visibility::Private,
        _ => {
            return Err(ApiError::invalid_param(
                "`visibility` must be `public` or `private`",
            ));
        }
    };
    let caller = &call.caller;
    rooms
        .publish(room_id, caller.number, &caller.user_id, visibility)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}

impl IncomingRequest for SetVisibility {
    type EndpointError = Error;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: HttpRequest<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        #[derive(Default, Deserialize)]
        struct Body {
            visibility: Option<room::Visibility>,
        }
        let room_id = path.first().copied().unwrap_or_default().try_into()?;
        let Body { visibility } = match request.body().trim_ascii() {
            b"" => Body::default(),
            text => serde_json::from_slice(text)?,
        };
        Ok(Self {
            room_id,
            visibility: visibility.unwrap_or(room::Visibility::Public),
        })
    }
}
