//! Starting the writer: the handle, and the background tasks that work through it.

use std::sync::{Arc, atomic::AtomicU64};

use database::{Clock, Random};
use federation::Keys;
use rooms_store::RoomStore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    defects::Planted,
    handle::{RoomWriter, Shared, WriterConfig},
    registry::Registry,
    transactions,
    typing::{self, Typing},
    user_jobs,
};

impl RoomWriter {
    /// `stop` ends the rooms' writers; what is in their mailboxes then is still written.
    pub fn open(
        rooms: RoomStore,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        keys: Keys,
        config: WriterConfig,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let writer = Self::new(
            rooms,
            Shared {
                registry: Registry::new(config.mailbox),
                lanes: AtomicU64::new(0),
                planted: Planted::default(),
                typing: Typing::new(clock.clone(), &*random),
                clock,
                random,
                keys,
                config,
                tasks,
                stop,
            },
        );
        user_jobs::start(&writer);
        transactions::start(&writer);
        typing::start(&writer);
        writer
    }
}
