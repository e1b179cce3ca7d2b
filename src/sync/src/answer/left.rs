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
    state::{End, StateChanges},
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
    let leave = leave_event(context, room).await?;
    let member = Member {
        membership: room.row.membership,
        event: leave.number,
    };
    let mut viewer = Viewer::of_member(room.number, context.request.user, Some(member));
    let end = End {
        root: leave.state_before,
        leave: Some(leave.clone()),
    };
    let (timeline, state) = match stay(context, room, &leave).await? {
        Stay::None => (Timeline::of_one(leave, context.db.stamp()), None),
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
                through: leave.position,
            };
            let mut timeline = Timeline::read(context, room, &recent, &mut viewer, window).await?;
            if since.is_none() && context.since.is_some() {
                timeline.limited = true;
            }
            let mut state = StateChanges::read(context, room, since, &timeline, &end).await?;
            state.choose_members(context, room, &timeline, &[]).await?;
            (timeline, Some(state))
        }
    };
    json.key(room.id.as_str());
    json.open_object();
    if let Some(state) = state {
        state.write(context, json, room).await?;
    }
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

/// The event that ended it. The list of rooms may hold a later one that says the same again.
async fn leave_event(context: &Context<'_>, room: &OwnRoom) -> Result<Arc<Event>, SyncError> {
    let rooms = &context.parts.rooms;
    Ok(rooms
        .named_event(context.db, room.number, room.row.event)
        .await?)
}

async fn stay(context: &Context<'_>, room: &OwnRoom, leave: &Event) -> Result<Stay, SyncError> {
    let user = context.request.user;
    let history = MEMBER_HISTORY.under((room.number, user));
    let earlier = history.before((room.number, user, room.since)).reversed();
    let before = context.db.first(earlier).await?;
    let Some(((_, _, since), Membership::Join)) = before else {
        return Ok(Stay::None);
    };
    debug_assert!(since < leave.position, "a stay begins before it ends");
    Ok(match context.since {
        Some(token) if since.0 <= token.stamp => Stay::Known(token.stamp),
        Some(_) | None => Stay::New,
    })
}
