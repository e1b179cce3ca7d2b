//! Thumbnails: made once of each content, size, method and kind, on a bounded pool of threads
//! ("Thumbnails" of the client-server API).

mod probe;
mod render;
mod size;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use database::{Read as _, StoreError, Txn, engine::BoxFuture};
use futures_util::{FutureExt as _, TryStreamExt as _, future::Shared};
use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

pub use self::size::{Method, Size, ThumbnailAsk};
use self::{
    probe::Probe,
    render::{Job, Rendered},
};
use crate::{
    download::Wanted,
    error::{DownloadError, ThumbnailError, UploadError},
    id::ContentHash,
    media::Media,
    rows,
    storage::Bits,
    tables::{MEDIA_CONTENTS, MEDIA_THUMBNAILS, ThumbnailRow},
};

/// More sizes and kinds than there are.
pub(crate) const MOST_PER_CONTENT: usize = 256;
/// Images whose thumbnails failed, so that they are not tried again and again. About 64 bytes each.
const REMEMBERED_FAILURES: usize = 4096;
const KIB: u64 = 1024;

/// What thumbnails may cost.
#[derive(Clone, Debug)]
pub struct ThumbnailLimits {
    /// Images that are decoded at once.
    pub threads: usize,
    /// Bytes that all of them together take, their files included. An image that needs more gets no
    /// thumbnail.
    pub memory: u64,
    /// Pixels of one image.
    pub pixels: u64,
    /// How long an animation may be worked on.
    pub time: Duration,
    /// Images that may wait for a thread.
    pub queue: usize,
}

impl Default for ThumbnailLimits {
    fn default() -> Self {
        Self {
            threads: 2,
            memory: 60 << 20,
            pixels: 64_000_000,
            time: Duration::from_secs(10),
            queue: 256,
        }
    }
}

/// What a thumbnail is of and how it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ThumbnailKey {
    content: ContentHash,
    size: Size,
    kind: Kind,
}

/// Method and animation, as a number in keys: these are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    method: Method,
    animated: bool,
}

impl Kind {
    fn number(self) -> u8 {
        match (self.method, self.animated) {
            (Method::Scale, false) => 0,
            (Method::Crop, false) => 1,
            (Method::Scale, true) => 2,
            (Method::Crop, true) => 3,
        }
    }
}

impl ThumbnailKey {
    pub(crate) fn row(self) -> (ContentHash, u16, u16, u8) {
        let short = |length: u32| u16::try_from(length).unwrap_or(u16::MAX);
        let Size { width, height } = self.size;
        (
            self.content,
            short(width),
            short(height),
            self.kind.number(),
        )
    }

    pub(crate) fn content(self) -> ContentHash {
        self.content
    }
}

/// A thumbnail, of which nothing was read yet.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    pub content_type: String,
    pub size: u64,
    pub hash: ContentHash,
}

/// Why one was not made. Shared by all who wait for it.
#[derive(Clone)]
enum MakeError {
    Image(ThumbnailError),
    Failed(String),
}

type Making = Shared<BoxFuture<'static, Result<ThumbnailRow, MakeError>>>;

/// Who makes thumbnails.
pub(crate) struct Thumbnailer {
    limits: ThumbnailLimits,
    tasks: TaskTracker,
    threads: Arc<Semaphore>,
    /// In KiB.
    memory: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    making: Mutex<HashMap<ThumbnailKey, Making>>,
    failures: Cache<ThumbnailKey, ThumbnailError>,
}

impl Thumbnailer {
    pub(crate) fn new(limits: &ThumbnailLimits, tasks: TaskTracker) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(limits.threads)),
            memory: Arc::new(Semaphore::new(kib(limits.memory) as usize)),
            queue: Arc::new(Semaphore::new(limits.queue + limits.threads)),
            making: Mutex::default(),
            failures: Cache::new(REMEMBERED_FAILURES),
            limits: limits.clone(),
            tasks,
        }
    }

    /// Runs on a thread of its own; `None` if it panicked, which is a bug in a decoder that was
    /// contained.
    async fn render(
        &self,
        work: impl FnOnce() -> Result<Rendered, ThumbnailError> + Send + 'static,
    ) -> Result<Rendered, ThumbnailError> {
        match self.tasks.spawn_blocking(work).await {
            Ok(rendered) => rendered,
            Err(error) => {
                tracing::error!(%error, "an image made a decoder panic");
                Err(ThumbnailError::Damaged("it cannot be decoded".to_owned()))
            }
        }
    }
}

