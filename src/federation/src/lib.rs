//! This server among others: its signing keys and those of other servers, finding servers, and signed requests to and from
//! them. Knows nothing of rooms.
//!
//! * [`client`]: the guarded HTTP client, the only one of the server; [`dns`]: name resolution.
//! * [`discovery`]: from a server name to where it is found.
//! * [`Federation`]: the handle on all of it; [`authentication`]: signed requests, out and in.
//! * [`Keys`]: this server's keys; [`ServerKeys`]: those of others.

pub mod authentication;
pub mod client;
pub mod discovery;
pub mod dns;
mod flights;
mod keys;
mod policy;
mod requests;
mod tables;

pub use self::{
    keys::{
        DocumentError, FoundKeys, KeyDocument, KeyError, KeyRequests, Keys, ServerKey, ServerKeys,
        SigningKeyInUse, WantedKey,
    },
    policy::ServerPolicy,
    requests::{
        AnswerKind, Backoff, Federation, FederationConfig, FederationError, FederationPath,
        FederationScheme, OutgoingConfig, RemoteError, Urgency,
    },
    tables::{ServerKeyRow, ServerKeysRow, StoredKey, UnreachableRow, tables, unreachable},
};
