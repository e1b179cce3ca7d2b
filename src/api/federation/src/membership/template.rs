//! `GET /_matrix/federation/v1/make_join`, `make_leave` and `make_knock`: server-server API, "Joining Rooms", "Leaving Rooms",
//! "Knocking upon a room".

use edge::{ApiError, Call, Json, State};
use rooms_remote::{Handshake, RemoteRooms, Template};
use ruma::api::federation::membership::{
    prepare_join_event, prepare_knock_event, prepare_leave_event,
};
use serde_json::Value;

use super::refuse;

pub(super) async fn make_join(
    State(remote): State<RemoteRooms>,
    call: Call<prepare_join_event::v1::Request>,
) -> Result<Json<Value>, ApiError> {
    let (server, request) = (&call.caller.name, &call.request);
    let (room, user, versions) = (&request.room_id, &request.user_id, Some(&request.ver[..]));
    let template = remote.template_for(server, room, user, Handshake::Join, versions);
    template.await.map(answer).map_err(refuse)
}

pub(super) async fn make_leave(
    State(remote): State<RemoteRooms>,
    call: Call<prepare_leave_event::v1::Request>,
) -> Result<Json<Value>, ApiError> {
    let (server, request) = (&call.caller.name, &call.request);
    let (room, user) = (&request.room_id, &request.user_id);
    let template = remote.template_for(server, room, user, Handshake::Leave, None);
    template.await.map(answer).map_err(refuse)
}

pub(super) async fn make_knock(
    State(remote): State<RemoteRooms>,
    call: Call<prepare_knock_event::v1::Request>,
) -> Result<Json<Value>, ApiError> {
    let (server, request) = (&call.caller.name, &call.request);
    let (room, user, versions) = (&request.room_id, &request.user_id, Some(&request.ver[..]));
    let template = remote.template_for(server, room, user, Handshake::Knock, versions);
    template.await.map(answer).map_err(refuse)
}

fn answer(Template { version, event }: Template) -> Json<Value> {
    let version = ("room_version".to_owned(), version.into());
    Json(Value::Object(
        [version, ("event".to_owned(), event)].into_iter().collect(),
    ))
}
