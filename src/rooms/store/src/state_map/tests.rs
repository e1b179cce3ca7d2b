//! The map against a plain one, under random changes, with a warm and with a cold cache.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Mutex,
};

use database::{Read as _, Snapshot, Store, StoreError};
use database_rocksdb::{Options, RocksEngine};
use proptest::prelude::*;
use tokio_util::task::TaskTracker;

use super::{
    node::{LEAF_ENTRIES, Node},
    *,
};

const ROOM: RoomNumber = RoomNumber(7);
/// Enough to keep every test warm; a cache of nothing keeps every read cold.
const WARM: u64 = 1 << 20;
const COLD: u64 = 0;

type Map = BTreeMap<StateKeyNumber, EventNumber>;
type Changes = Vec<(StateKeyNumber, Option<EventNumber>)>;

struct House {
    store: Store,
    maps: StateMaps,
}

impl House {
    fn new(cache_bytes: u64) -> Self {
        Self {
            store: Store::memory(),
            maps: StateMaps::new(cache_bytes),
        }
    }

    async fn update(&self, root: StateRoot, changes: &Changes) -> StateRoot {
        let maps = &self.maps;
        let updated = self.store.transact::<_, StoreError, _>(|txn| async move {
            maps.update(&txn, ROOM, root, changes).await
        });
        updated.await.expect("an update").0
    }

    async fn snapshot(&self) -> Snapshot {
        self.store.snapshot().await.expect("a snapshot")
    }

    async fn map(&self, root: StateRoot) -> Map {
        let entries = self
            .maps
            .list(&self.snapshot().await, ROOM, root)
            .await
            .expect("entries");
        entries.into_iter().collect()
    }

    async fn root_of(&self, map: &Map) -> StateRoot {
        let changes = map
            .iter()
            .map(|(key, event)| (*key, Some(*event)))
            .collect();
        self.update(StateRoot::EMPTY, &changes).await
    }

