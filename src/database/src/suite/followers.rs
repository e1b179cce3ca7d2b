//! The server's log and its followers; migrations.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    engine::BoxFuture,
    error::StoreError,
    follow::{Begin, Follower},
    migrate::{self, Migration, Progress},
    numbers::{RoomNumber, UserNumber},
    read::Read,
    server_log::{self, Concern, SERVER_LOG},
    stamp::{Position, Stamp},
    store::Store,
    suite::{COUNTS, ROOM, Result, db, get_count, page, write},
    table::Table,
    txn::Txn,
};

async fn tell(store: &Store, concerns: &[Concern]) -> Stamp {
    write(store, |txn| {
        for concern in concerns {
            server_log::tell(txn, txn.slot(), *concern);
        }
    })
    .await
}

pub async fn one_commit_tells_each_concern_once(store: &Store) {
    let (room, user) = (Concern::Room(ROOM), Concern::User(UserNumber(1)));
    let list = Concern::DeviceList(UserNumber(1));
    let stamp = write(store, |txn| {
        let slot = txn.slot();
        server_log::tell(txn, slot, room);
        server_log::tell(txn, slot, user);
        server_log::tell(txn, txn.slot(), room);
        server_log::tell(txn, slot, list);
    })
    .await;
    let entries = page(&db(store).await, SERVER_LOG.all(), 10).await;
    assert!(entries.iter().all(|(position, _)| position.0 == stamp));
    let told: Vec<_> = entries.into_iter().map(|(_, concern)| concern).collect();
    assert_eq!(told.len(), 3);
    assert!(
        [room, user, list]
            .iter()
            .all(|concern| told.contains(concern))
    );
}

static NOTES: Table<Position, u64> = Table::new("suite_notes");

/// The mechanism below [`server_log::tell`], on a log that has nothing to do with it.
pub async fn a_value_enters_a_log_once_per_commit(store: &Store) {
    let append = |txn: &Txn| {
        let slot = txn.slot();
        txn.append_once(NOTES.end(()), slot, &1);
        txn.append_once(NOTES.end(()), slot, &1);
        txn.append_once(NOTES.end(()), slot, &2);
        txn.append_once(SERVER_LOG.end(()), slot, &Concern::Room(ROOM));
    };
    write(store, append).await;
    write(store, append).await;
    let notes = page(&db(store).await, NOTES.all(), 10).await;
    let values: Vec<_> = notes.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, [1, 2, 1, 2]);
    let log = page(&db(store).await, SERVER_LOG.all(), 10).await;
    assert_eq!(log[0].0, notes[0].0, "another log keeps the slot");
}

pub async fn a_follower_waits_and_resumes_at_its_cursor(store: &Store) {
    tell(store, &[Concern::Room(RoomNumber(1))]).await;
    let mut follower = Follower::open(store, "suite", Begin::Newest)
        .await
        .expect("a follower");
    let two = [Concern::Room(RoomNumber(2)), Concern::Room(RoomNumber(3))];
    let (entries, stamp) = tokio::join!(follower.next(1), tell(store, &two));
    let entries = entries.expect("entries");
    assert_eq!(
        entries
            .iter()
            .map(|(_, concern)| *concern)
            .collect::<Vec<_>>(),
        two
    );

    let to = entries[1].0;
    assert_eq!(to.0, stamp);
    let this = &follower;
    let effects = store.transact(|txn| async move {
        txn.put(COUNTS.at(1), &1);
        this.advance(&txn, to);
        Result::Ok(())
    });
    effects.await.expect("a commit");
    follower.reached(to);

    tell(store, &[Concern::User(UserNumber(4))]).await;
    let mut again = Follower::open(store, "suite", Begin::Oldest)
        .await
        .expect("a follower");
    assert_eq!(again.cursor(), to);
    let entries = again.next(10).await.expect("entries");
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].1, Concern::User(UserNumber(4)));
    again.skip_to(entries[0].0).await.expect("a commit");
    let nothing = tokio::time::timeout(Duration::from_millis(20), again.next(10)).await;
    assert!(nothing.is_err(), "it waits");
}

