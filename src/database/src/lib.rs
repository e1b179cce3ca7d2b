//! Typed tables, transactions and snapshots over an exchangeable engine; an engine in memory.
//!
//! Declare a [`Table`] as a `static`, read it through [`Read`] on a [`Snapshot`] or a [`Txn`],
//! change it in [`Store::transact`]. `docs/database.md` describes the tables of all parts.

pub mod blocking;
mod clock;
pub mod engine;
mod error;
pub mod follow;
pub mod hash;
mod key;
pub mod memory;
pub mod migrate;
mod numbers;
mod random;
mod read;
pub mod recent;
pub mod server_log;
pub mod sizes;
mod stamp;
mod store;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod txn;
mod value;

pub use self::{
    blocking::{Blocking, BlockingPool, Inline},
    clock::{Clock, Millis, MockClock, SystemClock},
    engine::Order,
    error::StoreError,
    key::{Key, KeyPart, LogKey, NumberKey, PartRef, PrefixOf},
    memory::Memory,
    numbers::{Allocator, Interner, NUMBER_BLOCKS, RoomNumber, UserNumber},
    random::{Random, SeededRandom, SystemRandom},
    read::{Read, Snapshot},
    stamp::{Placed, Position, Slot, Stamp},
    store::Store,
    table::{LogEnd, Row, Rows, Table, TableInfo},
    txn::Txn,
    value::{Record, Value, decode_form},
};

/// The tables that this crate writes.
pub fn tables() -> Vec<TableInfo> {
    vec![
        NUMBER_BLOCKS.info(),
        server_log::SERVER_LOG.info(),
        follow::CURSORS.info(),
        migrate::MIGRATIONS.info(),
    ]
}
