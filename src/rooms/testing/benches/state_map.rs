//! The state of a room of 100,000 members: lookups, updates, differences, with all nodes in memory.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
};

use criterion::{Criterion, criterion_group, criterion_main};
use database::{RoomNumber, Store, StoreError};
use rooms_store::state_map::{EventNumber, StateKeyNumber, StateMaps, StateRoot};
use tokio::runtime::Runtime;

const ROOM: RoomNumber = RoomNumber(1);
const MEMBERS: u64 = 100_000;

fn member(number: u64) -> StateKeyNumber {
    StateKeyNumber((1 << 60) | (number % MEMBERS))
}

async fn update(
    store: &Store,
    maps: &StateMaps,
    root: StateRoot,
    changes: &[(StateKeyNumber, Option<EventNumber>)],
) -> StateRoot {
    let updated = store.transact::<_, StoreError, _>(|txn| async move {
        maps.update(&txn, ROOM, root, changes).await
    });
    updated.await.expect("an update").0
}

fn state_map(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let store = Store::memory();
    let maps = StateMaps::new(256 << 20);
    let all: Vec<_> = (0..MEMBERS)
        .map(|number| (member(number), Some(EventNumber(number))))
        .collect();
    let root = runtime.block_on(update(&store, &maps, StateRoot::EMPTY, &all));
    let db = runtime.block_on(store.snapshot()).expect("a snapshot");
    let mut next = 0_u64;

    criterion.bench_function("lookup", |bencher| {
        bencher.iter(|| {
            next = next.wrapping_add(7_919);
            runtime
                .block_on(maps.get(&db, ROOM, root, black_box(member(next))))
                .expect("a lookup")
        });
    });
    criterion.bench_function("update of one entry, committed to memory", |bencher| {
        bencher.iter(|| {
            next = next.wrapping_add(7_919);
            let change = [(member(next), Some(EventNumber(next)))];
            runtime.block_on(update(&store, &maps, root, black_box(&change)))
        });
    });
    criterion.bench_function("update of one entry, 100 in one transaction", |bencher| {
        let (maps, next) = (&maps, &AtomicU64::new(0));
        bencher.iter(|| {
            runtime.block_on(async {
                // The body is never committed: only the updates count.
                let aborted = store.transact::<(), StoreError, _>(|txn| async move {
                    let mut root = root;
                    for _ in 0..100 {
                        let number = next.fetch_add(7_919, Ordering::Relaxed);
                        let change = [(member(number), Some(EventNumber(number)))];
                        root = maps.update(&txn, ROOM, root, &change).await?;
                    }
                    Err(StoreError::Corrupt("on purpose"))
                });
                aborted.await.expect_err("aborted")
            })
        });
    });
    let changed = runtime.block_on(update(
        &store,
        &maps,
        root,
        &[(member(1), Some(EventNumber(0))), (member(50_000), None)],
    ));
    let db = runtime.block_on(store.snapshot()).expect("a snapshot");
    criterion.bench_function("difference of two entries", |bencher| {
        bencher.iter(|| {
            runtime
                .block_on(maps.diff(&db, ROOM, root, black_box(changed)))
                .expect("a difference")
        });
    });
    criterion.bench_function("list of 100,000", |bencher| {
        bencher.iter(|| {
            runtime
                .block_on(maps.list(&db, ROOM, black_box(root)))
                .expect("a list")
        });
    });
}

criterion_group!(benches, state_map);
criterion_main!(benches);
