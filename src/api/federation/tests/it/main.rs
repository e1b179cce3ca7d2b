//! Endpoints, through the router, on the engine in memory, with a clock that tests move.

mod discovery;
mod keys;
mod network;
mod openid;
mod server;
mod servers;
mod sharing;
mod signatures;
mod transactions;
