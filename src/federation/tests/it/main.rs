//! The HTTP client: its bounds over a transport in memory, and its transport over TLS on loopback.

mod client;
mod tls;
