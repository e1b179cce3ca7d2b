//! The HTTP client that previews, scanners and object stores are reached by: a trait, so that
//! addresses are guarded in one place and tests need no network.

use std::{fmt, io};

use bytes::Bytes;
use database::engine::BoxFuture;

use crate::storage::Bits;

/// Sends requests to addresses that somebody else chose. Implemented by federation's guarded
/// client.
pub trait HttpClient: fmt::Debug + Send + Sync {
    /// Follows redirects only where `request` allows that. Times out by itself.
    fn send(&self, request: ClientRequest) -> BoxFuture<'static, io::Result<ClientResponse>>;
}

/// A request to a whole URL.
#[derive(Debug)]
pub struct ClientRequest {
    pub request: http::Request<ClientBody>,
    pub redirects: Redirects,
}

pub enum ClientBody {
    Whole(Bytes),
    Stream { size: u64, bits: Bits },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    Follow,
    Return,
}

pub type ClientResponse = http::Response<Bits>;

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            Self::Stream { size, .. } => write!(f, "Stream({size})"),
        }
    }
}
