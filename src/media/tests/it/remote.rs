//! Media of other servers, from a source that the test feeds by hand.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use database::engine::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use media::{
    Asker, DownloadError, FileInfo, Mxc, Reach, RemoteError, RemoteFile, RemoteSource, Verdict,
    Wanted,
};
use tokio::sync::mpsc;

use crate::house::{ALICE, BOB, House, Options, wanted};

type Piece = io::Result<Bytes>;

/// Gives out prepared files, one for each fetch.
#[derive(Default)]
struct Source {
    files: Mutex<VecDeque<Result<RemoteFile, RemoteError>>>,
    fetches: AtomicUsize,
}

impl Source {
    fn prepare(&self, file: Result<RemoteFile, RemoteError>) {
        let files = self.files.lock();
        files
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(file);
    }

    /// A file that arrives as the test sends its pieces.
    fn fed(&self, size: Option<u64>) -> mpsc::Sender<Piece> {
        let (sender, receiver) = mpsc::channel(1);
        let bits = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        self.prepare(Ok(RemoteFile {
            info: info(),
            size,
            bits: bits.boxed(),
        }));
        sender
    }

    fn whole(&self, bytes: &[u8]) {
        let pieces: Vec<Piece> = bytes
            .chunks(10_000)
            .map(|piece| Ok(piece.to_vec().into()))
            .collect();
        self.prepare(Ok(RemoteFile {
            info: info(),
            size: None,
            bits: stream::iter(pieces).boxed(),
        }));
    }
}

impl RemoteSource for Source {
    fn fetch(&self, _: Mxc, _: Duration) -> BoxFuture<'static, Result<RemoteFile, RemoteError>> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let files = self.files.lock();
        let next = files.unwrap_or_else(PoisonError::into_inner).pop_front();
        Box::pin(std::future::ready(
            next.unwrap_or(Err(RemoteError::NotFound)),
        ))
    }
}

fn info() -> FileInfo {
    FileInfo {
        content_type: Some("text/plain".to_owned()),
        file_name: Some("far.txt".to_owned()),
    }
}

fn far() -> Mxc {
    Mxc::parse("mxc://far.example/abc").expect("a name")
}

async fn house() -> (House, Arc<Source>) {
    with(Options::default()).await
}

async fn with(mut options: Options) -> (House, Arc<Source>) {
    let source = Arc::new(Source::default());
    options.remote = Some(source.clone());
    (House::with(options).await, source)
}

#[tokio::test]
async fn a_file_is_fetched_once_and_kept() {
    let (house, source) = house().await;
    source.whole(&vec![5; 300_000]);

    assert_eq!(house.download(&far()).await, vec![5; 300_000]);
    assert_eq!(house.download(&far()).await, vec![5; 300_000]);

    assert_eq!(source.fetches.load(Ordering::Relaxed), 1);
    let usage = house.media.usage().await.expect("it reads");
    assert_eq!((usage.remote.files, usage.remote.bytes), (1, 300_000));
    assert_eq!(usage.local.files, 0);
}

