//! `POST /knock/{roomIdOrAlias}`: client-server API, "Knocking on rooms".
//!
//! A request type of our own: the body may be missing.

use edge::{ApiError, Call, State};
use http::Request as HttpRequest;
use rooms_remote::RemoteRooms;
use rooms_writer::{Change, MembershipRequest, RoomWriter};
use ruma::{
    OwnedRoomOrAliasId,
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        client::knock::knock_room::v3::Response,
        error::{DeserializationError, Error},
    },
    metadata,
};
use serde::Deserialize;
use serde_json::Value;

use super::{join::body, resolve};
use crate::rooms::refusal::refuse;

pub(in crate::rooms) struct Knock {
    name: OwnedRoomOrAliasId,
    reason: Option<String>,
}

metadata! {
    @for Knock,
    method: POST,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        unstable => "/_matrix/client/unstable/xyz.amorgan.knock/knock/{room_id_or_alias}",
        1.1 => "/_matrix/client/v3/knock/{room_id_or_alias}",
    }
}

pub(super) async fn knock(
    State(rooms): State<RoomWriter>,
    State(remote): State<RemoteRooms>,
    call: Call<Knock>,
) -> Result<Response, ApiError> {
    let room_id = resolve(&remote, call.request.name).await?.room_id;
    let user = call.caller.user_id.clone();
    let request = MembershipRequest::own(user, Change::Knock).because(call.request.reason);
    rooms
        .change_membership(&room_id, request)
        .await
        .map_err(refuse)?;
    Ok(Response::new(room_id))
}

impl IncomingRequest for Knock {
    type EndpointError = Error;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: HttpRequest<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        #[derive(Deserialize)]
        struct Body {
            reason: Option<String>,
        }
        let name = path.first().copied().unwrap_or_default().try_into()?;
        let Body { reason } = serde_json::from_value(Value::Object(body(&request)?))?;
        Ok(Self { name, reason })
    }
}
