//! Aliases of other servers (server-server API, "Querying for information").

use std::time::Duration;

use database::Millis;
use federation::{AnswerKind, FederationError, Urgency};
use quick_cache::sync::Cache;
use rooms_store::RoomError;
use ruma::{
    OwnedRoomId, OwnedServerName, RoomAliasId, api::federation::query::get_room_information,
};

use crate::{handle::RemoteRooms, join::refusal};

/// How long an answer is used. An alias seldom moves; who creates one wants to see it soon.
const KEPT: Duration = Duration::from_mins(1);
/// Bound of the cache: each entry at most `MOST_SERVERS` names.
const MOST_KEPT: usize = 1_000;
const MOST_SERVERS: usize = 50;

/// The room that an alias points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedAlias {
    pub room_id: OwnedRoomId,
    /// Servers that may know the room.
    pub servers: Vec<OwnedServerName>,
}

/// Owner: `RemoteRooms`.
pub(crate) struct Aliases(Cache<String, (Millis, ResolvedAlias)>);

impl Aliases {
    pub(crate) fn new() -> Self {
        Self(Cache::new(MOST_KEPT))
    }
}

impl RemoteRooms {
    /// Looks an alias up, on its own server.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<ResolvedAlias, RoomError> {
        let own = self.rooms().server_name();
        if alias.server_name() == own {
            return Ok(ResolvedAlias {
                room_id: self.directory().resolve_alias(alias).await?,
                servers: vec![own.to_owned()],
            });
        }
        let now = self.0.needs.clock.now();
        if let Some((at, known)) = self.0.aliases.0.get(alias.as_str())
            && now.since(at) < KEPT
        {
            return Ok(known);
        }
        let request = get_room_information::v1::Request::new(alias.to_owned());
        let (small, urgency) = (AnswerKind::Small, Urgency::Now);
        let server = alias.server_name();
        let answer = self
            .federation()
            .request(server, request, small, urgency)
            .await;
        let mut answer = answer.map_err(|error| match error {
            FederationError::Refused { error, .. }
                if error.status == http::StatusCode::NOT_FOUND =>
            {
                RoomError::UnknownAlias
            }
            error => refusal(error),
        })?;
        answer.servers.truncate(MOST_SERVERS);
        let resolved = ResolvedAlias {
            room_id: answer.room_id,
            servers: answer.servers,
        };
        let row = (now, resolved.clone());
        self.0.aliases.0.insert(alias.as_str().to_owned(), row);
        Ok(resolved)
    }
}
