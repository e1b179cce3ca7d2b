//! What a client asks of `/sync`, and what can go wrong.

use std::{sync::Arc, time::Duration};

use database::{StoreError, UserNumber};
use presence::SetPresence;
use rooms_history::SyncToken;
use rooms_store::RoomError;
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::filter::Filter;

/// One request. It is what stays in memory while a client waits, so it is small.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    pub user_id: OwnedUserId,
    pub user: UserNumber,
    pub device: OwnedDeviceId,
    /// `None` for an initial sync.
    pub since: Option<SyncToken>,
    pub filter: Arc<Filter>,
    pub full_state: bool,
    pub state_after: StateAfter,
    pub set_presence: SetPresence,
    /// Whether rooms are told with how many of their members are online.
    pub online: bool,
    /// How long to wait for news, if there are none.
    pub timeout: Duration,
}

/// Whether the state after the timeline is asked for instead of that before it, and under which name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateAfter {
    #[default]
    No,
    Stable,
    /// MSC4222.
    Unstable,
    Both,
}

impl StateAfter {
    /// As the two query parameters say.
    pub fn asked(stable: bool, unstable: bool) -> Self {
        match (stable, unstable) {
            (false, false) => Self::No,
            (true, false) => Self::Stable,
            (false, true) => Self::Unstable,
            (true, true) => Self::Both,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The token is from a later time than now.
    #[error("since is not a token of this server")]
    BadToken,
    #[error("too many requests of this device wait for something new")]
    TooManyOpen,
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
