//! Sessions of devices, and their tokens.
//!
//! A device has at most one session. A session has one pair of tokens, and after a refresh a second
//! pair until that is first used. So the number of tokens per device is bounded, and deleting a
//! device finds all of them.

mod authenticate;
mod login;
mod refresh;
mod revoke;
mod seen;
mod start;
mod token;

pub(crate) use crate::sessions::{
    authenticate::TokenCache, revoke::Revoked, seen::SeenBacklog, start::Prepared,
    token::hash as hash_token,
};
pub use crate::sessions::{
    authenticate::{Authenticated, Identity},
    login::LoggedIn,
    refresh::Renewed,
    start::{NewDevice, NewSession},
    token::{AccessToken, RefreshToken},
};
