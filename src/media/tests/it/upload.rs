//! What may be uploaded, by whom and how much.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use database::Read as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use media::{
    Asker, Broken, DownloadError, Incoming, Mxc, Reach, Target, UploadError, Wanted,
    tables::{MEDIA_CONTENTS, MEDIA_RESERVED, MEDIA_USAGE},
};

use crate::house::{ALICE, BOB, House, Options, file, named, wanted};

#[tokio::test]
async fn what_was_uploaded_comes_back_with_its_name_and_type() {
    let house = House::new().await;

    let mxc = house.upload(ALICE, &vec![7; 100_000]).await;

    let found = house
        .find(Asker::User(BOB), &mxc)
        .await
        .expect("it is there");
    assert_eq!(found.size, Some(100_000));
    assert_eq!(found.info.content_type.as_deref(), Some("image/png"));
    assert_eq!(found.info.file_name.as_deref(), Some("picture.png"));
    assert_eq!(house.download(&mxc).await, vec![7; 100_000]);
    assert_eq!(house.upload(ALICE, &[]).await.id().len(), 24);
}

#[tokio::test]
async fn a_range_is_read_alone() {
    let house = House::new().await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let mxc = house.upload(ALICE, &bytes).await;

    for range in [0..1, 999_999..1_000_000, 65_000..300_000, 5..5] {
        let found = house
            .find(Asker::User(BOB), &mxc)
            .await
            .expect("it is there");
        let bits = found.read(Some(range.start as u64..range.end as u64)).await;
        let pieces: Vec<Bytes> = bits
            .expect("it opens")
            .try_collect()
            .await
            .expect("it reads");
        assert_eq!(pieces.concat(), bytes[range]);
    }
}

#[tokio::test]
async fn the_same_content_is_stored_once() {
    let house = House::new().await;

    let first = house.upload(ALICE, b"same").await;
    let second = house.upload(BOB, b"same").await;

    assert_ne!(first, second);
    assert_eq!(house.contents_on_disk(), 1);
    assert!(house.incoming().is_empty(), "{:?}", house.incoming());
}

#[tokio::test]
async fn a_file_is_never_in_memory_as_a_whole() {
    const PIECES: u64 = 512;
    const PIECE: u64 = 64 * 1024;
    let house = House::new().await;
    let (pulled, ahead) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (disk, own_pulled, own_ahead) = (house.disk.clone(), pulled.clone(), ahead.clone());
    let piece = Bytes::from(vec![1; 64 * 1024]);
    let bits = stream::iter(0..PIECES).map(move |_| {
        let pulled = own_pulled.fetch_add(PIECE, Ordering::Relaxed);
        own_ahead.fetch_max(pulled - disk.written(), Ordering::Relaxed);
        Ok::<_, Broken>(piece.clone())
    });
    let upload = Incoming {
        info: media::FileInfo::default(),
        size: None,
        bits,
    };

    let mxc = house
        .media
        .upload(ALICE, Target::New, upload)
        .await
        .expect("it is stored");

    assert_eq!(house.disk.written(), PIECES * PIECE);
    assert!(house.disk.largest_write() <= 256 * 1024);
    assert!(ahead.load(Ordering::Relaxed) <= 256 * 1024, "{ahead:?}");
    let found = house
        .find(Asker::User(BOB), &mxc)
        .await
        .expect("it is there");
    let mut bits = found.read(None).await.expect("it opens");
    while let Some(piece) = bits.try_next().await.expect("it reads") {
        assert!(piece.len() <= 512 * 1024);
    }
}

#[tokio::test]
async fn slow_readers_are_read_for_in_small_pieces() {
    let house = House::new().await;
    let mxc = house.upload(ALICE, &vec![1; 4 << 20]).await;
    let found = house
        .find(Asker::User(BOB), &mxc)
        .await
        .expect("it is there");
    let mut bits = found.read(None).await.expect("it opens");

    bits.try_next().await.expect("it reads");
    house.clock.advance(Duration::from_secs(60));
    let slow = bits
        .try_next()
        .await
        .expect("it reads")
        .expect("there is more");

    assert_eq!(slow.len(), 16 * 1024);
}

