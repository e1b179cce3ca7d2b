//! Media of other servers: fetched once for all who ask, sent to them while it is stored.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use database::{Read as _, engine::BoxFuture};
use futures_util::{StreamExt as _, stream};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    error::{DownloadError, UploadError},
    id::Mxc,
    media::Media,
    storage::{Bits, Draft, ReadFile},
    tables::{MEDIA_VERDICTS, Verdict},
    upload::{FileInfo, Target},
};

/// How long another server may take for each [`PROGRESS`] bytes of a file, and for all of it.
const STALL: Duration = Duration::from_secs(30);
const PROGRESS: u64 = 16 * 1024;
const LONGEST: Duration = Duration::from_mins(30);
/// Bytes after which those who wait are sent what there is.
const PIECE: u64 = 64 * 1024;
const READ: u64 = 128 * 1024;
/// Fetches that run or wait.
const MOST_FLIGHTS: usize = 1024;

/// Fetches media from the server that has it. Implemented by federation.
pub trait RemoteSource: Send + Sync {
    /// `patience` is what the server may wait for an upload of its own.
    fn fetch(
        &self,
        mxc: Mxc,
        patience: Duration,
    ) -> BoxFuture<'static, Result<RemoteFile, RemoteError>>;
}

/// A file that begins to arrive.
pub struct RemoteFile {
    pub info: FileInfo,
    /// As announced by the server.
    pub size: Option<u64>,
    pub bits: Bits,
}

/// Why a server gives no file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    #[error("it has no such media")]
    NotFound,
    #[error("it is not uploaded yet")]
    NotYetUploaded,
    #[error("it is too large")]
    TooLarge,
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// By the scanner or by an earlier verdict.
    #[error("it is not allowed here")]
    Refused,
    /// The fault is on this side.
    #[error("it cannot be stored: {0}")]
    NotStored(String),
}

/// Fetches that run, by what they fetch.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<Mxc, watch::Receiver<Progress>>>);

#[derive(Clone)]
enum Progress {
    Asking,
    /// `written` bytes can be read from the draft.
    Arriving {
        begun: Arc<Begun>,
        written: u64,
    },
    Stored {
        size: u64,
    },
    Failed(RemoteError),
}

struct Begun {
    info: FileInfo,
    size: Option<u64>,
    draft: PathBuf,
}

/// What came of joining a fetch.
pub(crate) enum Joined {
    Stored,
    Arriving(Flight),
}

/// A file that arrives.
pub(crate) struct Flight {
    pub(crate) info: FileInfo,
    pub(crate) size: Option<u64>,
    draft: PathBuf,
    progress: watch::Receiver<Progress>,
}

impl Media {
    /// Begins to fetch a file, or joins those who do. Returns when it begins to arrive, if it may
    /// be read before it is whole.
    pub(crate) async fn join_fetch(
        &self,
        mxc: &Mxc,
        patience: Duration,
    ) -> Result<Joined, DownloadError> {
        let source = self.0.needs.remote.clone();
        let source = source.ok_or(DownloadError::NotFound)?;
        let may_stream = self.may_stream().await?;
        let mut progress = self.flight(mxc, source, patience);
        loop {
            let state = progress.borrow_and_update().clone();
            match state {
                Progress::Failed(error) => return Err(error.into()),
                Progress::Stored { .. } => return Ok(Joined::Stored),
                Progress::Arriving { begun, written } if may_stream && written > 0 => {
                    return Ok(Joined::Arriving(Flight {
                        info: begun.info.clone(),
                        size: begun.size,
                        draft: begun.draft.clone(),
                        progress,
                    }));
                }
                Progress::Asking | Progress::Arriving { .. } => {}
            }
            if progress.changed().await.is_err() {
                return Err(DownloadError::Unreachable);
            }
        }
    }

