//! Why a request to another server failed.

use database::{Millis, StoreError};
use http::StatusCode;
use ruma::{OwnedServerName, api::error::ErrorCode};
use serde::Deserialize;

use crate::{authentication::SignError, client::ClientError};

#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// By the operator's settings, or because it is this server.
    #[error("this server does not federate with {0}")]
    NotAllowed(OwnedServerName),
    /// It did not answer before.
    #[error("{server} does not answer and is not tried now")]
    BackingOff {
        server: OwnedServerName,
        until: Millis,
    },
    #[error("{server} cannot be reached: {error}")]
    Unreachable {
        server: OwnedServerName,
        error: ClientError,
    },
    /// This process has too much to do; it says nothing of the other server.
    #[error("there are too many outgoing requests")]
    Busy,
    /// It answered with an error. The text is the other server's: it is for the log, and never passed on as ours.
    #[error("{server} refused the request: {error}")]
    Refused {
        server: OwnedServerName,
        error: RemoteError,
    },
    #[error("{server} answered with something else: {reason}")]
    Malformed {
        server: OwnedServerName,
        reason: String,
    },
    /// The request cannot be written or signed.
    #[error("the request cannot be sent: {0}")]
    Request(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The error of another server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("status {status}, {errcode:?}: {message}")]
pub struct RemoteError {
    pub status: StatusCode,
    /// `None` where the answer is not an error of Matrix.
    pub errcode: Option<ErrorCode>,
    /// Cut at 500 bytes.
    pub message: String,
    /// The whole body, for errors that say more, such as the room version of `M_INCOMPATIBLE_ROOM_VERSION`.
    pub body: serde_json::Value,
}

const LONGEST_MESSAGE: usize = 500;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    errcode: Option<String>,
    error: Option<String>,
}

impl RemoteError {
    pub(super) fn of(status: StatusCode, body: &[u8]) -> Self {
        let form: Form = serde_json::from_slice(body).unwrap_or_default();
        let mut message = form.error.unwrap_or_default();
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        Self {
            status,
            errcode: form.errcode.map(ErrorCode::from),
            message,
            body: serde_json::from_slice(body).unwrap_or_default(),
        }
    }

    /// Whether the server as a whole has a problem, not the request.
    pub(super) fn is_of_server(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

impl From<SignError> for FederationError {
    fn from(error: SignError) -> Self {
        Self::Request(error.to_string())
    }
}
