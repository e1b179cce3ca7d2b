//! Endpoints, through the router, on the engine in memory, with a clock that tests move.

mod openid;
mod server;