impl Media {
    /// A thumbnail of media that the asker may have, made now if it is the first of its kind.
    pub async fn thumbnail(
        &self,
        wanted: Wanted<'_>,
        ask: ThumbnailAsk,
    ) -> Result<Thumbnail, DownloadError> {
        let (size, method) = size::settle(ask)?;
        let original = self.download_whole(wanted).await?;
        let content = original.hash.ok_or(DownloadError::NotFound)?;
        let kind = Kind {
            method,
            animated: ask.animated,
        };
        let key = ThumbnailKey {
            content,
            size,
            kind,
        };
        let row = self.thumbnail_of(key).await?;
        Ok(Thumbnail {
            content_type: row.content_type,
            size: row.size,
            hash: row.content,
        })
    }

    /// Whether thumbnails can be made of a content. The first is made by this.
    pub(crate) async fn check_image(&self, content: ContentHash) -> Result<(), DownloadError> {
        let (size, method) = size::settle(ThumbnailAsk {
            width: 800,
            height: 600,
            method: Method::Scale,
            animated: false,
        })?;
        let kind = Kind {
            method,
            animated: false,
        };
        let key = ThumbnailKey {
            content,
            size,
            kind,
        };
        self.thumbnail_of(key).await.map(|_| ())
    }

    /// Its bytes.
    pub async fn read_thumbnail(&self, thumbnail: &Thumbnail) -> Result<Bits, DownloadError> {
        self.read_content(thumbnail.hash, 0..thumbnail.size).await
    }

    async fn thumbnail_of(&self, key: ThumbnailKey) -> Result<ThumbnailRow, DownloadError> {
        let db = self.snapshot().await?;
        if let Some(row) = db.get(MEDIA_THUMBNAILS.at(key.row())).await? {
            return Ok(row);
        }
        if let Some(error) = self.0.thumbnailer.failures.get(&key) {
            return Err(error.into());
        }
        self.making(key)?.await.map_err(|error| match error {
            MakeError::Image(error) => error.into(),
            MakeError::Failed(error) => StoreError::Unavailable(error).into(),
        })
    }

    /// Joins those who wait for the same thumbnail, or begins to make it.
    fn making(&self, key: ThumbnailKey) -> Result<Making, ThumbnailError> {
        let thumbnailer = &self.0.thumbnailer;
        let making = thumbnailer.making.lock();
        let mut making = making.unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = making.get(&key) {
            return Ok(running.clone());
        }
        let place = thumbnailer.queue.clone().try_acquire_owned();
        let place = place.map_err(|_| ThumbnailError::Busy)?;
        let media = self.clone();
        let work = self.0.needs.tasks.spawn(async move {
            let made = media.make(key).await;
            if let Err(MakeError::Image(error)) = &made {
                tracing::debug!(hash = %key.content, %error, "no thumbnail");
                media.0.thumbnailer.failures.insert(key, error.clone());
            }
            let all = media.0.thumbnailer.making.lock();
            all.unwrap_or_else(PoisonError::into_inner).remove(&key);
            drop(place);
            made
        });
        let joined = async {
            let made = work.await;
            made.unwrap_or_else(|error| Err(MakeError::Failed(error.to_string())))
        };
        let running = joined.boxed().shared();
        making.insert(key, running.clone());
        Ok(running)
    }

