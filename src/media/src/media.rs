//! The handle that everyone above holds, and what it is made of.

use std::{
    collections::HashMap,
    future::Future,
    io,
    sync::{Arc, Mutex},
};

use database::{Clock, Random, Snapshot, Store, StoreError, UserNumber};
use ruma::ServerName;
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::MediaConfig,
    id::Mxc,
    remote::{Flights, RemoteSource},
    scanner::Scanner,
    storage::{FileStorage, ObjectStorage, Storage},
    tables::Place,
    thumbnail::Thumbnailer,
    turns::Turns,
    upload::InFlight,
};

/// All media of this server. Cheap to clone.
#[derive(Clone)]
pub struct Media(pub(crate) Arc<Parts>);

/// What media needs of others.
pub struct MediaNeeds {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Drafts are always here; contents, too, unless the configuration names the other place.
    pub files: FileStorage,
    pub objects: Option<ObjectStorage>,
    /// `None` where this server fetches nothing from others.
    pub remote: Option<Arc<dyn RemoteSource>>,
    pub scanner: Option<Arc<dyn Scanner>>,
    pub tasks: TaskTracker,
    /// Ends work in the background.
    pub stop: CancellationToken,
}

pub(crate) struct Parts {
    pub(crate) needs: MediaNeeds,
    pub(crate) config: MediaConfig,
    /// Whoever stores or deletes a content.
    pub(crate) contents: Turns,
    /// Held while files are deleted; a backup holds it as a whole.
    pub(crate) deletions: AsyncMutex<()>,
    /// Whoever commits a change of one user's usage, so that they do not conflict.
    pub(crate) owners: Turns,
    /// Uploads that have not ended, by user.
    pub(crate) in_flight: Mutex<HashMap<UserNumber, InFlight>>,
    /// Stir after an upload to a reserved id.
    uploaded: [Notify; UPLOADED],
    pub(crate) flights: Flights,
    pub(crate) fetches: Semaphore,
    pub(crate) thumbnailer: Thumbnailer,
    /// Stirs the sweeper before its time.
    pub(crate) sweep: Notify,
}

const UPLOADED: usize = 64;

impl Media {
    /// Settles what an earlier process left half done, and starts what runs in the background.
    pub async fn open(needs: MediaNeeds, config: MediaConfig) -> Result<Self, OpenError> {
        let media = Self(Arc::new(Parts {
            contents: Turns::new(),
            deletions: AsyncMutex::default(),
            owners: Turns::new(),
            in_flight: Mutex::default(),
            uploaded: std::array::from_fn(|_| Notify::new()),
            flights: Flights::default(),
            fetches: Semaphore::new(config.fetches),
            thumbnailer: Thumbnailer::new(&config.thumbnails, needs.tasks.clone()),
            sweep: Notify::new(),
            needs,
            config,
        }));
        media.settle().await?;
        let (own, stop) = (media.clone(), media.0.needs.stop.clone());
        media.0.needs.tasks.spawn(async move {
            stop.run_until_cancelled(own.sweep_on()).await;
        });
        Ok(media)
    }

    pub fn config(&self) -> &MediaConfig {
        &self.0.config
    }

    pub fn server_name(&self) -> &ServerName {
        &self.0.config.server_name
    }

    pub fn is_local(&self, mxc: &Mxc) -> bool {
        mxc.server() == self.server_name()
    }

    pub(crate) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.0.needs.store.snapshot().await
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.needs.store
    }

    /// Contents at a place. The operator may have taken the object store away from the
    /// configuration.
    pub(crate) fn storage(&self, place: Place) -> io::Result<&dyn Storage> {
        match (place, &self.0.needs.objects) {
            (Place::Files, _) => Ok(&self.0.needs.files),
            (Place::Objects, Some(objects)) => Ok(objects),
            (Place::Objects, None) => Err(io::Error::other(
                "this file is in an object store, and `media.s3` is not configured",
            )),
        }
    }

    /// Stirs when something was uploaded to this id, or to some other ones.
    pub(crate) fn uploaded(&self, id: &str) -> &Notify {
        let sum: usize = id.bytes().map(usize::from).sum();
        &self.0.uploaded[sum % UPLOADED]
    }

    /// Runs `work` to its end even when the request that asked for it is cut off.
    pub(crate) async fn finish<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match self.0.needs.tasks.spawn(work).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Unavailable(error.to_string()).into()),
        }
    }
}

/// Why media cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the folder of media: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}
