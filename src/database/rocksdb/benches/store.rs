//! What one read and one commit cost through the typed layer, on a real disk.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use database::{Placed, Position, Read, Store, StoreError, Table, UserNumber};
use database_rocksdb::{Options, RocksEngine};
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

static ROWS: Table<(u64, UserNumber), Placed<u64>> = Table::new("rows");
static LOG: Table<(u64, Position), String> = Table::new("log");

async fn fill(store: &Store) {
    for room in 0..100_u64 {
        let fill = store.transact(|txn| async move {
            for user in 0..100 {
                txn.put_placed(ROWS.at((room, UserNumber(user))), &user, txn.slot());
                txn.append(LOG.end(room), txn.slot(), &"x".repeat(400));
            }
            Ok::<_, StoreError>(())
        });
        fill.await.expect("a commit");
    }
}

async fn commit(store: &Store, room: u64) {
    let commit = store.transact(|txn| async move {
        txn.get(ROWS.at((room, UserNumber(0)))).await?;
        let slot = txn.slot();
        txn.append(LOG.end(room), slot, &"x".repeat(400));
        for user in 0..5 {
            txn.put_placed(ROWS.at((room, UserNumber(user))), &1, slot);
        }
        Ok::<_, StoreError>(())
    });
    commit.await.expect("a commit");
}

fn reads(criterion: &mut Criterion, runtime: &Runtime, store: &Store, name: &str) {
    let db = runtime.block_on(store.snapshot()).expect("a snapshot");
    let mut key = 0_u64;
    let mut next = move || {
        key = (key + 7919) % 10_000;
        (key / 100, UserNumber(key % 100))
    };
    let mut group = criterion.benchmark_group(name);
    group.bench_function("get", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(db.get(ROWS.at(next())))));
    });
    group.bench_function("get absent", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(db.get(ROWS.at((next().0, UserNumber(500)))))));
    });
    group.bench_function("get 50 at once", |bencher| {
        bencher.iter(|| {
            let rows = (0..50).map(|_| ROWS.at(next())).collect();
            black_box(runtime.block_on(db.get_many(rows)))
        });
    });
    group.bench_function("page of 50", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(db.page(LOG.under(next().0), 50))));
    });
    group.bench_function("snapshot", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(store.snapshot())));
    });
    group.finish();
}

fn commits(criterion: &mut Criterion, runtime: &Runtime, store: &Store) {
    let mut group = criterion.benchmark_group("commit");
    group.measurement_time(Duration::from_secs(5));
    for writers in [1_u64, 64] {
        group.throughput(Throughput::Elements(writers));
        group.bench_function(BenchmarkId::new("at once", writers), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for writer in 0..writers {
                        let store = store.clone();
                        tasks.spawn(async move { commit(&store, writer).await });
                    }
                    tasks.join_all().await;
                });
            });
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let engine = RocksEngine::open(&Options::new(&path, TaskTracker::new())).expect("it opens");
    runtime.block_on(fill(&engine.store()));
    reads(criterion, &runtime, &engine.store(), "memtable");
    // A checkpoint flushes, so from here on rows come from blocks.
    engine
        .checkpoint(&folder.path().join("copy"))
        .expect("a checkpoint");
    reads(criterion, &runtime, &engine.store(), "blocks");
    commits(criterion, &runtime, &engine.store());
    let memory = Store::memory();
    runtime.block_on(fill(&memory));
    reads(criterion, &runtime, &memory, "memory engine");
}

criterion_group!(all, benches);
criterion_main!(all);
