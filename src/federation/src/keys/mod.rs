//! Signing keys (server-server API, "Retrieving server keys"): [`Keys`] are this server's own,
//! [`ServerKeys`] those of others.
//!
//! What is signed here: events that this server built, requests that it sends, its own key document, and as a
//! notary the key documents of others ([`KeyDocument`], which only its check constructs).

mod document;
mod fetch;
mod known;
mod learn;
mod notary;
mod own;
mod publish;
mod retry;
mod server_keys;
mod validity;

pub use self::{
    document::{DocumentError, KeyDocument},
    fetch::KeyRequests,
    own::{Keys, SigningKeyInUse},
    server_keys::{FoundKeys, KeyError, ServerKeys, WantedKey},
    validity::ServerKey,
};
pub(crate) use self::{
    document::{decode, is_key_id},
    validity::public_key,
};
