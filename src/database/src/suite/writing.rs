//! Commits: what they leave behind, and what a body sees of its own writes.

use std::time::Duration;

use crate::{
    read::Read,
    stamp::{Placed, Position, Stamp},
    store::Store,
    suite::{
        ALICE, BOB, COUNTS, MEMBER_LOG, MEMBERS, NAMES, ROOM, Result, db, get_count, page, write,
    },
};

pub async fn many_appends_of_one_commit_keep_their_order(store: &Store) {
    let first = write(store, |txn| {
        for number in 0..300 {
            let slot = txn.slot();
            txn.append(MEMBER_LOG.end(ROOM), slot, &number);
            txn.put_placed(MEMBERS.at((ROOM, crate::UserNumber(number))), &number, slot);
        }
    })
    .await;
    let second = write(store, |txn| {
        txn.append(MEMBER_LOG.end(ROOM), txn.slot(), &300);
    })
    .await;

    assert!(first > Stamp::START);
    assert!(second > first);
    let db = db(store).await;
    let log = page(&db, MEMBER_LOG.under(ROOM), 1000).await;
    assert_eq!(
        log.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        (0..=300).collect::<Vec<_>>()
    );
    assert_eq!(log[299].0.1, Position(first, 299));
    assert_eq!(log[300].0.1, Position(second, 0));
    for ((_, user), placed) in page(&db, MEMBERS.under(ROOM), 1000).await {
        let slot = u32::try_from(user.0).expect("a small number");
        assert_eq!(placed.position, Position(first, slot));
    }
}

pub async fn a_body_reads_its_own_puts_and_deletes(store: &Store) {
    write(store, |txn| txn.put(COUNTS.at(1), &1)).await;
    let body = store.transact(|txn| async move {
        txn.put(COUNTS.at(2), &2);
        txn.delete(COUNTS.at(1));
        assert_eq!(txn.get(COUNTS.at(1)).await?, None);
        assert_eq!(txn.get(COUNTS.at(2)).await?, Some(2));
        assert!(!txn.exists(COUNTS.at(1)).await?);
        assert!(txn.exists(COUNTS.at(2)).await?);
        let many = txn
            .get_many(vec![COUNTS.at(2), COUNTS.at(1), COUNTS.at(3)])
            .await?;
        assert_eq!(many, [Some(2), None, None]);

        txn.put_placed(MEMBERS.at((ROOM, ALICE)), &5, txn.slot());
        let placed = txn
            .get(MEMBERS.at((ROOM, ALICE)))
            .await?
            .expect("its own row");
        assert_eq!(placed.value, 5);
        assert!(
            placed.position > Position::last_of(txn.stamp()),
            "it is not known yet"
        );

        txn.append(MEMBER_LOG.end(ROOM), txn.slot(), &1);
        assert_eq!(txn.page(MEMBER_LOG.under(ROOM), 10).await?, []);
        Result::Ok(())
    });
    body.await.expect("a commit");
}

pub async fn a_body_reads_its_own_clears(store: &Store) {
    write(store, |txn| {
        txn.put_placed(MEMBERS.at((ROOM, ALICE)), &1, txn.slot());
        txn.put_placed(MEMBERS.at((ROOM, BOB)), &1, txn.slot());
    })
    .await;
    let body = store.transact(|txn| async move {
        txn.put_placed(MEMBERS.at((ROOM, BOB)), &2, txn.slot());
        txn.clear(MEMBERS.under(ROOM));
        assert_eq!(txn.get(MEMBERS.at((ROOM, ALICE))).await?, None);
        assert_eq!(txn.get(MEMBERS.at((ROOM, BOB))).await?, None);
        assert_eq!(txn.page(MEMBERS.under(ROOM), 10).await?, []);
        let kept = Placed {
            value: 3,
            position: Position(Stamp(1), 2),
        };
        txn.put(MEMBERS.at((ROOM, ALICE)), &kept);
        assert_eq!(
            txn.page(MEMBERS.under(ROOM), 10).await?,
            [((ROOM, ALICE), kept)]
        );
        Result::Ok(())
    });
    body.await.expect("a commit");
    let rows = page(&db(store).await, MEMBERS.under(ROOM), 10).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].1,
        Placed {
            value: 3,
            position: Position(Stamp(1), 2)
        }
    );
}

