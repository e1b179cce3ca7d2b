//! This server among others: its signing keys, with which it signs the events of its users, and the guarded HTTP client.

pub mod client;
pub mod dns;
mod keys;
mod tables;

pub use self::{
    keys::Keys,
    tables::{StoredKey, tables},
};
