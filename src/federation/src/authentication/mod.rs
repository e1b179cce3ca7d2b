//! Signed requests (server-server API, "Request Authentication"): [`sign`] makes the `Authorization` header of a request that
//! this server sends; [`XMatrix`] is the header of one that comes in, and [`Claim`] what it claims until the body is there.
//!
//! A signature covers method, path with query, both server names and the body. It has no time and no nonce, so the same
//! request can be sent again by whoever has seen it: TLS keeps others from seeing it, and what must happen once is bound to
//! a transaction id or an event id.

mod claim;
mod header;
mod sign;

pub use self::{
    claim::{Claim, ClaimError},
    header::{HeaderError, XMatrix},
    sign::{SignError, sign},
};
