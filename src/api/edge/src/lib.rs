//! The edge of the house: what every HTTP API of the server needs, so that an endpoint is only "parse, one domain call, respond".
//!
//! [`Call`] says who asks for what; [`Routes`] is the list of endpoints; [`ApiError`] is how a request is refused;
//! [`Edge`] answers requests (CORS, request ids, the request log, rate limits, panics) and [`serve`] speaks HTTP/1.1.
//!
//! There is no framework between hyper and an endpoint: a client that waits in a long poll costs one connection task and
//! one boxed future, and its request's headers are freed before it waits.

mod address;
mod answer;
mod body;
mod call;
mod caller;
mod cors;
mod error;
mod gate;
mod handler;
mod limits;
mod log;
mod pages;
mod raw_call;
mod routes;
mod serve;
mod servers;
mod service;
mod stall;
mod tls;

pub use address::{ClientAddress, Network, NetworkError, TrustedProxies};
pub use answer::{Body, Empty, Json, RawJson, Respond, Response, Whole};
pub use body::{BodyLimits, Payload};
pub use call::Call;
#[doc(hidden)]
pub use call::Exchange;
pub use caller::{Anonymous, Caller, Scheme, User};
pub use error::ApiError;
pub use gate::Gate;
pub use handler::{FromRef, Handler, Input, State};
pub use limits::{Class, Rate, RateLimits};
pub use pages::{Cut, JsonPages, PageSource, Pages};
pub use raw_call::{BodyStream, RawCall};
pub use routes::{Routes, Rule};
pub use serve::{Connections, Patience, serve, serve_tls};
pub use servers::{Claiming, Server, ServerClaim, Servers};
pub use service::Edge;
