//! Media on an engine in memory and a disk in memory, with a clock that tests move and randomness
//! that repeats.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use database::{Memory, MockClock, SeededRandom, Snapshot, Store, UserNumber};
use futures_util::{Stream, TryStreamExt as _, stream};
use media::{
    Asker, Broken, Download, DownloadError, FileInfo, Incoming, Media, MediaConfig, MediaNeeds,
    Mxc, Reach, RemoteSource, Scanner, Target, UploadError, Wanted,
    storage::{Blocking, FileStorage, ObjectStorage},
};
use object_store::memory::InMemory;
use ruma::server_name;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::disk::TestDisk;

pub(crate) const ALICE: UserNumber = UserNumber(1);
pub(crate) const BOB: UserNumber = UserNumber(2);

pub(crate) struct House {
    pub(crate) media: Media,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) store: Store,
    pub(crate) disk: TestDisk,
    pub(crate) tasks: TaskTracker,
    memory: Memory,
    options: Options,
}

#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) config: MediaConfig,
    pub(crate) remote: Option<Arc<dyn RemoteSource>>,
    pub(crate) scanner: Option<Arc<dyn Scanner>>,
    pub(crate) objects: Option<Arc<InMemory>>,
    seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: MediaConfig::new(server_name!("example.org").to_owned()),
            remote: None,
            scanner: None,
            objects: None,
            seed: 1,
        }
    }
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        Self::on(Memory::new(), TestDisk::default(), options).await
    }

    /// Another process on the same database and disk.
    pub(crate) async fn restarted(&self) -> Self {
        let mut options = self.options.clone();
        options.seed += 1;
        Self::on(self.memory.clone(), self.disk.clone(), options).await
    }

    async fn on(memory: Memory, disk: TestDisk, options: Options) -> Self {
        let clock = Arc::new(MockClock::default());
        let store = Store::new(Arc::new(memory.clone()));
        let tasks = TaskTracker::new();
        let blocking = Blocking::new(4, tasks.clone());
        let root = PathBuf::from("/media");
        let objects = options.objects.clone();
        let files = Arc::new(disk.clone());
        let files = FileStorage::open(root, files, blocking.clone(), clock.clone());
        let needs = MediaNeeds {
            store: store.clone(),
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(options.seed)),
            files: files.await.expect("the folder is made"),
            objects: objects.map(|store| {
                ObjectStorage::new(store, None, Arc::new(disk.clone()), blocking.clone())
            }),
            remote: options.remote.clone(),
            scanner: options.scanner.clone(),
            tasks: tasks.clone(),
            stop: CancellationToken::new(),
        };
        let media = Media::open(needs, options.config.clone()).await;
        Self {
            media: media.expect("media opens"),
            clock,
            store,
            disk,
            tasks,
            memory,
            options,
        }
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        self.store.snapshot().await.expect("there is a snapshot")
    }

    pub(crate) async fn try_upload(
        &self,
        owner: UserNumber,
        bytes: &[u8],
    ) -> Result<Mxc, UploadError> {
        self.media.upload(owner, Target::New, file(bytes)).await
    }

    pub(crate) async fn upload(&self, owner: UserNumber, bytes: &[u8]) -> Mxc {
        self.try_upload(owner, bytes).await.expect("it is stored")
    }

    pub(crate) async fn find(&self, who: Asker, mxc: &Mxc) -> Result<Download, DownloadError> {
        self.media.download(wanted(who, mxc)).await
    }

    pub(crate) async fn try_download(&self, mxc: &Mxc) -> Result<Vec<u8>, DownloadError> {
        let found = self.find(Asker::User(BOB), mxc).await?;
        let mut bits = found.read(None).await?;
        let mut bytes = Vec::new();
        while let Some(more) = bits.try_next().await? {
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }

    pub(crate) async fn download(&self, mxc: &Mxc) -> Vec<u8> {
        self.try_download(mxc).await.expect("it is there")
    }

    /// Files of contents on the disk, without drafts and markers.
    pub(crate) fn contents_on_disk(&self) -> usize {
        let files = self.disk.files();
        let is_content = |path: &&PathBuf| !path.starts_with("/media/incoming");
        files.iter().filter(is_content).count()
    }

    pub(crate) fn incoming(&self) -> Vec<PathBuf> {
        let mut files = self.disk.files();
        files.retain(|path| path.starts_with("/media/incoming"));
        files
    }
}

pub(crate) fn wanted(who: Asker, mxc: &Mxc) -> Wanted<'_> {
    Wanted {
        who,
        mxc,
        patience: Duration::from_secs(20),
        reach: Reach::Remote,
    }
}

pub(crate) type Bits = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>;

pub(crate) fn file(bytes: &[u8]) -> Incoming<Bits> {
    named(bytes, "image/png", "picture.png")
}

pub(crate) fn named(bytes: &[u8], kind: &str, name: &str) -> Incoming<Bits> {
    let pieces: Vec<_> = bytes.chunks(1000).map(Bytes::copy_from_slice).collect();
    Incoming {
        info: FileInfo {
            content_type: Some(kind.to_owned()),
            file_name: Some(name.to_owned()),
        },
        size: None,
        bits: Box::pin(stream::iter(pieces.into_iter().map(Ok))),
    }
}