pub async fn a_body_pages_through_its_own_writes(store: &Store) {
    write(store, |txn| {
        (0..20).for_each(|key| txn.put(COUNTS.at(key * 2), &key));
    })
    .await;
    let body = store.transact(|txn| async move {
        txn.put(COUNTS.at(5), &100);
        txn.put(COUNTS.at(8), &101);
        txn.delete(COUNTS.at(6));
        txn.clear(COUNTS.all().from(12).through(16));
        txn.put(COUNTS.at(14), &102);
        let forward = txn.page(COUNTS.all().after(2), 6).await?;
        assert_eq!(
            forward,
            [(4, 2), (5, 100), (8, 101), (10, 5), (14, 102), (18, 9)]
        );
        let backward = txn.page(COUNTS.all().before(18).reversed(), 4).await?;
        assert_eq!(backward, [(14, 102), (10, 5), (8, 101), (5, 100)]);
        assert_eq!(txn.first(COUNTS.all().reversed()).await?, Some((38, 19)));
        Result::Ok(())
    });
    body.await.expect("a commit");
    let rows = page(&db(store).await, COUNTS.all().through(18), 100).await;
    let stored = [
        (0, 0),
        (2, 1),
        (4, 2),
        (5, 100),
        (8, 101),
        (10, 5),
        (14, 102),
        (18, 9),
    ];
    assert_eq!(rows, stored);
}

pub async fn the_last_write_of_a_row_counts(store: &Store) {
    write(store, |txn| {
        txn.put(COUNTS.at(1), &1);
        txn.put(COUNTS.at(1), &2);
        txn.put(COUNTS.at(2), &1);
        txn.delete(COUNTS.at(2));
        txn.delete(COUNTS.at(3));
        txn.put(COUNTS.at(3), &3);
    })
    .await;
    assert_eq!(
        page(&db(store).await, COUNTS.all(), 10).await,
        [(1, 2), (3, 3)]
    );
}

pub async fn clearing_many_rows_leaves_none(store: &Store) {
    for count in [1, 5, 31, 33, 700] {
        write(store, |txn| {
            (0..count).for_each(|key| txn.put(COUNTS.at(key), &key));
        })
        .await;
        write(store, |txn| txn.put(COUNTS.at(9999), &1)).await;
        write(store, |txn| {
            txn.clear(COUNTS.all().before(9999));
            txn.put(COUNTS.at(0), &7);
        })
        .await;
        assert_eq!(
            page(&db(store).await, COUNTS.all(), 1000).await,
            [(0, 7), (9999, 1)]
        );
        write(store, |txn| txn.clear(COUNTS.all())).await;
        assert_eq!(page(&db(store).await, COUNTS.all(), 1000).await, []);
    }
}

/// Many groups with puts and clears of one range: each row is there if and only if its put came
/// after the last clear.
pub async fn a_clear_meets_what_others_put_at_the_same_time(store: &Store) {
    for round in 0..10_u64 {
        let mut tasks = tokio::task::JoinSet::new();
        for key in 0..20_u64 {
            let store = store.clone();
            tasks.spawn(async move {
                if key % 7 == 3 {
                    (None, write(&store, |txn| txn.clear(COUNTS.all())).await)
                } else {
                    (
                        Some(key),
                        write(&store, |txn| txn.put(COUNTS.at(key), &round)).await,
                    )
                }
            });
        }
        let done = tasks.join_all().await;
        let clears = done.iter().filter(|(key, _)| key.is_none());
        let last_clear = clears
            .map(|(_, stamp)| *stamp)
            .max()
            .expect("there are clears");
        let puts = done.iter().filter(|(_, stamp)| *stamp > last_clear);
        let mut expected: Vec<_> = puts.filter_map(|(key, _)| Some(((*key)?, round))).collect();
        expected.sort_unstable();
        assert_eq!(page(&db(store).await, COUNTS.all(), 100).await, expected);
    }
}

