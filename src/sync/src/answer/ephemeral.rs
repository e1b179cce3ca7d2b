//! Who has read how far, and who is typing (client-server API, "Receipts", "Typing Notifications").

use std::collections::BTreeMap;

use database::UserNumber;
use rooms_history::receipts::READ_PRIVATE;

use super::{Candidate, Context};
use crate::{
    filter::Selection,
    json::Json,
    recent::{ReceiptEntry, Recent},
    request::SyncError,
};

/// The new receipts of a room that one reader may know.
pub(super) struct Receipts(Vec<ReceiptEntry>);

impl Receipts {
    /// All that count, if the room is told as a whole.
    pub(super) async fn read(
        context: &Context<'_>,
        candidate: &Candidate<'_>,
        recent: &Recent,
        is_whole: bool,
    ) -> Result<Self, SyncError> {
        let since = if is_whole {
            None
        } else {
            context.since_stamp()
        };
        let since = since.unwrap_or_default();
        let may_know = |entry: &&ReceiptEntry| {
            entry.1.kind != READ_PRIVATE || entry.1.user == context.request.user
        };
        if let Some(receipts) = recent.receipts_after(since) {
            return Ok(Self(receipts.iter().filter(may_know).cloned().collect()));
        }
        let history = &context.parts.history;
        let mut read = history
            .receipts_since(context.db, candidate.room.number, since)
            .await?;
        read.retain(|entry| may_know(&entry));
        Ok(Self(read))
    }

    /// Whether the user has read further, so that the counts are new.
    pub(super) fn are_of(&self, user: UserNumber) -> bool {
        self.0.iter().any(|entry| entry.1.user == user)
    }
}

/// Writes the section `ephemeral`, unless it is empty.
pub(super) async fn write(
    context: &Context<'_>,
    json: &mut Json,
    candidate: &Candidate<'_>,
    receipts: &Receipts,
    is_whole: bool,
) -> Result<(), SyncError> {
    let selection = &context.request.filter.ephemeral;
    let room = candidate.room;
    let has_receipts = !receipts.0.is_empty() && selection.allows_type("m.receipt");
    let typing = &context.parts.typing;
    let has_typing = (is_whole || context.is_typing_new(typing.changed_at(room.number)))
        && selection.allows_type("m.typing");
    let whole = json.mark();
    json.key("ephemeral");
    json.open_object();
    json.key("events");
    json.open_array();
    let inside = json.mark();
    if selection.allows_room(&room.id) {
        if has_receipts {
            write_receipts(context, json, receipts, selection).await?;
        }
        if has_typing {
            write_typing(context, json, room.number);
        }
    }
    if json.is_at(inside) {
        json.rewind(whole);
    } else {
        json.close_array();
        json.close_object();
    }
    Ok(())
}

/// Nobody typing is told only to those who may think that somebody is.
fn write_typing(context: &Context<'_>, json: &mut Json, room: database::RoomNumber) {
    let typing = &context.parts.typing;
    let users = typing.users(room);
    let may_think = context
        .since
        .is_some_and(|token| token.boot == typing.boot_id());
    if users.is_empty() && !may_think {
        return;
    }
    json.open_object();
    json.key("type");
    json.text("m.typing");
    json.key("content");
    json.open_object();
    json.key("user_ids");
    json.open_array();
    for user in users {
        if !context.ignored.contains(&user) {
            json.text(user.as_str());
        }
    }
    json.close_array();
    json.close_object();
    json.close_object();
}

type ByKind<'a> = BTreeMap<&'a str, BTreeMap<UserNumber, &'a ReceiptEntry>>;

/// One `m.receipt` event: event id, kind, user. Of a user's receipts at one event, that of the whole room is told, else the
/// newest.
async fn write_receipts(
    context: &Context<'_>,
    json: &mut Json,
    receipts: &Receipts,
    selection: &Selection,
) -> Result<(), SyncError> {
    let mut by_event: BTreeMap<&str, ByKind<'_>> = BTreeMap::new();
    for entry in &receipts.0 {
        let kinds = by_event.entry(&entry.2.event_id).or_default();
        let entries = kinds.entry(&entry.1.kind).or_default();
        let told = entries.entry(entry.1.user).or_insert(entry);
        if !told.1.thread.is_empty() {
            *told = entry;
        }
    }
    json.open_object();
    json.key("type");
    json.text("m.receipt");
    json.key("content");
    json.open_object();
    for (event_id, kinds) in by_event {
        json.key(event_id);
        json.open_object();
        for (kind, entries) in kinds {
            json.key(kind);
            json.open_object();
            for entry in entries.values() {
                write_receipt(context, json, entry, selection).await?;
            }
            json.close_object();
        }
        json.close_object();
    }
    json.close_object();
    json.close_object();
    Ok(())
}

async fn write_receipt(
    context: &Context<'_>,
    json: &mut Json,
    (_, key, receipt): &ReceiptEntry,
    selection: &Selection,
) -> Result<(), SyncError> {
    let user = context.parts.users.user_id(context.db, key.user).await?;
    let Some(user) = user.filter(|user| selection.allows_sender(user)) else {
        return Ok(());
    };
    json.key(user.as_str());
    json.open_object();
    json.key("ts");
    json.number(receipt.ts);
    if !key.thread.is_empty() {
        json.key("thread_id");
        json.text(&key.thread);
    }
    json.close_object();
    Ok(())
}
