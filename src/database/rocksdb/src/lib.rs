//! The RocksDB engine of `database`: the only crate that names rocksdb.
//!
//! One column family holds all tables, each under a number of two bytes. One thread commits
//! (`committer`); readers share the view that it published last (`view`).

mod backup;
mod base;
mod committer;
mod engine;
mod error;
mod health;
mod identity;
mod layout;
mod options;
mod queue;
mod snapshot;
mod view;

pub use self::{
    backup::{Restore, Restored, restore},
    engine::RocksEngine,
    error::OpenError,
    health::Health,
    identity::{SCHEMA_VERSION, check as check_identity},
    options::Options,
};
