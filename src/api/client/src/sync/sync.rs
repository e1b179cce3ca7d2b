//! `GET /sync`: client-server API, "Syncing".
//!
//! An own request type: ruma's has no `org.matrix.msc4222.use_state_after`, which clients send when
//! they do not check whether the server supports version 1.16.

use std::{sync::Arc, time::Duration};

use edge::{ApiError, Call, RawJson, State, User, own_request};
use presence::SetPresence;
use rooms_history::SyncToken;
use rooms_store::RoomError;
use ruma::{
    api::{
        auth_scheme::AccessToken,
        client::{filter::FilterDefinition, sync::sync_events::v3::Response},
    },
    metadata,
};
use serde::Deserialize;
use sync::{Filter, StateAfter, Sync, SyncError, SyncRequest};
use users::Users;

#[derive(Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the parameters of the query"
)]
pub(super) struct SyncQuery {
    since: Option<String>,
    filter: Option<String>,
    #[serde(default)]
    full_state: bool,
    timeout: Option<u64>,
    #[serde(default)]
    set_presence: SyncPresence,
    #[serde(default, rename = "chat.aqueduct.online")]
    online: bool,
    #[serde(default)]
    use_state_after: bool,
    #[serde(default, rename = "org.matrix.msc4222.use_state_after")]
    unstable_use_state_after: bool,
}

/// The presence that the sync gives to its device.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SyncPresence {
    #[default]
    Online,
    Unavailable,
    Offline,
}

metadata! {
    @for SyncQuery,
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/sync",
        1.1 => "/_matrix/client/v3/sync",
    }
}

own_request!(SyncQuery => Response, |input| input.query());

pub(super) async fn sync(
    State(sync): State<Sync>,
    State(users): State<Users>,
    call: Call<SyncQuery>,
) -> Result<RawJson, ApiError> {
    // While the client waits, only what `asked` returns stays in memory.
    let request = Box::pin(asked(&users, call)).await?;
    drop(users);
    sync.sync(request).await.map(RawJson).map_err(refuse)
}

async fn asked(users: &Users, call: Call<SyncQuery>) -> Result<SyncRequest, ApiError> {
    let Call {
        caller,
        request: query,
        ..
    } = call;
    let since = match query.since.as_deref() {
        None | Some("") => None,
        Some(token) => Some(
            token
                .parse::<SyncToken>()
                .map_err(ApiError::invalid_param)?,
        ),
    };
    let filter = filter(users, &caller, query.filter.as_deref()).await?;
    Ok(SyncRequest {
        user: caller.number,
        user_id: caller.user_id.clone(),
        device: caller.device_id.clone(),
        since,
        filter,
        full_state: query.full_state,
        state_after: StateAfter::asked(query.use_state_after, query.unstable_use_state_after),
        set_presence: match query.set_presence {
            SyncPresence::Online => SetPresence::Online,
            SyncPresence::Unavailable => SetPresence::Unavailable,
            SyncPresence::Offline => SetPresence::Offline,
        },
        online: query.online,
        timeout: Duration::from_millis(query.timeout.unwrap_or_default()),
    })
}

/// A filter is JSON, or the id of one that was stored.
async fn filter(
    users: &Users,
    caller: &User,
    filter: Option<&str>,
) -> Result<Arc<Filter>, ApiError> {
    match filter {
        None | Some("") => Ok(Filter::everything()),
        Some(json) if json.starts_with('{') => {
            let filter: FilterDefinition =
                serde_json::from_str(json).map_err(ApiError::invalid_param)?;
            Ok(Arc::new(Filter::from(&filter)))
        }
        Some(id) => {
            let db = users.snapshot().await?;
            let filter = users.filter(&db, caller.number, id).await?;
            let filter = filter.ok_or_else(|| ApiError::invalid_param("No such filter"))?;
            Ok(Arc::new(Filter::from(&*filter)))
        }
    }
}

/// For a device with too many open requests.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub(crate) fn refuse(error: SyncError) -> ApiError {
    match error {
        SyncError::BadToken => ApiError::invalid_param(error),
        SyncError::TooManyOpen => ApiError::limit_exceeded(RETRY_AFTER),
        SyncError::Store(error) | SyncError::Room(RoomError::Store(error)) => error.into(),
        SyncError::Room(error) => ApiError::internal(error),
    }
}
