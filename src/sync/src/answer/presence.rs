//! The section `presence`: who of those with whom the user shares a room came, went or became idle
//! (client-server API, "Presence").

use ::presence::Update;
use database::RoomNumber;
use rooms_history::SyncToken;
use rooms_store::Membership;
use ruma::OwnedUserId;

use super::Context;
use crate::{json::Json, own_rooms::OwnRooms, request::SyncError};

/// Users told in one answer, and in the first one.
const MOST: usize = 100;
const MOST_AT_FIRST: usize = 1000;
/// The only type of event in this section.
const KIND: &str = "m.presence";

pub(super) struct PresenceNews {
    users: Vec<(OwnedUserId, Update)>,
    /// The change up to which this is all there is.
    pub(super) next: u64,
    /// The filter lets presence through.
    pub(super) is_wanted: bool,
}

impl PresenceNews {
    /// Reads memory only, but for the user ids of those who are told.
    pub(super) async fn read(
        context: &Context<'_>,
        own: &OwnRooms,
        since: Option<SyncToken>,
    ) -> Result<Self, SyncError> {
        let presence = &context.parts.presence;
        let selection = &context.request.filter.presence;
        let mut news = Self {
            users: Vec::new(),
            next: presence.counter(),
            is_wanted: selection.allows_type(KIND),
        };
        if !news.is_wanted || !presence.is_enabled() {
            return Ok(news);
        }
        let most = if since.is_some() { MOST } else { MOST_AT_FIRST };
        let limit = selection.limit().min(most);
        let new_rooms = new_rooms(context, own);
        let mut since = since.map(|token| token.presence);
        loop {
            let updates = presence.updates(context.request.user, since, &new_rooms, limit);
            news.next = updates.next;
            for update in updates.updates {
                let user = context.parts.users.user_id(context.db, update.user).await?;
                let is_told = |user: &OwnedUserId| {
                    selection.allows_sender(user) && !context.ignored.contains(user)
                };
                news.users
                    .extend(user.filter(is_told).map(|user| (user, update)));
            }
            // Whoever waits for more must have looked at all there is.
            let is_all = since.is_none() || updates.next == presence.counter();
            if is_all || !news.users.is_empty() {
                return Ok(news);
            }
            since = Some(updates.next);
        }
    }

    /// Writes the section, unless it is empty.
    pub(super) fn write(&self, json: &mut Json) {
        if self.users.is_empty() {
            return;
        }
        json.key("presence");
        json.open_object();
        json.key("events");
        json.open_array();
        for (user, update) in &self.users {
            json.open_object();
            json.key("type");
            json.text(KIND);
            json.key("sender");
            json.text(user.as_str());
            json.key("content");
            write_content(json, update);
            json.close_object();
        }
        json.close_array();
        json.close_object();
    }
}

fn write_content(json: &mut Json, update: &Update) {
    json.open_object();
    json.key("presence");
    json.text(update.state.as_str());
    if let Some(ago) = update.last_active_ago {
        json.key("last_active_ago");
        json.number(ago);
    }
    if let Some(text) = &update.status_msg {
        json.key("status_msg");
        json.text(text);
    }
    if let Some(active) = update.currently_active {
        json.key("currently_active");
        json.boolean(active);
    }
    json.close_object();
}

/// The rooms that the user has joined since the token: their members are told, whether or not they
/// changed.
fn new_rooms(context: &Context<'_>, own: &OwnRooms) -> Vec<RoomNumber> {
    if context.since.is_none() {
        return Vec::new();
    }
    let joined = own
        .rooms
        .iter()
        .filter(|room| room.row.membership == Membership::Join && context.is_new(room));
    joined.map(|room| room.number).collect()
}