pub async fn a_body_that_writes_nothing_takes_no_stamp(store: &Store) {
    let before = write(store, |txn| txn.put(COUNTS.at(1), &1)).await;
    let read = store.transact(|txn| async move { txn.get(COUNTS.at(1)).await });
    assert_eq!(read.await, Ok((Some(1), before)));
    assert_eq!(db(store).await.stamp(), before);
    assert_eq!(
        write(store, |txn| txn.put(COUNTS.at(1), &2)).await,
        before.next()
    );
}

pub async fn an_error_of_the_body_leaves_no_trace(store: &Store) {
    #[derive(Debug, PartialEq)]
    enum Refused {
        Banned,
        Store,
    }
    impl From<crate::StoreError> for Refused {
        fn from(_: crate::StoreError) -> Self {
            Self::Store
        }
    }
    let before = db(store).await.stamp();
    let refused = store.transact::<(), _, _>(|txn| async move {
        txn.put(COUNTS.at(1), &1);
        Err(if txn.exists(COUNTS.at(1)).await? {
            Refused::Banned
        } else {
            Refused::Store
        })
    });
    assert_eq!(refused.await, Err(Refused::Banned));
    assert_eq!(db(store).await.stamp(), before);
    assert_eq!(get_count(store, 1).await, None);
}

pub async fn what_may_wait_is_committed_soon(store: &Store) {
    let waiting = write(store, |txn| {
        txn.put(COUNTS.at(1), &1);
        txn.may_wait();
    });
    tokio::time::timeout(Duration::from_secs(5), waiting)
        .await
        .expect("well before that");
    assert_eq!(get_count(store, 1).await, Some(1));
}

pub async fn what_may_wait_rides_along_with_what_may_not(store: &Store) {
    let lazy = write(store, |txn| {
        txn.put(COUNTS.at(1), &1);
        txn.may_wait();
    });
    let urgent = write(store, |txn| txn.put(COUNTS.at(2), &2));
    let (lazy, urgent) = tokio::join!(lazy, urgent);
    assert!(lazy < urgent, "it was there first");
    assert_eq!(
        page(&db(store).await, COUNTS.all(), 10).await,
        [(1, 1), (2, 2)]
    );
}

pub async fn a_commit_is_visible_when_it_is_answered(store: &Store) {
    let mut published = store.published();
    for value in 0..50 {
        published.borrow_and_update();
        let stamp = write(store, |txn| txn.put(COUNTS.at(1), &value)).await;
        assert!(published.has_changed().expect("the store is open"));
        assert_eq!(*published.borrow(), stamp);
        let db = db(store).await;
        assert_eq!(db.stamp(), stamp);
        assert_eq!(db.get(COUNTS.at(1)).await, Ok(Some(value)));
    }
}

pub async fn great_and_empty_values_come_back(store: &Store) {
    let great = "x".repeat(3 << 20);
    write(store, |txn| {
        txn.put(NAMES.at("great"), &great);
        txn.put(NAMES.at(""), &String::new());
        txn.put(NAMES.at("\0\u{1}\u{2}"), &"odd".to_owned());
    })
    .await;
    let db = db(store).await;
    assert_eq!(db.get(NAMES.at("great")).await, Ok(Some(great)));
    assert_eq!(db.get(NAMES.at("")).await, Ok(Some(String::new())));
    let keys: Vec<_> = page(&db, NAMES.all(), 10)
        .await
        .into_iter()
        .map(|row| row.0)
        .collect();
    assert_eq!(keys, ["", "\0\u{1}\u{2}", "great"]);
}