pub async fn trimming_spares_what_a_follower_still_needs(store: &Store) {
    let mut slow = Follower::open(store, "slow", Begin::Oldest)
        .await
        .expect("a follower");
    let mut fast = Follower::open(store, "fast", Begin::Oldest)
        .await
        .expect("a follower");
    let mut stamps = Vec::new();
    for number in 0..100 {
        stamps.push(tell(store, &[Concern::Room(RoomNumber(number))]).await);
    }
    slow.skip_to(Position(stamps[40], 0))
        .await
        .expect("a commit");
    fast.skip_to(Position(stamps[90], 0))
        .await
        .expect("a commit");
    server_log::trim(store, Position::MAX)
        .await
        .expect("a commit");
    let left = page(&db(store).await, SERVER_LOG.all(), 1000).await;
    assert_eq!(left.len(), 60);
    slow.skip_to(Position(stamps[99], 0))
        .await
        .expect("a commit");
    server_log::trim(store, Position(stamps[50], 0))
        .await
        .expect("a commit");
    let left = page(&db(store).await, SERVER_LOG.all(), 1000).await;
    assert_eq!(left[0].0, Position(stamps[50], 0));
}

const DOUBLE: Migration = Migration {
    name: "suite_double",
    step: double,
};

/// Doubles all counts, three at a time.
fn double<'a>(txn: &'a Txn, place: &'a [u8]) -> BoxFuture<'a, Result<Progress>> {
    Box::pin(async move {
        let rows = match place.try_into() {
            Ok(last) => COUNTS.all().after(u64::from_be_bytes(last)),
            Err(_) => COUNTS.all(),
        };
        let chunk = txn.page(rows, 3).await?;
        for (key, count) in &chunk {
            if *count == 666 {
                return Err(StoreError::Corrupt("count"));
            }
            txn.put(COUNTS.at(*key), &(count * 2));
        }
        Ok(match chunk.last() {
            Some((last, _)) => Progress::At(last.to_be_bytes().to_vec()),
            None => Progress::Done,
        })
    })
}

const AFTERWARDS: Migration = Migration {
    name: "suite_afterwards",
    step: afterwards,
};

fn afterwards<'a>(txn: &'a Txn, _: &'a [u8]) -> BoxFuture<'a, Result<Progress>> {
    Box::pin(async move {
        txn.put(COUNTS.at(1000), &1);
        Ok(Progress::Done)
    })
}

/// Runs both migrations and returns the names of the checkpoints.
async fn migrate(store: &Store) -> (Vec<&'static str>, bool) {
    let checkpoints = Mutex::new(Vec::new());
    let checkpoint = async |name| {
        lock(&checkpoints).push(name);
        Result::Ok(())
    };
    let result = migrate::run(store, &[DOUBLE, AFTERWARDS], checkpoint).await;
    (lock(&checkpoints).clone(), result.is_ok())
}

pub async fn a_migration_runs_once_in_chunks_after_its_checkpoint(store: &Store) {
    write(store, |txn| {
        (0..10).for_each(|key| txn.put(COUNTS.at(key), &key));
    })
    .await;
    write(store, |txn| txn.put(COUNTS.at(7), &666)).await;
    // It is interrupted in the third chunk ...
    assert_eq!(migrate(store).await, (vec!["suite_double"], false));
    assert_eq!(get_count(store, 5).await, Some(10));
    assert_eq!(get_count(store, 6).await, Some(6));
    assert_eq!(migrate(store).await, (vec![], false));
    // ... and resumes there, with no second checkpoint, which would hold half a migration.
    write(store, |txn| txn.put(COUNTS.at(7), &7)).await;
    assert_eq!(migrate(store).await, (vec!["suite_afterwards"], true));
    assert_eq!(migrate(store).await, (vec![], true));
    let doubled: Vec<_> = (0..10).map(|key| (key, key * 2)).collect();
    let rows = COUNTS.all().before(1000);
    assert_eq!(page(&db(store).await, rows, 100).await, doubled);
}

pub async fn a_migration_whose_checkpoint_failed_has_not_begun(store: &Store) {
    write(store, |txn| txn.put(COUNTS.at(1), &1)).await;
    let failing = async |_| Err("no space left");
    assert!(migrate::run(store, &[DOUBLE], failing).await.is_err());
    assert_eq!(get_count(store, 1).await, Some(1));
    let names = vec!["suite_double", "suite_afterwards"];
    assert_eq!(migrate(store).await, (names, true));
}

pub async fn a_new_database_has_nothing_to_migrate(store: &Store) {
    let checkpoint = async |_| Err("there is nothing to save");
    migrate::run(store, &[DOUBLE], checkpoint)
        .await
        .expect("nothing to do");
    write(store, |txn| txn.put(COUNTS.at(1), &1)).await;
    migrate::run(store, &[DOUBLE], checkpoint)
        .await
        .expect("nothing to do");
    assert_eq!(get_count(store, 1).await, Some(1));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
