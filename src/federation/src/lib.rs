//! This server among others: for now its name and its signing keys, with which it signs the events of its users.

mod keys;
mod tables;

pub use self::{
    keys::Keys,
    tables::{StoredKey, tables},
};