    /// Not where a file must be known as a whole before anybody sees it: for a scanner, or to
    /// compare its hash.
    async fn may_stream(&self) -> Result<bool, DownloadError> {
        if self.0.needs.scanner.is_some() {
            return Ok(false);
        }
        let db = self.snapshot().await?;
        let some = db.page(MEDIA_VERDICTS.all(), 1000).await?;
        // More verdicts than that are not looked through: some of them is a quarantine.
        let is_quarantine = |(_, verdict): &(_, Verdict)| *verdict == Verdict::Quarantined;
        Ok(some.len() < 1000 && !some.iter().any(is_quarantine))
    }

    fn flight(
        &self,
        mxc: &Mxc,
        source: Arc<dyn RemoteSource>,
        patience: Duration,
    ) -> watch::Receiver<Progress> {
        let mut flights = self.0.flights.all();
        if let Some(progress) = flights.get(mxc) {
            return progress.clone();
        }
        let (sender, receiver) = watch::channel(Progress::Asking);
        // One server cannot take all places.
        let same = flights
            .keys()
            .filter(|other| other.server() == mxc.server())
            .count();
        if flights.len() >= MOST_FLIGHTS || same >= self.0.config.fetches.div_ceil(4) {
            let busy = RemoteError::Unreachable("too many fetches at once".to_owned());
            sender.send_replace(Progress::Failed(busy));
            return receiver;
        }
        flights.insert(mxc.clone(), receiver.clone());
        drop(flights);
        let (media, mxc) = (self.clone(), mxc.clone());
        let stop = self.0.needs.stop.clone();
        self.0.needs.tasks.spawn(async move {
            let landing = Landing {
                media: media.clone(),
                mxc: mxc.clone(),
            };
            let fetch = media.fetch(&mxc, &*source, patience, &sender);
            let end = match stop.run_until_cancelled(fetch).await {
                Some(Ok(size)) => Progress::Stored { size },
                Some(Err(error)) => {
                    tracing::debug!(%mxc, %error, "remote media was not fetched");
                    Progress::Failed(error)
                }
                None => Progress::Failed(RemoteError::NotStored("the server stops".to_owned())),
            };
            // Whoever comes from here on finds the row, or fetches again.
            drop(landing);
            sender.send_replace(end);
        });
        receiver
    }

    async fn fetch(
        &self,
        mxc: &Mxc,
        source: &dyn RemoteSource,
        patience: Duration,
        progress: &watch::Sender<Progress>,
    ) -> Result<u64, RemoteError> {
        let _slot = self.0.fetches.acquire().await.map_err(not_stored)?;
        let file = source.fetch(mxc.clone(), patience).await?;
        let limit = self.0.config.max_remote_size;
        if file.size.is_some_and(|size| size > limit) {
            return Err(RemoteError::TooLarge);
        }
        let info = file.info.clone();
        let draft = self.0.needs.files.draft(&*self.0.needs.random);
        let draft = receive(file, draft, limit, progress).await?;
        let draft = draft.finish().await.map_err(not_stored)?;
        self.scan(&draft, &info).await.map_err(RemoteError::of)?;
        let row = self.new_row(&draft, info, None, self.0.needs.clock.now());
        match self.store_draft(&draft, mxc, &row, &Target::New).await {
            // An earlier fetch has ended in the same moment.
            Ok(()) | Err(UploadError::Exists) => {
                self.0.sweep.notify_one();
                Ok(draft.size)
            }
            Err(error) => Err(RemoteError::of(error)),
        }
    }
}

