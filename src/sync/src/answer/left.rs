//! The section `leave`: rooms that the user left or was banned from, with timeline and state up to that moment.

use std::sync::Arc;

use database::{Read, Stamp};
use rooms_history::Viewer;
use rooms_store::{
    Event, Membership,
    tables::{MEMBER_HISTORY, Member},
};

use super::{
    Context,
    account_data::IfNone,
    state::StateChanges,
    timeline::{Timeline, Window},
};
use crate::{json::Json, own_rooms::OwnRoom, request::SyncError};

/// The user's stay that ended, as far as the token knows it.
enum Stay {
    /// They were inside at the token.
    Known(Stamp),
    /// They came after the token, or there is no token.
    New,
    /// They were not inside: an invite that was rejected, a ban of somebody who had left.
    None,
}

/// Told once, to tokens from before the leave, also if the room is forgotten by now; in an initial sync only if the filter
/// asks for it.
pub(super) async fn write(
    context: &Context<'_>,
    json: &mut Json,
    room: &OwnRoom,
) -> Result<(), SyncError> {
    let is_wanted = match context.since {
        Some(_) => context.is_new(room),
        None => context.request.filter.include_leave && !room.row.forgotten,
    };
    if !is_wanted {
        return Ok(());
    }
    let parts = context.parts;
    let member = room.row.event.map(|event| Member {
        membership: room.row.membership,
        event,
    });
    let mut viewer = Viewer::of_member(room.number, context.request.user, member);
    let end = parts
        .rooms
        .state_at(context.db, room.number, room.since)
        .await?;
    let (timeline, state) = match stay(context, room).await? {
        Stay::None => match leave_event(context, room).await? {
            Some(leave) => {
                let state = StateChanges::of_own_member(context, &leave, end);
                (Timeline::of_one(leave, context.db.stamp(), end), state)
            }
            None => return Ok(()),
        },
        stay => {
            let recent = parts
                .recent
                .get(&parts.history, &parts.notifier, context.db, room.number)
                .await?;
            let (after, since) = match stay {
                Stay::Known(since) => {
                    let state_at = recent.state_at(&parts.history, context.db, room.number, since);
                    (since, Some(state_at.await?))
                }
                Stay::New | Stay::None => (Stamp::default(), None),
            };
            let window = Window {
                after,
                through: room.since,
            };
            let mut timeline =
                Timeline::read(context, room, &recent, &mut viewer, window, end).await?;
            if since.is_none() && context.since.is_some() {
                timeline.limited = true;
            }
            let mut state = StateChanges::read(context, room, since, &timeline, end).await?;
            state.choose_members(context, room, &timeline, &[]).await?;
            (timeline, state)
        }
    };
    json.key(room.id.as_str());
    json.open_object();
    state.write(context, json, room).await?;
    timeline.write(context, json, &mut viewer).await?;
    let account_data = &context.request.filter.room_account_data;
    if account_data.allows_room(&room.id) {
        context
            .account_data
            .write_of_room(json, room.number, account_data, IfNone::Nothing);
    }
    json.close_object();
    Ok(())
}

/// The member event in force: `None` where resolution left the user without one.
async fn leave_event(
    context: &Context<'_>,
    room: &OwnRoom,
) -> Result<Option<Arc<Event>>, SyncError> {
    let Some(number) = room.row.event else {
        return Ok(None);
    };
    let rooms = &context.parts.rooms;
    let event = rooms.named_event(context.db, room.number, number).await?;
    Ok(Some(event))
}

async fn stay(context: &Context<'_>, room: &OwnRoom) -> Result<Stay, SyncError> {
    let user = context.request.user;
    let history = MEMBER_HISTORY.under((room.number, user));
    let earlier = history.before((room.number, user, room.since)).reversed();
    let Some(((_, _, since), before)) = context.db.first(earlier).await? else {
        return Ok(Stay::None);
    };
    if before.membership != Membership::Join {
        return Ok(Stay::None);
    }
    Ok(match context.since {
        Some(token) if since.0 <= token.stamp => Stay::Known(token.stamp),
        Some(_) | None => Stay::New,
    })
}
