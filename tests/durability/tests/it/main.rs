//! The guarantees of the real binary under faults: nothing acknowledged is lost, order holds, a
//! backup is complete.
//!
//! Every test starts its own server on a free loopback port with its own folder; `docs/testing.md`
//! has the variables.

mod backup;
mod chance;
mod client;
mod commands;
mod damaged;
mod disk_syncs;
mod file_limit;
mod http;
mod kill;
mod one_time_keys;
mod order;
mod refused;
mod server;
mod transactions;
mod uploads;
