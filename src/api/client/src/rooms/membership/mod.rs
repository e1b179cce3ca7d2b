//! Client-server API, "Room membership".

mod ban;
mod forget;
mod invite;
mod join;
mod kick;
mod knock;
mod leave;
mod unban;

use edge::{ApiError, Class, Routes, Rule};
use rooms_remote::{RemoteRooms, ResolvedAlias};
use ruma::{OwnedRoomId, OwnedRoomOrAliasId, RoomAliasId};

use super::refusal::refuse;
use crate::ClientApi;

pub(super) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let joins = Rule::new().class(Class::Join);
    routes
        .add_with(join::join, joins)
        .add_with(join::join_by_id, joins)
        .add_with(knock::knock, joins)
        .add_with(invite::invite, joins)
        .add_with(leave::leave, joins)
        .add_with(kick::kick, joins)
        .add_with(ban::ban, joins)
        .add_with(unban::unban, joins)
        .add(forget::forget)
}

/// The room that a client names by its id or an alias, with servers that may know it.
async fn resolve(
    remote: &RemoteRooms,
    name: OwnedRoomOrAliasId,
) -> Result<ResolvedAlias, ApiError> {
    match OwnedRoomId::try_from(name) {
        Ok(room_id) => Ok(ResolvedAlias {
            room_id,
            servers: Vec::new(),
        }),
        Err(alias) => {
            let alias: &RoomAliasId = alias.as_str().try_into().map_err(ApiError::invalid_param)?;
            remote.resolve_alias(alias).await.map_err(refuse)
        }
    }
}
