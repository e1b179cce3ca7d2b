//! How long media is kept, and what the operator may do to it.

use std::time::Duration;

use database::Read as _;
use media::{Asker, DownloadError, Retention, Selection, UploadError, Verdict, tables::MEDIA};
use ruma::server_name;

use crate::house::{ALICE, BOB, House, Options};

fn with(local: Retention) -> Options {
    let mut options = Options::default();
    options.config.local = local;
    options
}

#[tokio::test]
async fn old_media_is_deleted() {
    let age = Some(Duration::from_hours(48));
    let house = House::with(with(Retention {
        age,
        ..Retention::default()
    }))
    .await;
    let old = house.upload(ALICE, b"old").await;
    house.clock.advance(Duration::from_hours(47));
    let young = house.upload(ALICE, b"young").await;
    house.clock.advance(Duration::from_hours(2));

    house.media.sweep().await.expect("it sweeps");

    assert!(matches!(
        house.try_download(&old).await,
        Err(DownloadError::NotFound)
    ));
    assert_eq!(house.download(&young).await, b"young");
    assert_eq!(house.contents_on_disk(), 1);
}

#[tokio::test]
async fn media_that_nobody_reads_is_deleted() {
    let unread = Some(Duration::from_hours(48));
    let house = House::with(with(Retention {
        unread,
        ..Retention::default()
    }))
    .await;
    let unread = house.upload(ALICE, b"unread").await;
    let read = house.upload(ALICE, b"read").await;
    house.clock.advance(Duration::from_hours(30));
    house.download(&read).await;
    // The access is noted in the background.
    house.tasks.close();
    let noted = async {
        loop {
            let db = house.snapshot().await;
            let row = db.get(MEDIA.at(("example.org", read.id()))).await;
            let row = row.expect("it reads").expect("a row");
            if row.last_access > row.created {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    noted.await;
    house.clock.advance(Duration::from_hours(30));

    house.media.sweep().await.expect("it sweeps");

    assert!(house.try_download(&unread).await.is_err());
    assert_eq!(house.download(&read).await, b"read");
}

#[tokio::test]
async fn what_was_read_longest_ago_makes_room() {
    let space = Some(2500);
    let house = House::with(with(Retention {
        space,
        ..Retention::default()
    }))
    .await;
    let mut all = Vec::new();
    for number in 0..4 {
        all.push(house.upload(ALICE, &[number; 1000]).await);
        house.clock.advance(Duration::from_secs(1));
    }

    house.media.sweep().await.expect("it sweeps");

    let mut there = Vec::new();
    for mxc in &all {
        there.push(house.try_download(mxc).await.is_ok());
    }
    assert_eq!(there, [false, false, true, true]);
}

#[tokio::test]
async fn protected_content_outlives_everything() {
    let house = House::with(with(Retention {
        space: Some(0),
        age: Some(Duration::from_hours(1)),
        ..Retention::default()
    }))
    .await;
    let mxc = house.upload(ALICE, b"emblem").await;
    let hash = house
        .media
        .content_of(&mxc)
        .await
        .expect("it reads")
        .expect("a hash");
    house
        .media
        .judge(hash, Some(Verdict::Protected))
        .await
        .expect("judged");
    house.clock.advance(Duration::from_hours(10));

    house.media.sweep().await.expect("it sweeps");
    let deleted = house
        .media
        .delete(&Selection::Owner(ALICE))
        .await
        .expect("it deletes");
    let which = Selection::These(vec![mxc.clone()]);
    assert_eq!(house.media.quarantine(&which, true).await.expect("done"), 0);

    assert_eq!(deleted.files, 0);
    assert_eq!(house.download(&mxc).await, b"emblem");
}

#[tokio::test]
async fn a_quarantined_content_is_nobodys_and_cannot_be_uploaded_again() {
    let house = House::new().await;
    let first = house.upload(ALICE, b"bad").await;
    let second = house.upload(BOB, b"bad").await;
    let hash = house
        .media
        .content_of(&first)
        .await
        .expect("it reads")
        .expect("a hash");

    house
        .media
        .judge(hash, Some(Verdict::Quarantined))
        .await
        .expect("judged");

    for mxc in [&first, &second] {
        assert!(matches!(
            house.try_download(mxc).await,
            Err(DownloadError::NotFound)
        ));
        assert!(house.find(Asker::Operator, mxc).await.is_ok());
    }
    assert!(matches!(
        house.try_upload(ALICE, b"bad").await,
        Err(UploadError::Refused)
    ));
    house
        .media
        .delete(&Selection::Owner(ALICE))
        .await
        .expect("it deletes");
    house
        .media
        .delete(&Selection::Owner(BOB))
        .await
        .expect("it deletes");
    assert!(matches!(
        house.try_upload(ALICE, b"bad").await,
        Err(UploadError::Refused)
    ));
    assert_eq!(house.contents_on_disk(), 0);

    house.media.judge(hash, None).await.expect("judged");
    house.upload(ALICE, b"bad").await;
}

#[tokio::test]
async fn media_of_a_selection_is_hidden_and_shown() {
    let house = House::new().await;
    let alices = house.upload(ALICE, b"same").await;
    let bobs = house.upload(BOB, b"same").await;
    let which = Selection::Owner(ALICE);

    assert_eq!(house.media.quarantine(&which, true).await.expect("done"), 1);
    assert!(house.try_download(&alices).await.is_err());
    assert!(house.try_download(&bobs).await.is_ok());

    assert_eq!(
        house.media.quarantine(&which, false).await.expect("done"),
        1
    );
    assert!(house.try_download(&alices).await.is_ok());
}

#[tokio::test]
async fn media_is_deleted_by_server_and_by_time() {
    let house = House::new().await;
    for number in 0..450_u16 {
        house.upload(ALICE, &number.to_le_bytes()).await;
    }
    let now = house.clock.clone();
    now.advance(Duration::from_secs(1));
    let late = house.upload(ALICE, b"late").await;
    let time = database::Clock::now(&*now);

    let before = Selection::Before {
        time,
        is_remote: false,
    };
    assert_eq!(house.media.delete(&before).await.expect("done").files, 450);
    assert!(house.try_download(&late).await.is_ok());

    let other = Selection::Server(server_name!("example.net").to_owned());
    assert_eq!(house.media.delete(&other).await.expect("done").files, 0);
    let own = Selection::Server(server_name!("example.org").to_owned());
    assert_eq!(house.media.delete(&own).await.expect("done").files, 1);
    assert_eq!(house.contents_on_disk(), 0);
}
