//! Guarantees of the real binary under failures: nothing acknowledged is lost, order is kept, a
//! backup is consistent.
//!
//! Every test starts its own server on a free loopback port with its own folder; `docs/testing.md`
//! has the variables.

mod backup;
mod chance;
mod client;
mod commands;
mod disk_syncs;
mod file_limit;
mod http;
mod kill;
mod one_time_keys;
mod order;
mod refused;
mod server;
mod transactions;
