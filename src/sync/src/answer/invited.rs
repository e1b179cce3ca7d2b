//! The sections `invite` and `knock`: what someone who is not inside may know of a room (client-server API, "Stripped
//! state").

use rooms_store::tables::Membership;

use super::Context;
use crate::{json::Json, own_rooms::OwnRoom, request::SyncError};

/// Sent once. Invites of ignored users are not sent, and none while the user blocks invites.
pub(super) async fn write(
    context: &Context<'_>,
    json: &mut Json,
    room: &OwnRoom,
    state_key: &str,
) -> Result<(), SyncError> {
    if !context.is_new(room) || is_by_ignored(context, room).await? {
        return Ok(());
    }
    let parts = context.parts;
    let is_invite = room.row.membership == Membership::Invite;
    let user = context.request.user;
    if is_invite && parts.users.blocks_invites(context.db, user).await? {
        return Ok(());
    }
    let state = parts
        .history
        .stripped_state(context.db, room.number, context.request.user)
        .await?;
    json.key(room.id.as_str());
    json.open_object();
    json.key(state_key);
    json.open_object();
    json.key("events");
    let mark = json.mark();
    json.elements().extend_from_slice(&state);
    json.appended(mark);
    json.close_object();
    json.close_object();
    Ok(())
}

async fn is_by_ignored(context: &Context<'_>, room: &OwnRoom) -> Result<bool, SyncError> {
    if context.ignored.is_empty() || room.row.by == context.request.user {
        return Ok(false);
    }
    let by = context.parts.users.user_id(context.db, room.row.by).await?;
    Ok(by.is_some_and(|by| context.ignored.contains(&by)))
}
