//! The handle on rooms among servers.

use std::sync::Arc;

use database::{Blocking, Clock, Millis, Random};
use federation::Federation;
use rooms_directory::RoomDirectory;
use rooms_history::History;
use rooms_store::RoomStore;
use rooms_writer::RoomWriter;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    acl::Acls, backfill::Backfills, directory::Aliases, edus::EduReceivers, inbox::Inbox,
    join::Joins,
};

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
    pub(crate) inbox: Inbox,
    pub(crate) backfills: Backfills,
    pub(crate) edu_receivers: EduReceivers,
    pub(crate) aliases: Aliases,
    pub(crate) joins: Joins,
}

impl RemoteRooms {
    pub fn open(needs: RemoteNeeds) -> Self {
        let this = Self(Arc::new(Parts {
            needs,
            acls: Acls::new(),
            inbox: Inbox::new(),
            backfills: Backfills::new(),
            edu_receivers: EduReceivers::default(),
            aliases: Aliases::new(),
            joins: Joins::new(),
        }));
        this.start_inbox();
        let resumed = this.clone();
        this.0.needs.tasks.spawn(async move {
            if let Err(error) = resumed.resume_joins().await {
                tracing::warn!(%error, "could not resume the joins that were under way");
            }
        });
        this
    }

    pub(crate) fn now(&self) -> Millis {
        self.0.needs.clock.now()
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