    async fn diff(&self, from: StateRoot, to: StateRoot) -> Vec<Change> {
        self.maps
            .diff(&self.snapshot().await, ROOM, from, to)
            .await
            .expect("a difference")
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

fn apply(map: &mut Map, changes: &Changes) {
    for (key, event) in changes {
        match event {
            Some(event) => map.insert(*key, *event),
            None => map.remove(key),
        };
    }
}

fn difference(from: &Map, to: &Map) -> Vec<Change> {
    let keys: BTreeSet<_> = from.keys().chain(to.keys()).collect();
    let changes = keys.into_iter().map(|key| Change {
        key: *key,
        before: from.get(key).copied(),
        after: to.get(key).copied(),
    });
    changes
        .filter(|change| change.before != change.after)
        .collect()
}

fn member(number: u64) -> StateKeyNumber {
    StateKeyNumber(1 << 60 | number)
}

fn members(count: u64) -> Map {
    (0..count)
        .map(|number| (member(number), EventNumber(number)))
        .collect()
}

/// Keys that are near each other, keys that share many low nibbles, and any.
fn key() -> impl Strategy<Value = StateKeyNumber> {
    let number = prop_oneof![
        4 => 0_u64..60,
        1 => (0_u64..40).prop_map(|number| number << 32 | 0xABCD),
        1 => any::<u64>().prop_map(|number| number >> 4),
    ];
    (number, 0_u64..2).prop_map(|(number, class)| StateKeyNumber(class << 60 | number))
}

fn changes() -> impl Strategy<Value = Changes> {
    let event = prop_oneof![
        3 => (0_u64..3).prop_map(|event| Some(EventNumber(event))),
        2 => Just(None),
    ];
    prop_oneof![
        3 => proptest::collection::vec((key(), event), 0..5),
        1 => proptest::collection::vec((key(), Just(Some(EventNumber(9)))), 20..60),
        1 => proptest::collection::vec((key(), Just(None)), 20..60),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_is_a_plain_map_under_any_changes(
        steps in proptest::collection::vec(changes(), 1..12), is_cold: bool,
    ) {
        block_on(async {
            let house = House::new(if is_cold { COLD } else { WARM });
            let mut map = Map::new();
            let mut root = StateRoot::EMPTY;
            for changes in &steps {
                apply(&mut map, changes);
                root = house.update(root, changes).await;
                assert_eq!(house.map(root).await, map);
                assert_eq!(root == StateRoot::EMPTY, map.is_empty());
            }
            let db = house.snapshot().await;
            let keys: Vec<_> = steps.iter().flatten().map(|(key, _)| *key).collect();
            let expected: Vec<_> = keys.iter().map(|key| map.get(key).copied()).collect();
            assert_eq!(house.maps.get_many(&db, ROOM, root, &keys).await, Ok(expected.clone()));
            for (key, expected) in keys.iter().zip(expected) {
                assert_eq!(house.maps.get(&db, ROOM, root, *key).await, Ok(expected));
            }
            for class in 0..3 {
                let of_class = map.iter().filter(|(key, _)| key.class() == class);
                let of_class: Map = of_class.map(|(key, event)| (*key, *event)).collect();
                let listed = house.maps.list_class(&db, ROOM, root, class).await;
                assert_eq!(listed.expect("entries").into_iter().collect::<Map>(), of_class);
            }
        });
    }

    #[test]
    fn the_root_is_the_same_whatever_the_way_to_it(
        steps in proptest::collection::vec(changes(), 1..12),
    ) {
        block_on(async {
            let house = House::new(WARM);
            let mut map = Map::new();
            let mut root = StateRoot::EMPTY;
            for changes in &steps {
                apply(&mut map, changes);
                root = house.update(root, changes).await;
            }
            assert_eq!(house.root_of(&map).await, root, "all at once");
            let mut one_by_one = StateRoot::EMPTY;
            for (key, event) in map.iter().rev() {
                one_by_one = house.update(one_by_one, &vec![(*key, Some(*event))]).await;
            }
            assert_eq!(one_by_one, root, "one by one, backwards");
        });
    }

    #[test]
    fn the_difference_is_exact(
        common in changes(), left in changes(), right in changes(), is_cold: bool,
    ) {
        block_on(async {
            let house = House::new(if is_cold { COLD } else { WARM });
            let (mut from, mut to) = (Map::new(), Map::new());
            apply(&mut from, &common);
            apply(&mut from, &left);
            apply(&mut to, &common);
            apply(&mut to, &right);
            let (from_root, to_root) = (house.root_of(&from).await, house.root_of(&to).await);
            assert_eq!(house.diff(from_root, to_root).await, difference(&from, &to));
            assert_eq!(house.diff(to_root, from_root).await, difference(&to, &from));
            let from_nothing = house.diff(StateRoot::EMPTY, to_root).await;
            assert_eq!(from_nothing, difference(&Map::new(), &to));
        });
    }
}

#[tokio::test]
async fn every_node_is_in_canonical_form() {
    let house = House::new(WARM);
    let root = house.root_of(&members(3_000)).await;
    let gone = (0..2_900).map(|number| (member(number), None)).collect();
    let small = house.update(root, &gone).await;

    let db = house.snapshot().await;
    let mut ahead = vec![root.0, small.0];
    let mut nodes = 0;
    while let Some(hash) = ahead.pop() {
        nodes += 1;
        match &*house.maps.node(&db, ROOM, &hash).await.expect("a node") {
            Node::Leaf(entries) => assert!((1..=LEAF_ENTRIES).contains(&entries.len())),
            Node::Branch(children) => {
                let count: u32 = children.iter().map(|child| child.count).sum();
                assert!(count as usize > LEAF_ENTRIES);
                assert!(children.is_sorted_by(|a, b| a.slot < b.slot));
                ahead.extend(children.iter().map(|child| child.hash));
            }
        }
    }
    assert!(nodes > 200, "{nodes}");
}

#[tokio::test]
async fn a_transaction_reads_its_own_nodes() {
    for cache_bytes in [COLD, WARM] {
        let house = House::new(cache_bytes);
        let maps = &house.maps;
        let made = house.store.transact::<_, StoreError, _>(|txn| async move {
            let mut root = StateRoot::EMPTY;
            for (key, event) in members(100) {
                root = maps.update(&txn, ROOM, root, &[(key, Some(event))]).await?;
            }
            assert_eq!(
                maps.get(&txn, ROOM, root, member(99)).await,
                Ok(Some(EventNumber(99)))
            );
            Ok(root)
        });
        let (root, _) = made.await.expect("a commit");
        assert_eq!(house.map(root).await, members(100));
    }
}

#[tokio::test]
async fn what_a_failed_transaction_made_is_written_when_it_is_made_again() {
    let house = House::new(WARM);
    let base = house.root_of(&members(50)).await;
    let (maps, change) = (&house.maps, &vec![(member(7), Some(EventNumber(1_000)))]);
    let aborted = &Mutex::new(StateRoot::EMPTY);
    let failed = house.store.transact::<(), StoreError, _>(|txn| async move {
        let root = maps.update(&txn, ROOM, base, change).await?;
        *aborted.lock().expect("a lock") = root;
        Err(StoreError::Corrupt("on purpose"))
    });
    failed.await.expect_err("aborted");

    let root = house.update(base, change).await;

    assert_eq!(
        root,
        *aborted.lock().expect("a lock"),
        "the same content has the same root"
    );
    let after_restart = StateMaps::new(WARM);
    let found = after_restart
        .get(&house.snapshot().await, ROOM, root, member(7))
        .await;
    assert_eq!(found, Ok(Some(EventNumber(1_000))), "and is in the store");
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let house = House::new(WARM);
    let root = house.root_of(&members(50)).await;
    let before = house.snapshot().await.stamp();
    let same = vec![(member(7), Some(EventNumber(7))), (member(700), None)];

    assert_eq!(house.update(root, &same).await, root);
    assert_eq!(house.update(root, &Vec::new()).await, root);
    assert_eq!(house.snapshot().await.stamp(), before);
}

#[tokio::test]
async fn changes_together_write_no_node_between_them() {
    let house = House::new(WARM);
    house.root_of(&members(10)).await;
    let nodes = house
        .snapshot()
        .await
        .page(STATE_NODES.under(ROOM), 100)
        .await;
    assert_eq!(nodes.expect("nodes").len(), 1);
}

#[tokio::test]
async fn of_several_changes_of_one_key_the_last_counts() {
    let house = House::new(WARM);
    let event = |number| Some(EventNumber(number));
    let changes = vec![
        (member(1), event(1)),
        (member(1), None),
        (member(1), event(2)),
    ];
    let root = house.update(StateRoot::EMPTY, &changes).await;
    assert_eq!(
        house.map(root).await,
        Map::from([(member(1), EventNumber(2))])
    );
}

#[tokio::test]
async fn rooms_do_not_share_nodes() {
    let house = House::new(COLD);
    let root = house.root_of(&members(50)).await;
    let other = house
        .maps
        .get(&house.snapshot().await, RoomNumber(8), root, member(1))
        .await;
    assert!(matches!(other, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_walk_comes_in_pieces() {
    let house = House::new(COLD);
    let root = house.root_of(&members(5_000)).await;
    let db = house.snapshot().await;
    let mut walk = house.maps.walk(ROOM, root, Some(StateKeyNumber::MEMBER));
    let mut map = Map::new();
    while let Some(piece) = walk.next(&db).await.expect("a piece") {
        assert!(piece.len() <= LEAF_ENTRIES * read::BATCH);
        map.extend(piece);
    }
    assert_eq!(map, members(5_000));
}

#[tokio::test]
async fn the_cache_keeps_its_bound() {
    let house = House::new(64 << 10);
    let root = house.root_of(&members(20_000)).await;
    assert_eq!(house.map(root).await.len(), 20_000);
    assert!(house.maps.cached_bytes() <= 64 << 10);
}

/// What is measured is a checkpoint: all that RocksDB would still have to compact away is counted, too.
#[tokio::test]
async fn a_thousand_versions_of_a_large_state_take_less_than_ten_megabytes_of_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options::new(folder.path().join("database"), TaskTracker::new());
    let engine = RocksEngine::open(&options).expect("a database");
    let house = House {
        store: engine.store(),
        maps: StateMaps::new(WARM),
    };
    let mut root = house.root_of(&members(10_000)).await;
    for version in 0..1_000 {
        let change = (
            member(version * 7_919 % 10_000),
            Some(EventNumber(20_000 + version)),
        );
        root = house.update(root, &vec![change]).await;
    }
    assert_eq!(house.map(root).await.len(), 10_000);

    let checkpoint = folder.path().join("checkpoint");
    engine.checkpoint(&checkpoint).expect("a checkpoint");
    let bytes = size_of_folder(&checkpoint);
    assert!(bytes < 10_000_000, "{bytes} bytes");
    assert!(bytes > 500_000, "{bytes} bytes are too few to be all of it");
}

fn size_of_folder(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("a folder");
    let sizes = files.map(|file| {
        let file = file.expect("an entry");
        let about = file.metadata().expect("what it is");
        if about.is_dir() {
            size_of_folder(&file.path())
        } else {
            about.len()
        }
    });
    sizes.sum()
}