async fn receive(
    file: RemoteFile,
    mut draft: Draft,
    limit: u64,
    progress: &watch::Sender<Progress>,
) -> Result<Draft, RemoteError> {
    let begun = Arc::new(Begun {
        info: file.info,
        size: file.size,
        draft: draft.path().to_owned(),
    });
    let mut bits = file.bits;
    let end = Instant::now() + LONGEST;
    let (mut deadline, mut due) = (Instant::now() + STALL, PROGRESS);
    loop {
        let next = timeout_at(deadline.min(end), bits.next()).await;
        let next = next.map_err(|_| RemoteError::Unreachable("it stalled".to_owned()))?;
        let Some(bytes) = next else {
            break;
        };
        let bytes = bytes.map_err(|error| RemoteError::Unreachable(error.to_string()))?;
        if draft.len() + bytes.len() as u64 > limit {
            return Err(RemoteError::TooLarge);
        }
        draft.write(&bytes).await.map_err(not_stored)?;
        if draft.len() >= due {
            due = draft.len() + PROGRESS;
            deadline = Instant::now() + STALL;
        }
        if draft.len() - draft.flushed() >= PIECE {
            draft.flush().await.map_err(not_stored)?;
        }
        let (begun, written) = (begun.clone(), draft.flushed());
        progress.send_replace(Progress::Arriving { begun, written });
    }
    if begun.size.is_some_and(|size| size != draft.len()) {
        return Err(RemoteError::Unreachable("the file broke off".to_owned()));
    }
    Ok(draft)
}

impl Flights {
    fn all(&self) -> MutexGuard<'_, HashMap<Mxc, watch::Receiver<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a flight however its task ends.
struct Landing {
    media: Media,
    mxc: Mxc,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.media.0.flights.all().remove(&self.mxc);
    }
}

impl Flight {
    /// Ends when the file is stored.
    pub(crate) async fn stored(mut self) -> Result<(), DownloadError> {
        let is_over =
            |progress: &Progress| matches!(progress, Progress::Stored { .. } | Progress::Failed(_));
        let end = self.progress.wait_for(is_over).await;
        match end.map(|end| end.clone()) {
            Ok(Progress::Failed(error)) => Err(error.into()),
            Ok(_) => Ok(()),
            Err(_) => Err(DownloadError::Unreachable),
        }
    }

    /// From the start, as it arrives.
    pub(crate) async fn read(self, media: &Media) -> Result<Bits, DownloadError> {
        let file = media.0.needs.files.open_draft(&self.draft).await?;
        let reader = FlightReader {
            media: media.clone(),
            file,
            at: 0,
            progress: self.progress,
        };
        Ok(stream::try_unfold(reader, FlightReader::next).boxed())
    }
}

/// Reads the draft up to where it is written. The open file outlives its renaming and deletion.
struct FlightReader {
    media: Media,
    file: Box<dyn ReadFile>,
    at: u64,
    progress: watch::Receiver<Progress>,
}

impl FlightReader {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let end = loop {
            let state = self.progress.borrow_and_update().clone();
            match state {
                Progress::Arriving { written, .. } if written > self.at => break written,
                Progress::Stored { size } if size > self.at => break size,
                Progress::Stored { .. } => return Ok(None),
                Progress::Failed(error) => return Err(io::Error::other(error)),
                Progress::Asking | Progress::Arriving { .. } => {}
            }
            self.progress.changed().await.map_err(io::Error::other)?;
        };
        let length = usize::try_from((end - self.at).min(READ)).map_err(io::Error::other)?;
        let (at, mut file) = (self.at, self.file);
        let read = move || -> io::Result<_> {
            let bytes = file.read(at, length)?;
            Ok((file, bytes))
        };
        let blocking = self.media.0.needs.files.blocking();
        let (file, bytes) = blocking.run(read).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file = file;
        self.at += bytes.len() as u64;
        Ok(Some((bytes.into(), self)))
    }
}

impl RemoteError {
    fn of(error: UploadError) -> Self {
        match error {
            UploadError::Refused => Self::Refused,
            error => Self::NotStored(error.to_string()),
        }
    }
}

fn not_stored(error: impl std::error::Error) -> RemoteError {
    RemoteError::NotStored(error.to_string())
}

impl From<RemoteError> for DownloadError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::NotFound | RemoteError::Refused => Self::NotFound,
            RemoteError::NotYetUploaded => Self::NotYetUploaded,
            RemoteError::TooLarge => Self::RemoteTooLarge,
            RemoteError::Unreachable(_) => Self::Unreachable,
            RemoteError::NotStored(_) => Self::Io(io::Error::other(error)),
        }
    }
}
