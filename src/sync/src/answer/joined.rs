//! The section `join`: rooms that the user is in.

use database::{Position, Read, Stamp};
use push::{Counts, Place};
use rooms_history::Viewer;
use rooms_store::tables::Member;

use super::{
    Candidate, Context,
    account_data::IfNone,
    ephemeral::{self, Receipts},
    state::StateChanges,
    summary,
    timeline::{Timeline, Window},
};
use crate::{json::Json, own_rooms::OwnRoom, recent::Recent, request::SyncError};

/// Writes the room, unless it turns out that there is nothing to tell of it.
pub(super) async fn write(
    context: &Context<'_>,
    json: &mut Json,
    candidate: &Candidate<'_>,
) -> Result<(), SyncError> {
    let room = candidate.room;
    let parts = context.parts;
    let is_new = context.is_new(room);
    let is_whole = is_new || context.request.full_state;
    let recent = parts
        .recent
        .get(&parts.history, &parts.notifier, context.db, room.number)
        .await?;
    let member = room.row.event.map(|event| Member {
        membership: room.row.membership,
        event,
    });
    let mut viewer = Viewer::of_member(room.number, context.request.user, member);
    let timeline = timeline(context, candidate, &recent, &mut viewer).await?;
    let end = recent.state;
    let since = match context.since_stamp() {
        Some(since) if !is_whole && candidate.has_news => Some(
            recent
                .state_at(&parts.history, context.db, room.number, since)
                .await?,
        ),
        Some(_) if !is_whole => Some(end),
        Some(_) | None => None,
    };
    let mut state = StateChanges::read(context, room, since, &timeline, end).await?;
    let heroes = if state.changed_summary {
        summary::heroes(context, room, end).await?
    } else {
        Vec::new()
    };
    state
        .choose_members(context, room, &timeline, &heroes)
        .await?;
    let receipts = Receipts::read(context, candidate, &recent, is_new).await?;

    let mark = json.mark();
    json.key(room.id.as_str());
    json.open_object();
    if state.changed_summary {
        summary::write(context, json, &recent, &heroes).await?;
    }
    let mut has_content = is_whole || !timeline.events.is_empty() || timeline.limited;
    has_content |= state.write(context, json, room).await?;
    timeline.write(context, json, &mut viewer).await?;
    let before = json.mark();
    ephemeral::write(context, json, candidate, &receipts, is_new).await?;
    let account_data = &context.request.filter.room_account_data;
    if account_data.allows_room(&room.id) {
        let if_none = match context.since {
            None => IfNone::EmptyList,
            Some(_) => IfNone::Nothing,
        };
        context
            .account_data
            .write_of_room(json, room.number, account_data, if_none);
    }
    if let Some(online) = context.online_in(room, is_whole) {
        write_online(json, online, recent.joined);
    }
    has_content |= !json.is_at(before) || receipts.are_of(context.request.user);
    if !has_content {
        json.rewind(mark);
        return Ok(());
    }
    write_counts(context, json, room, &recent).await?;
    json.close_object();
    Ok(())
}

/// The events since the token. Of a room that is new to the user, the newest ones: what comes before them may not be known.
async fn timeline(
    context: &Context<'_>,
    candidate: &Candidate<'_>,
    recent: &Recent,
    viewer: &mut Viewer,
) -> Result<Timeline, SyncError> {
    let room = candidate.room;
    let is_new = context.is_new(room);
    let now = context.db.stamp();
    let after = match context.since_stamp() {
        Some(_) if !candidate.has_news && !is_new => now,
        Some(since) if !is_new => since,
        Some(_) | None => Stamp::default(),
    };
    let window = Window {
        after,
        through: Position::last_of(now),
    };
    let mut timeline = Timeline::read(context, room, recent, viewer, window, recent.state).await?;
    if is_new && context.since.is_some() {
        timeline.limited = true;
    }
    Ok(timeline)
}

/// How many members are online: an extension of this server.
fn write_online(json: &mut Json, online: u32, joined: u64) {
    json.key("chat.aqueduct.online");
    json.open_object();
    json.key("online");
    json.number(online.into());
    json.key("joined");
    json.number(joined);
    json.close_object();
}

async fn write_counts(
    context: &Context<'_>,
    json: &mut Json,
    room: &OwnRoom,
    recent: &Recent,
) -> Result<(), SyncError> {
    let place = Place {
        room: room.number,
        room_id: &room.id,
        joined_at: room.since,
    };
    let known = push::Recent {
        after: recent.after,
        entries: &recent.entries,
        receipts_after: recent.receipts_after,
        receipts: &recent.receipts,
    };
    let reader = context.reader().await?;
    let unread = context
        .parts
        .push
        .unread(context.db, reader, &place, &known)
        .await?;
    let by_thread = context.request.filter.thread_counts;
    let counts = if by_thread {
        unread.main
    } else {
        unread.total()
    };
    json.key("unread_notifications");
    write_pair(json, counts);
    if by_thread && !unread.threads.is_empty() {
        json.key("unread_thread_notifications");
        json.open_object();
        for (root, counts) in &unread.threads {
            json.key(root);
            write_pair(json, *counts);
        }
        json.close_object();
    }
    Ok(())
}

fn write_pair(json: &mut Json, counts: Counts) {
    json.open_object();
    json.key("highlight_count");
    json.number(counts.highlights);
    json.key("notification_count");
    json.number(counts.notifications);
    json.close_object();
}
