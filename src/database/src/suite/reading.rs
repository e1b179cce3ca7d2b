//! Snapshots: points, pages, and what they do not see.

use crate::{
    numbers::RoomNumber,
    read::Read,
    stamp::Position,
    store::Store,
    suite::{COUNTS, MEMBER_LOG, NAMES, ROOM, db, page, write},
};

pub async fn pages_go_both_ways_from_a_position(store: &Store) {
    let mut stamps = Vec::new();
    for number in 0..6 {
        let append = |txn: &crate::Txn| {
            for half in 0..2 {
                txn.append(MEMBER_LOG.end(ROOM), txn.slot(), &(number * 2 + half));
            }
        };
        stamps.push(write(store, append).await);
    }
    write(store, |txn| {
        txn.append(MEMBER_LOG.end(RoomNumber(8)), txn.slot(), &99);
    })
    .await;
    let db = db(store).await;
    let here = Position(stamps[2], 1);
    let values = async |rows, limit| -> Vec<u64> {
        page(&db, rows, limit)
            .await
            .into_iter()
            .map(|(_, value)| value)
            .collect()
    };
    let log = || MEMBER_LOG.under(ROOM);
    assert_eq!(values(log().after((ROOM, here)), 3).await, [6, 7, 8]);
    assert_eq!(values(log().from((ROOM, here)), 3).await, [5, 6, 7]);
    assert_eq!(
        values(log().before((ROOM, here)).reversed(), 3).await,
        [4, 3, 2]
    );
    assert_eq!(
        values(log().through((ROOM, here)).reversed(), 2).await,
        [5, 4]
    );
    assert_eq!(
        values(log().after((ROOM, Position::last_of(stamps[4]))), 9).await,
        [10, 11]
    );
    assert_eq!(
        values(log().before((ROOM, Position::first_of(stamps[1]))), 9).await,
        [0, 1]
    );
    assert_eq!(values(log().reversed(), 1).await, [11]);
    assert_eq!(values(log().reversed(), 0).await, []);
    let nothing = log().after((ROOM, here)).before((ROOM, here));
    assert_eq!(values(nothing, 9).await, []);

    // Page by page, both ways, is the whole log.
    let (mut forward, mut last) = (Vec::new(), Position::MIN);
    while let Some(((_, at), value)) = db.first(log().after((ROOM, last))).await.expect("a page") {
        forward.push(value);
        last = at;
    }
    assert_eq!(forward, (0..12).collect::<Vec<_>>());
}

pub async fn a_long_range_is_read_whole_both_ways(store: &Store) {
    const ROWS: u64 = 3000;
    write(store, |txn| {
        (0..ROWS).for_each(|key| txn.put(COUNTS.at(key), &key));
    })
    .await;
    let db = db(store).await;
    let all: Vec<_> = (0..ROWS).map(|key| (key, key)).collect();
    assert_eq!(page(&db, COUNTS.all(), usize::MAX).await, all);
    assert_eq!(page(&db, COUNTS.all(), 1500).await, all[..1500]);
    let backward: Vec<_> = all.iter().rev().copied().collect();
    assert_eq!(
        page(&db, COUNTS.all().reversed(), usize::MAX).await,
        backward
    );
    assert_eq!(
        page(&db, COUNTS.all().reversed(), 513).await,
        backward[..513]
    );

    let long = "x".repeat(100 << 10);
    write(store, |txn| {
        for key in ["a", "b", "c", "d", "e", "f"] {
            txn.put(NAMES.at(key), &long);
        }
    })
    .await;
    let db = self::db(store).await;
    assert_eq!(page(&db, NAMES.all(), 5).await.len(), 5);
    let keys: Vec<_> = page(&db, NAMES.all().reversed(), 9)
        .await
        .into_iter()
        .map(|row| row.0)
        .collect();
    assert_eq!(keys, ["f", "e", "d", "c", "b", "a"]);
}

