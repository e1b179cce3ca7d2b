//! Endpoints, through the router, on the engine in memory, with a clock that tests move.

mod discovery;
mod guest;
mod joins;
mod keys;
mod media;
mod membership;
mod network;
mod openid;
mod reading;
mod server;
mod servers;
mod sharing;
mod signatures;
mod transactions;