#[tokio::test]
async fn all_who_ask_share_one_fetch_and_read_while_it_arrives() {
    let (house, source) = house().await;
    let feed = source.fed(None);
    let piece = Bytes::from(vec![9; 100_000]);
    feed.send(Ok(piece.clone())).await.expect("it is taken");
    let first = house
        .find(Asker::User(ALICE), &far())
        .await
        .expect("it arrives");
    let second = house
        .find(Asker::User(BOB), &far())
        .await
        .expect("it arrives");
    assert_eq!(first.info, info());
    assert!(!first.is_stored());
    let mut readers = Vec::new();
    for found in [first, second] {
        let mut bits = found.read(None).await.expect("it opens");
        let begun = bits.try_next().await.expect("it reads").expect("a piece");
        assert!(!begun.is_empty());
        readers.push((bits, begun.to_vec()));
    }

    for _ in 0..3 {
        feed.send(Ok(piece.clone())).await.expect("it is taken");
    }
    drop(feed);

    for (bits, mut bytes) in readers {
        let rest: Vec<Bytes> = bits.try_collect().await.expect("it reads");
        bytes.extend(rest.concat());
        assert_eq!(bytes, vec![9; 400_000]);
    }
    assert_eq!(source.fetches.load(Ordering::Relaxed), 1);
    assert_eq!(house.contents_on_disk(), 1);
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_first_asker_leaves() {
    let (house, source) = house().await;
    let feed = source.fed(None);
    {
        let mxc = far();
        let asked = house.find(Asker::User(ALICE), &mxc);
        let mut asked = std::pin::pin!(asked);
        assert!(futures_util::poll!(&mut asked).is_pending());
    }
    feed.send(Ok(Bytes::from_static(b"still here")))
        .await
        .expect("it is taken");
    drop(feed);

    assert_eq!(house.download(&far()).await, b"still here");
    assert_eq!(source.fetches.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_file_that_breaks_off_is_an_error_and_not_kept() {
    let (house, source) = house().await;
    let feed = source.fed(Some(500_000));
    feed.send(Ok(vec![1; 100_000].into()))
        .await
        .expect("it is taken");
    let found = house
        .find(Asker::User(ALICE), &far())
        .await
        .expect("it arrives");
    assert_eq!(found.size, Some(500_000));
    let bits = found.read(None).await.expect("it opens");
    drop(feed);

    let read: Result<Vec<Bytes>, _> = bits.try_collect().await;

    assert!(read.is_err());
    assert_eq!(house.contents_on_disk(), 0);
    source.whole(b"whole now");
    assert_eq!(house.download(&far()).await, b"whole now");
}

#[tokio::test]
async fn too_large_files_are_refused_announced_or_not() {
    let mut options = Options::default();
    options.config.max_remote_size = 50_000;
    let (house, source) = with(options).await;

    source.prepare(Ok(RemoteFile {
        info: info(),
        size: Some(50_001),
        bits: stream::empty().boxed(),
    }));
    let announced = house.try_download(&far()).await;
    assert!(matches!(announced, Err(DownloadError::RemoteTooLarge)));
    source.whole(&vec![0; 50_001]);
    assert!(matches!(
        house.try_download(&far()).await,
        Err(DownloadError::RemoteTooLarge)
    ));
    assert!(house.disk.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stalls_is_given_up() {
    let (house, source) = house().await;
    let _feed = source.fed(None);

    let asked = house.try_download(&far()).await;

    assert!(
        matches!(asked, Err(DownloadError::Unreachable)),
        "{asked:?}"
    );
}

#[tokio::test]
async fn nothing_is_fetched_for_those_who_may_not_have_it() {
    let (house, source) = house().await;
    let mxc = far();
    for (who, reach) in [
        (Asker::Server, Reach::Remote),
        (Asker::Anyone, Reach::Remote),
        (Asker::User(ALICE), Reach::Stored),
    ] {
        let wanted = Wanted {
            who,
            reach,
            ..wanted(who, &mxc)
        };
        let asked = house.media.download(wanted).await;
        assert!(matches!(asked, Err(DownloadError::NotFound)));
    }
    assert_eq!(source.fetches.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_quarantined_content_does_not_come_back_under_another_name() {
    let (house, source) = house().await;
    let mxc = house.upload(ALICE, b"bad").await;
    let hash = house
        .media
        .content_of(&mxc)
        .await
        .expect("it reads")
        .expect("a hash");
    house
        .media
        .judge(hash, Some(Verdict::Quarantined))
        .await
        .expect("judged");

    source.whole(b"bad");
    let asked = house.try_download(&far()).await;

    assert!(matches!(asked, Err(DownloadError::NotFound)), "{asked:?}");
}

#[tokio::test]
async fn errors_of_the_server_are_told_apart() {
    let (house, source) = house().await;
    source.prepare(Err(RemoteError::NotYetUploaded));
    assert!(matches!(
        house.try_download(&far()).await,
        Err(DownloadError::NotYetUploaded)
    ));
    source.prepare(Err(RemoteError::Unreachable("no route".to_owned())));
    assert!(matches!(
        house.try_download(&far()).await,
        Err(DownloadError::Unreachable)
    ));
    assert!(matches!(
        house.try_download(&far()).await,
        Err(DownloadError::NotFound)
    ));
}
