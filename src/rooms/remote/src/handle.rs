//! The handle on rooms among servers.

use std::sync::Arc;

use database::{Blocking, Clock, Random};
use federation::Federation;
use rooms_directory::RoomDirectory;
use rooms_history::History;
use rooms_store::RoomStore;
use rooms_writer::RoomWriter;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{acl::Acls, directory::Aliases, join::Joins};

/// What rooms among servers are built from.
pub struct RemoteNeeds {
    pub history: History,
    pub writer: RoomWriter,
    pub directory: RoomDirectory,
    pub federation: Federation,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Where signatures are checked. Its size bounds the share of the processor that events of other servers take.
    pub blocking: Arc<dyn Blocking>,
    pub tasks: TaskTracker,
    /// Ends the background tasks; what is in the inbox then is taken up at the next start.
    pub stop: CancellationToken,
}

/// Rooms among servers. Cheap to clone.
#[derive(Clone)]
pub struct RemoteRooms(pub(crate) Arc<Parts>);

/// What all clones of the handle share.
pub(crate) struct Parts {
    pub(crate) needs: RemoteNeeds,
    pub(crate) acls: Acls,
    pub(crate) aliases: Aliases,
    pub(crate) joins: Joins,
}

impl RemoteRooms {
    pub fn open(needs: RemoteNeeds) -> Self {
        let tasks = needs.tasks.clone();
        let rooms = Self(Arc::new(Parts {
            needs,
            acls: Acls::new(),
            aliases: Aliases::new(),
            joins: Joins::new(),
        }));
        let resumed = rooms.clone();
        tasks.spawn(async move {
            if let Err(error) = resumed.resume_joins().await {
                tracing::warn!(%error, "could not resume the joins that were under way");
            }
        });
        rooms
    }

    /// The stored rooms.
    pub fn rooms(&self) -> &RoomStore {
        self.0.needs.history.rooms()
    }

    pub fn history(&self) -> &History {
        &self.0.needs.history
    }

    pub fn writer(&self) -> &RoomWriter {
        &self.0.needs.writer
    }

    pub fn directory(&self) -> &RoomDirectory {
        &self.0.needs.directory
    }

    pub fn federation(&self) -> &Federation {
        &self.0.needs.federation
    }
}