#[tokio::test]
async fn what_is_too_large_is_refused_announced_or_not() {
    let mut options = Options::default();
    options.config.max_upload_size = 5000;
    let house = House::with(options).await;

    assert!(house.try_upload(ALICE, &[0; 5000]).await.is_ok());
    let streamed = house.try_upload(ALICE, &[0; 5001]).await;
    assert!(matches!(
        streamed,
        Err(UploadError::TooLarge { limit: 5000 })
    ));
    let announced = Incoming {
        size: Some(5001),
        ..file(&[])
    };
    let announced = house.media.upload(ALICE, Target::New, announced).await;
    assert!(matches!(announced, Err(UploadError::TooLarge { .. })));
    assert!(house.incoming().is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let house = House::new().await;
    let pieces = vec![Ok(Bytes::from(vec![0; 300_000])), Err(Broken)];
    let upload = Incoming {
        info: media::FileInfo::default(),
        size: None,
        bits: stream::iter(pieces),
    };

    let broken = house.media.upload(ALICE, Target::New, upload).await;

    assert!(matches!(broken, Err(UploadError::Cut)));
    assert!(house.disk.files().is_empty(), "{:?}", house.disk.files());
}

#[tokio::test]
async fn a_full_disk_refuses_uploads_until_there_is_room() {
    let house = House::new().await;
    let before = house.upload(ALICE, b"before").await;

    house.disk.fill(true);
    let refused = house.try_upload(ALICE, &[0; 1000]).await;
    assert!(matches!(refused, Err(UploadError::Full)), "{refused:?}");
    assert!(house.incoming().is_empty());
    assert_eq!(house.download(&before).await, b"before");

    house.disk.fill(false);
    assert!(house.try_upload(ALICE, &[0; 1000]).await.is_ok());
}

#[tokio::test]
async fn quotas_hold_for_uploads_at_once() {
    let mut options = Options::default();
    options.config.quota_bytes = Some(10_000);
    options.config.quota_files = Some(8);
    let house = House::with(options).await;

    let uploads = (0..12_u8).map(|n| {
        let house = &house;
        async move { house.try_upload(ALICE, &[n; 3000]).await }
    });
    let results: Vec<_> = stream::iter(uploads).buffer_unordered(12).collect().await;

    let stored = results.iter().filter(|result| result.is_ok()).count();
    let usage = house.media.usage_of(ALICE).await.expect("it reads");
    assert!(usage.bytes <= 10_000, "{usage:?}");
    assert_eq!(usage.files, stored as u64);
    for result in results.into_iter().filter_map(Result::err) {
        let is_quota = matches!(
            result,
            UploadError::QuotaBytes { .. } | UploadError::QuotaFiles { .. }
        );
        assert!(is_quota, "{result:?}");
    }
    assert_eq!(house.contents_on_disk(), stored);
    // Another user is not concerned, and deleting makes room.
    house.upload(BOB, &[1; 3000]).await;
    for n in 0..8 {
        let small = house.try_upload(BOB, &[n, n]).await;
        assert_eq!(small.is_ok(), n < 7, "{n}");
    }
}

#[tokio::test]
async fn one_user_has_few_uploads_at_once() {
    let mut options = Options::default();
    options.config.uploads_per_user = 2;
    let house = House::with(options).await;
    let endless = || Incoming {
        info: media::FileInfo::default(),
        size: None,
        bits: stream::pending::<Result<Bytes, Broken>>(),
    };
    let mut running: Vec<_> = (0..2)
        .map(|_| Box::pin(house.media.upload(ALICE, Target::New, endless())))
        .collect();
    for upload in &mut running {
        assert!(futures_util::poll!(&mut *upload).is_pending());
        tokio::task::yield_now().await;
        assert!(futures_util::poll!(upload).is_pending());
    }

    let third = house.try_upload(ALICE, b"third").await;
    assert!(matches!(third, Err(UploadError::TooMany)), "{third:?}");
    house.upload(BOB, b"other").await;
    drop(running);
    house.upload(ALICE, b"third").await;
}

#[tokio::test]
async fn a_reserved_id_is_its_owners_and_is_used_once() {
    let house = House::new().await;
    let reserved = house.media.create(ALICE).await.expect("an id");
    let id = || Target::Reserved(reserved.mxc.id().to_owned());

    let other = house.media.upload(BOB, id(), file(b"x")).await;
    assert!(matches!(other, Err(UploadError::NotOwner)));
    let own = house.media.upload(ALICE, id(), file(b"x")).await;
    assert_eq!(own.expect("it is stored"), reserved.mxc);
    let again = house.media.upload(ALICE, id(), file(b"y")).await;
    assert!(matches!(again, Err(UploadError::Exists)));
    let unknown = Target::Reserved("unknown".to_owned());
    let unknown = house.media.upload(ALICE, unknown, file(b"x")).await;
    assert!(matches!(unknown, Err(UploadError::Unknown)));
    assert_eq!(house.download(&reserved.mxc).await, b"x");
    let usage = house.snapshot().await.get(MEDIA_USAGE.at(ALICE)).await;
    assert_eq!(usage.expect("it reads").expect("a row").reserved, 0);
}

#[tokio::test]
async fn a_reserved_id_expires_and_is_forgotten() {
    let mut options = Options::default();
    options.config.reserved_per_user = 2;
    let house = House::with(options).await;
    let first = house.media.create(ALICE).await.expect("an id");
    house.media.create(ALICE).await.expect("an id");
    let third = house.media.create(ALICE).await;
    assert!(matches!(third, Err(UploadError::TooMany)));

    house.clock.advance(Duration::from_hours(24));
    let target = Target::Reserved(first.mxc.id().to_owned());
    let late = house.media.upload(ALICE, target, file(b"x")).await;
    assert!(matches!(late, Err(UploadError::Unknown)));
    house.media.sweep().await.expect("it sweeps");

    let left = house.snapshot().await.page(MEDIA_RESERVED.all(), 10).await;
    assert!(left.expect("it reads").is_empty());
    house
        .media
        .create(ALICE)
        .await
        .expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_download_waits_for_the_upload() {
    let house = House::new().await;
    let reserved = house.media.create(ALICE).await.expect("an id");
    let (media, mxc) = (house.media.clone(), reserved.mxc.clone());
    let waiting = house.tasks.spawn(async move {
        let found = media.download(wanted(Asker::User(BOB), &mxc)).await;
        found.map(|found| found.size)
    });
    tokio::task::yield_now().await;

    let target = Target::Reserved(reserved.mxc.id().to_owned());
    house
        .media
        .upload(ALICE, target, file(b"late"))
        .await
        .expect("it is stored");

    assert_eq!(waiting.await.expect("no panic").expect("it came"), Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_download_gives_up_waiting() {
    let house = House::new().await;
    let reserved = house.media.create(ALICE).await.expect("an id");

    let late = house.find(Asker::User(BOB), &reserved.mxc).await;
    assert!(matches!(late, Err(DownloadError::NotYetUploaded)));

    let unknown = Mxc::parse("mxc://example.org/unknown").expect("a name");
    let unknown = house.find(Asker::User(BOB), &unknown).await;
    assert!(matches!(unknown, Err(DownloadError::NotFound)));
}

#[tokio::test]
async fn only_what_was_stored_before_the_freeze_is_open_to_anyone() {
    let mut options = Options::default();
    options.config.stores_open = true;
    let open = House::with(options).await;
    let mxc = open.upload(ALICE, b"x").await;
    assert!(open.find(Asker::Anyone, &mxc).await.is_ok());

    let frozen = House::new().await;
    let mxc = frozen.upload(ALICE, b"x").await;
    let asked = frozen.find(Asker::Anyone, &mxc).await;
    assert!(matches!(asked, Err(DownloadError::NotFound)));
    assert!(frozen.find(Asker::Server, &mxc).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_lost_is_repaired_by_its_next_upload() {
    let house = House::new().await;
    let mxc = house.upload(ALICE, b"precious").await;
    for path in house.disk.files() {
        house.disk.remove_file(&path);
    }
    assert!(house.try_download(&mxc).await.is_err());
    let found = house.media.check().await.expect("it checks");
    assert_eq!((found.missing, found.lost), (1, vec![mxc.clone()]));

    house.upload(BOB, b"precious").await;

    assert_eq!(house.download(&mxc).await, b"precious");
}

#[tokio::test]
async fn a_hostile_name_or_type_is_kept_as_text_or_not_at_all() {
    let house = House::new().await;
    let long = "x".repeat(5000);
    let upload = named(b"x", &long, "../../etc/passwd\r\nSet-Cookie: a");

    let mxc = house
        .media
        .upload(ALICE, Target::New, upload)
        .await
        .expect("it is stored");

    let wanted = Wanted {
        reach: Reach::Stored,
        ..wanted(Asker::User(BOB), &mxc)
    };
    let found = house.media.download(wanted).await.expect("it is there");
    assert_eq!(found.info.content_type, None);
    let contents = house.snapshot().await.page(MEDIA_CONTENTS.all(), 10).await;
    assert_eq!(contents.expect("it reads").len(), 1);
    assert!(
        house
            .disk
            .files()
            .iter()
            .all(|path| path.starts_with("/media"))
    );
}
