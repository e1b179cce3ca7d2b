//! `PUT /rooms/{roomId}/typing/{userId}`: client-server API, "Typing Notifications".

use edge::{ApiError, Call, State};
use presence::Presence;
use rooms_writer::RoomWriter;
use ruma::api::client::typing::create_typing_event::v3::{Request, Response, Typing};

use crate::rooms::refusal::refuse;

pub(super) async fn typing(
    State(presence): State<Presence>,
    State(rooms): State<RoomWriter>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request {
        room_id,
        user_id,
        state,
        ..
    } = &call.request;
    let caller = &call.caller;
    if *user_id != caller.user_id {
        return Err(ApiError::forbidden("you can only type for yourself"));
    }
    let timeout = match state {
        Typing::Yes(info) => Some(info.timeout),
        Typing::No => None,
    };
    rooms
        .set_typing(room_id, caller.number, user_id, timeout)
        .await
        .map_err(refuse)?;
    presence.active(caller.number, caller.device_id.as_str());
    Ok(Response::new())
}
