//! Sessions: who is logged in on which device, and the tokens that say so.
//!
//! A device has at most one session; a session has one pair of tokens, and a second pair from a refresh until that is first
//! used. So what a device can have is bounded, and ending a device finds all of its tokens.

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
