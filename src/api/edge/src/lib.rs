//! The HTTP layer that every API of the server shares, built on axum: an endpoint only parses,
//! makes one domain call and responds.
//!
//! [`Routes`] is the list of endpoints, turned into an axum `Router`; [`Call`] is the extractor
//! that authenticates, applies the limits and decodes the body; [`ApiError`] is the spec's error
//! response; [`Edge`] answers requests (CORS, request ids, the request log); [`serve`] runs
//! connections.
//!
//! Most connections wait in a long poll. Such a request holds the axum route's future and one boxed
//! handler future: no middleware adds a future of its own, and the head of the request is freed
//! before the handler runs.

mod address;
mod body;
mod budget;
mod call;
mod caller;
mod connections;
mod context;
mod cors;
mod decode;
mod endpoint;
mod error;
mod handler;
mod limits;
mod log;
mod pages;
mod parse;
mod raw_call;
mod response;
mod routes;
mod serve;
mod servers;
mod service;
mod stall;
mod tls;

pub use axum::{
    body::Body,
    extract::{FromRef, State},
};

pub use address::{ClientAddress, Network, NetworkError, TrustedProxies};
pub use body::BodyLimits;
pub use budget::InFlightLimits;
pub use call::Call;
pub use caller::{Anonymous, Caller, Scheme, User};
pub use connections::{ConnectionLimits, ConnectionTimeouts, Connections};
pub use context::{EdgeContext, EdgeSettings, Operator};
pub use decode::RequestInput;
pub use error::ApiError;
pub use handler::{Handler, Input};
pub use limits::{Class, Rate, RateLimits};
pub use pages::{Interrupted, JsonPages, PageSource};
pub use raw_call::{BodyStream, RawCall};
pub use response::{AxumResponse, Empty, Json, RawJson, Respond, Response};
pub use routes::{EndpointInfo, Routes, Rule};
pub use serve::{serve, serve_tls};
pub use servers::{Claiming, Server, ServerClaim, Servers};
pub use service::Edge;

/// For the expansion of [`own_request`].
#[doc(hidden)]
pub mod reexported {
    pub use http;
    pub use ruma;
}
