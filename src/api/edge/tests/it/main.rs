//! The HTTP layer over real loopback connections, with endpoints that exist for these tests.

mod api;
mod attacks;
mod client;
mod limits;
mod raw;
mod streams;
