//! What a client needs to name a room and to say how many are in it.

use database::UserNumber;
use protocol::scan;
use rooms_store::state_map::StateRoot;

use super::Context;
use crate::{json::Json, own_rooms::OwnRoom, recent::Recent, request::SyncError};

/// Whom the room is named after; nobody, if it has a name or an alias.
pub(super) async fn heroes(
    context: &Context<'_>,
    room: &OwnRoom,
    state: StateRoot,
) -> Result<Vec<UserNumber>, SyncError> {
    let rooms = &context.parts.rooms;
    for (kind, member) in [("m.room.name", "name"), ("m.room.canonical_alias", "alias")] {
        let event = rooms
            .state_event(context.db, room.number, state, kind, "")
            .await?;
        let is_set = event.is_some_and(|event| {
            scan::string_member(event.content(), member).is_some_and(|text| !text.is_empty())
        });
        if is_set {
            return Ok(Vec::new());
        }
    }
    Ok(context
        .parts
        .history
        .heroes(context.db, room.number, context.request.user)
        .await?)
}

pub(super) async fn write(
    context: &Context<'_>,
    json: &mut Json,
    recent: &Recent,
    heroes: &[UserNumber],
) -> Result<(), SyncError> {
    json.key("summary");
    json.open_object();
    if !heroes.is_empty() {
        json.key("m.heroes");
        json.open_array();
        for hero in heroes {
            if let Some(hero) = context.parts.users.text(context.db, *hero).await? {
                json.text(&hero);
            }
        }
        json.close_array();
    }
    json.key("m.joined_member_count");
    json.number(recent.joined);
    json.key("m.invited_member_count");
    json.number(recent.invited);
    json.close_object();
    Ok(())
}
