//! Contents in an object store, and moves between it and the disk.

use std::sync::Arc;

use media::{Place, Selection};
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory};

use crate::house::{ALICE, BOB, House, Options};

async fn with(place: Place) -> (House, Arc<InMemory>) {
    let store = Arc::new(InMemory::new());
    let mut options = Options::default();
    options.config.place = place;
    options.objects = Some(store.clone());
    (House::with(options).await, store)
}

async fn count(store: &InMemory) -> usize {
    use futures_util::TryStreamExt as _;
    let all: Vec<_> = store.list(None).try_collect().await.expect("it lists");
    all.len()
}

#[tokio::test]
async fn files_of_any_size_come_back_from_the_store() {
    let (house, store) = with(Place::Objects).await;
    for size in [0_u32, 1, 1000, 5 << 20, (5 << 20) + 1, 12 << 20] {
        let bytes: Vec<u8> = (0..size).map(|n| n.to_le_bytes()[1]).collect();
        let mxc = house.upload(ALICE, &bytes).await;
        assert!(house.download(&mxc).await == bytes, "{size}");
    }
    assert_eq!(count(&store).await, 6);
    assert_eq!(house.contents_on_disk(), 0);
    assert!(house.incoming().is_empty());

    house
        .media
        .delete(&Selection::Owner(ALICE))
        .await
        .expect("it deletes");
    assert_eq!(count(&store).await, 0);
}

#[tokio::test]
async fn contents_move_both_ways() {
    let (house, store) = with(Place::Files).await;
    let mut all = Vec::new();
    for number in 0..250_u16 {
        let bytes = number.to_le_bytes().repeat(10);
        all.push((house.upload(ALICE, &bytes).await, bytes));
    }
    for (place, here, there) in [(Place::Objects, 0, 250), (Place::Files, 250, 0)] {
        let moved = house.media.move_to(place).await.expect("it moves");
        assert_eq!(moved.files, 250);
        assert_eq!(
            (house.contents_on_disk(), count(&store).await),
            (here, there)
        );
        for (mxc, bytes) in &all {
            assert_eq!(house.download(mxc).await, *bytes);
        }
        assert_eq!(
            house
                .media
                .move_to(place)
                .await
                .expect("done already")
                .files,
            0
        );
    }
    let found = house.media.check().await.expect("it checks");
    assert_eq!((found.orphans, found.missing, found.miscounted), (0, 0, 0));
}

#[tokio::test]
async fn a_check_finds_objects_without_rows_and_rows_without_objects() {
    let (house, store) = with(Place::Objects).await;
    let mxc = house.upload(ALICE, b"lost").await;
    house.upload(BOB, b"kept").await;
    let hash = house
        .media
        .content_of(&mxc)
        .await
        .expect("it reads")
        .expect("a hash");
    let name = hash.to_string();
    let path = object_store::path::Path::from(format!("{}/{}/{name}", &name[..2], &name[2..4]));
    store.delete(&path).await.expect("it deletes");
    let orphan = "00".repeat(32);
    let orphan = object_store::path::Path::from(format!("00/00/{orphan}"));
    store
        .put(&orphan, b"nobody's".to_vec().into())
        .await
        .expect("it is put");

    let found = house.media.check().await.expect("it checks");

    assert_eq!(
        (found.orphans, found.missing, found.lost),
        (1, 1, vec![mxc])
    );
    assert_eq!(count(&store).await, 1);
}