    async fn make(&self, key: ThumbnailKey) -> Result<ThumbnailRow, MakeError> {
        let thumbnailer = &self.0.thumbnailer;
        let _thread = thumbnailer.threads.acquire().await.map_err(failed)?;
        let db = self.snapshot().await.map_err(failed)?;
        let content = db.get(MEDIA_CONTENTS.at(key.content)).await;
        let content = content.map_err(failed)?;
        let size = content.ok_or_else(|| failed("the image is gone"))?.size;
        drop(db);
        let prefix = self
            .read_whole(key.content, size.min(probe::PREFIX))
            .await?;
        let probe = Probe::of(&prefix).map_err(MakeError::Image)?;
        drop(prefix);
        let memory = thumbnailer.admit(&probe, size).await?;
        let bytes = self.read_whole(key.content, size).await?;
        let clock = self.0.needs.clock.clone();
        let end = clock.monotonic() + thumbnailer.limits.time;
        let work = move || {
            let job = Job {
                bytes: &bytes,
                probe,
                size: key.size,
                method: key.kind.method,
                animated: key.kind.animated,
                end,
                clock: &*clock,
            };
            let rendered = render::render(&job);
            drop((bytes, memory));
            rendered
        };
        match thumbnailer.render(work).await.map_err(MakeError::Image)? {
            Rendered::Original(content_type) => {
                let row = ThumbnailRow {
                    content: key.content,
                    size,
                    content_type: content_type.to_owned(),
                };
                self.record_thumbnail(key, row).await
            }
            Rendered::Made {
                bytes,
                content_type,
            } => self.store_thumbnail(key, &bytes, content_type).await,
        }
    }

    async fn store_thumbnail(
        &self,
        key: ThumbnailKey,
        bytes: &[u8],
        content_type: &str,
    ) -> Result<ThumbnailRow, MakeError> {
        let mut draft = self.0.needs.files.draft(&*self.0.needs.random);
        draft.write(bytes).await.map_err(failed)?;
        let draft = draft.finish().await.map_err(failed)?;
        let turn = self.0.contents.take(draft.hash).await;
        let place = self.keep(&draft).await.map_err(failed)?;
        let row = ThumbnailRow {
            content: draft.hash,
            size: draft.size,
            content_type: content_type.to_owned(),
        };
        let recorded = self.commit_thumbnail(key, &row, place).await;
        if let Err(error) = recorded {
            self.discard(&draft, place).await;
            return Err(error);
        }
        let storage = self.storage(place).map_err(failed)?;
        storage.confirm(draft.hash).await.map_err(failed)?;
        drop(turn);
        Ok(row)
    }

    async fn record_thumbnail(
        &self,
        key: ThumbnailKey,
        row: ThumbnailRow,
    ) -> Result<ThumbnailRow, MakeError> {
        let place = self.0.config.place;
        self.commit_thumbnail(key, &row, place).await?;
        Ok(row)
    }

    async fn commit_thumbnail(
        &self,
        key: ThumbnailKey,
        row: &ThumbnailRow,
        place: crate::tables::Place,
    ) -> Result<(), MakeError> {
        let body = |txn: Txn| async move {
            // Deleted while its thumbnail was made.
            if !txn.exists(MEDIA_CONTENTS.at(key.content)).await? {
                return Err(UploadError::Unknown);
            }
            rows::add_thumbnail(&txn, key, row, place).await?;
            Ok(())
        };
        let committed = self.store().transact(body).await;
        committed.map(|_| ()).map_err(failed)
    }

    async fn read_whole(&self, hash: ContentHash, size: u64) -> Result<Vec<u8>, MakeError> {
        let mut bits = self.read_content(hash, 0..size).await.map_err(failed)?;
        let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(failed)?);
        while let Some(more) = bits.try_next().await.map_err(failed)? {
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }
}

impl Thumbnailer {
    /// Waits for the memory that an image takes, of which there must be enough at all.
    async fn admit(&self, probe: &Probe, file: u64) -> Result<OwnedSemaphorePermit, MakeError> {
        let pixels = u64::from(probe.size.width) * u64::from(probe.size.height);
        let memory = probe.memory().saturating_add(file);
        if pixels > self.limits.pixels || memory > self.limits.memory {
            return Err(MakeError::Image(ThumbnailError::TooLarge));
        }
        let memory = self.memory.clone().acquire_many_owned(kib(memory)).await;
        memory.map_err(failed)
    }
}

/// Content type, width and height of an image, by its first bytes.
pub(crate) fn describe(bytes: &[u8]) -> Option<(&'static str, u32, u32)> {
    let probe = Probe::of(bytes).ok()?;
    Some((
        probe.format.content_type(),
        probe.size.width,
        probe.size.height,
    ))
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX >> 4)
}

fn failed(error: impl std::fmt::Display) -> MakeError {
    MakeError::Failed(error.to_string())
}
