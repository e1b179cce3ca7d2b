//! Servers that talk over a network in memory, with a clock that tests move; and the HTTP client over TLS on loopback.

mod client;
mod discovery;
mod keys;
mod network;
mod requests;
mod server;
mod tls;
