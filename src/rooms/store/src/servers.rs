//! Servers in rooms.

use database::{Read, RoomNumber, StoreError};
use ruma::{OwnedServerName, ServerName};

use crate::{
    handle::RoomStore,
    tables::{ROOM_SERVERS, SERVER_ROOMS},
};

impl RoomStore {
    /// Whether a user of the server has joined the room.
    pub async fn is_server_joined(
        &self,
        db: &impl Read,
        room: RoomNumber,
        server: &ServerName,
    ) -> Result<bool, StoreError> {
        db.exists(ROOM_SERVERS.at((room, server.as_str()))).await
    }

    /// The servers in a room, this one included, by name; at most `limit`, after the server `after`.
    pub async fn servers_in_room(
        &self,
        db: &impl Read,
        room: RoomNumber,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<OwnedServerName>, StoreError> {
        let rows = ROOM_SERVERS.under(room);
        let rows = match after {
            Some(after) => rows.after((room, after.as_str())),
            None => rows,
        };
        let page = db.page(rows, limit).await?.into_iter();
        Ok(page
            .filter_map(|((_, name), _)| OwnedServerName::try_from(name).ok())
            .collect())
    }

    /// The rooms that a server is in; at most `limit`, after the room `after`.
    pub async fn rooms_of_server(
        &self,
        db: &impl Read,
        server: &ServerName,
        after: Option<RoomNumber>,
        limit: usize,
    ) -> Result<Vec<RoomNumber>, StoreError> {
        let rows = SERVER_ROOMS.under(server.as_str());
        let rows = match after {
            Some(after) => rows.after((server.as_str(), after)),
            None => rows,
        };
        let page = db.page(rows, limit).await?.into_iter();
        Ok(page.map(|((_, room), ())| room).collect())
    }
}
