//! What a user stored about themselves and about rooms (client-server API, "Client Config"), tags and `m.fully_read` among
//! it.

use database::{RoomNumber, Snapshot};
use rooms_history::SyncToken;

use crate::{
    filter::Selection,
    json::Json,
    notifier::Changed,
    request::{SyncError, SyncRequest},
    sync::Parts,
};

/// What changed after the token; all there is, in an initial sync.
pub(super) struct AccountData(Vec<users::account_data::AccountData>);

/// What is written where there is no account data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfNone {
    Nothing,
    /// Who asks for everything learns that there is none.
    EmptyList,
}

impl AccountData {
    /// Reads nothing for a user who was told nothing since the token.
    pub(super) async fn read(
        parts: &Parts,
        db: &Snapshot,
        request: &SyncRequest,
        since: Option<SyncToken>,
    ) -> Result<Self, SyncError> {
        let user = request.user;
        let Some(since) = since else {
            return Ok(Self(
                parts
                    .users
                    .account_data_all(db, user, &request.user_id)
                    .await?,
            ));
        };
        match parts.notifier.user_changed(user, since.stamp) {
            Changed::No => Ok(Self(Vec::new())),
            Changed::Yes | Changed::Unknown => Ok(Self(
                parts
                    .users
                    .account_data_since(db, user, &request.user_id, since.stamp)
                    .await?,
            )),
        }
    }

    pub(super) fn speaks_of(&self, room: RoomNumber) -> bool {
        self.0.iter().any(|item| item.room == Some(room))
    }

    pub(super) fn write_global(&self, json: &mut Json, selection: &Selection) {
        self.write(json, None, selection, IfNone::Nothing);
    }

    pub(super) fn write_of_room(
        &self,
        json: &mut Json,
        room: RoomNumber,
        selection: &Selection,
        if_none: IfNone,
    ) {
        self.write(json, Some(room), selection, if_none);
    }

    fn write(
        &self,
        json: &mut Json,
        room: Option<RoomNumber>,
        selection: &Selection,
        if_none: IfNone,
    ) {
        let wanted = self
            .0
            .iter()
            .filter(|item| item.room == room && selection.allows_type(&item.kind));
        let mut wanted = wanted.take(selection.limit()).peekable();
        if wanted.peek().is_none() && if_none == IfNone::Nothing {
            return;
        }
        json.key("account_data");
        json.open_object();
        json.key("events");
        json.open_array();
        for item in wanted {
            json.open_object();
            json.key("type");
            json.text(&item.kind);
            json.key("content");
            json.raw(&item.content);
            json.close_object();
        }
        json.close_array();
        json.close_object();
    }
}
