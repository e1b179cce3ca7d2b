//! Typed tables, transactions and snapshots over an exchangeable engine; an engine in memory.
//!
//! Declare a [`Table`] as a `static`, read it through [`Read`] on a [`Snapshot`] or a [`Txn`],
//! change it in [`Store::transact`]. `docs/database.md` describes the tables of all parts.

mod clock;
pub mod engine;
mod error;
mod key;
pub mod memory;
mod numbers;
mod random;
mod read;
pub mod recent;
pub mod server_log;
mod stamp;
mod store;
mod table;
mod txn;
mod value;

pub use self::{
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
    value::{Record, Value},
};

/// The tables that this crate writes.
pub fn tables() -> Vec<TableInfo> {
    vec![NUMBER_BLOCKS.info(), server_log::SERVER_LOG.info()]
}

#[cfg(test)]
mod tests {
    use super::*;

    static T: Table<(RoomNumber, String, u64), Placed<u64>> = Table::new("t");
    static L: Table<(RoomNumber, Position), String> = Table::new("l");
    static N: Table<String, UserNumber> = Table::new("n");
    static R: Table<UserNumber, String> = Table::new("r");

    #[tokio::test]
    async fn smoke() {
        let store = Store::memory();
        let names = Interner::new(&store, &N, &R, "users");
        let names = &names;
        let key = "a".to_owned();
        let key = &key;
        let room = RoomNumber(7);
        let (user, stamp) = store
            .transact::<_, StoreError, _>(|txn| async move {
                let slot = txn.slot();
                txn.put_placed(T.at((room, key, 1)), &5, slot);
                txn.append(L.end(room), slot, &"x".to_owned());
                server_log::tell(&txn, slot, server_log::Concern::Room(room));
                names.intern(&txn, "@a:b").await
            })
            .await
            .expect("commit");
        let db = store.snapshot().await.expect("snapshot");
        assert_eq!(db.page(T.under(room), 10).await.expect("page").len(), 1);
        assert_eq!(db.page(T.under((room, "a")), 10).await.expect("page").len(), 1);
        assert_eq!(db.page(T.under((room, key)), 10).await.expect("page").len(), 1);
        assert_eq!(db.page(L.under(room).after((room, Position(stamp, 0))), 10).await, Ok(vec![]));
        assert_eq!(names.text(&db, user).await.expect("text").as_deref(), Some("@a:b"));
        assert_eq!(db.page(server_log::SERVER_LOG.all(), 9).await.expect("page").len(), 1);
    }
}