pub async fn many_rows_come_in_the_order_asked(store: &Store) {
    write(store, |txn| {
        (0..100).for_each(|key| txn.put(COUNTS.at(key), &(key + 1)));
    })
    .await;
    let db = db(store).await;
    let rows = [50, 3, 200, 99, 3, 0].map(|key| COUNTS.at(key)).to_vec();
    let values = db.get_many(rows).await;
    assert_eq!(
        values,
        Ok(vec![Some(51), Some(4), None, Some(100), Some(4), Some(1)])
    );
    assert_eq!(db.get_many::<u64>(Vec::new()).await, Ok(Vec::new()));
    assert_eq!(db.exists(COUNTS.at(99)).await, Ok(true));
    assert_eq!(db.exists(COUNTS.at(100)).await, Ok(false));
}

pub async fn a_snapshot_does_not_change(store: &Store) {
    write(store, |txn| {
        (0..10).for_each(|key| txn.put(COUNTS.at(key), &1));
    })
    .await;
    let before = db(store).await;
    let copy = before.clone();
    write(store, |txn| {
        txn.put(COUNTS.at(1), &2);
        txn.delete(COUNTS.at(2));
        txn.put(COUNTS.at(11), &2);
    })
    .await;
    write(store, |txn| txn.clear(COUNTS.all().from(5))).await;
    write(store, |txn| txn.put(NAMES.at("new"), &"new".to_owned())).await;

    for db in [before, copy] {
        assert_eq!(db.get(COUNTS.at(1)).await, Ok(Some(1)));
        assert_eq!(db.get(COUNTS.at(2)).await, Ok(Some(1)));
        assert_eq!(db.get(COUNTS.at(11)).await, Ok(None));
        assert_eq!(page(&db, COUNTS.all(), 100).await.len(), 10);
        assert_eq!(db.get(NAMES.at("new")).await, Ok(None));
    }
    let after = db(store).await;
    let expected = [(0, 1), (1, 2), (3, 1), (4, 1)];
    assert_eq!(page(&after, COUNTS.all(), 100).await, expected);
}

pub async fn ranges_stay_in_their_table_and_prefix(store: &Store) {
    let rooms = [RoomNumber(0), RoomNumber(0xff), RoomNumber(u64::MAX)];
    write(store, |txn| {
        txn.put(NAMES.at("before"), &String::new());
        txn.put(COUNTS.at(u64::MAX), &1);
        for room in rooms {
            txn.append(MEMBER_LOG.end(room), txn.slot(), &room.0);
        }
    })
    .await;
    let db = db(store).await;
    for room in rooms {
        let rows = page(&db, MEMBER_LOG.under(room), 10).await;
        assert_eq!(
            rows.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            [room.0]
        );
        let foreign = MEMBER_LOG.under(room).from((RoomNumber(0), Position::MIN));
        assert_eq!(page(&db, foreign, 10).await.len(), 1);
    }
    assert_eq!(page(&db, MEMBER_LOG.all(), 10).await.len(), 3);
    assert_eq!(page(&db, MEMBER_LOG.all().reversed(), 10).await.len(), 3);
    assert_eq!(page(&db, COUNTS.all(), 10).await, [(u64::MAX, 1)]);
}

pub async fn an_unwritten_table_is_empty(store: &Store) {
    let db = db(store).await;
    assert_eq!(db.get(COUNTS.at(1)).await, Ok(None));
    assert_eq!(
        db.get_many(vec![COUNTS.at(1), COUNTS.at(2)]).await,
        Ok(vec![None, None])
    );
    assert_eq!(page(&db, COUNTS.all(), 10).await, []);
    write(store, |txn| {
        txn.clear(COUNTS.all());
        txn.delete(COUNTS.at(1));
    })
    .await;
    assert_eq!(
        page(&self::db(store).await, COUNTS.all().reversed(), 10).await,
        []
    );
}
