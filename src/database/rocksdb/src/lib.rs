//! The RocksDB engine of `database`: the only crate that names rocksdb.
//!
//! One column family holds all tables, each under a number of two bytes. One thread commits
//! (`committer`); readers share the view that it published last (`view`).

mod backup;
mod base;
mod check;
mod committer;
mod disk;
mod engine;
mod error;
mod health;
mod identity;
mod late_view;
mod layout;
mod log_file;
mod manifest;
mod options;
mod queue;
mod rocks_disk;
mod snapshot;
mod verify;
mod view;
mod witness;

pub use self::{
    backup::{Restore, Restored, restore},
    check::{Checked, Repair, Repaired, check, repair_logs},
    engine::RocksEngine,
    error::OpenError,
    health::Health,
    identity::{SCHEMA_VERSION, check as check_identity},
    options::Options,
    verify::Torn,
};
