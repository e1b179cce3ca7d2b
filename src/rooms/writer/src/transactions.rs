//! How long transaction ids are remembered (client-server API, "Transaction identifiers"): until their device ends, which is a job
//! that `users` leaves, and three days at most. Writers remember them with the events that they sent.

use std::time::Duration;

use database::{Read, Rows, StoreError, Txn};
use users::jobs::{self, EndedDevice};

use crate::handle::RoomWriter;
use rooms_store::{
    RoomError,
    tables::{SentEvent, TRANSACTIONS},
};

/// A request that is repeated later sends again. Clients repeat within minutes; some, when somebody comes back on Monday.
pub const REMEMBERED: Duration = Duration::from_hours(72);
/// How often what is older is looked for, and how long after the start first.
const EVERY: Duration = Duration::from_hours(12);
const FIRST: Duration = Duration::from_mins(10);
/// Rows looked at at once, and deleted in one commit.
const PAGE: usize = 512;

type Key = (
    database::UserNumber,
    String,
    database::RoomNumber,
    String,
    String,
);

/// Starts the task that forgets old ones.
pub(crate) fn start(writer: &RoomWriter) {
    writer.shared.tasks.spawn(run(writer.clone()));
}

async fn run(writer: RoomWriter) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = writer.shared.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => wait = EVERY,
        }
        if let Err(error) = writer.forget_old_transactions().await {
            tracing::warn!(%error, "old transaction ids were not forgotten; it is tried again later");
        }
    }
}

impl RoomWriter {
    /// Forgets transaction ids that are older than [`REMEMBERED`].
    pub async fn forget_old_transactions(&self) -> Result<(), StoreError> {
        let now = self.shared.clock.now();
        self.forget_transactions(TRANSACTIONS.all(), |sent| now.since(sent.at) > REMEMBERED)
            .await
    }

    /// Forgets what devices sent before they ended. One of the same id may be there again: what that one sent stays.
    pub(crate) async fn forget_devices(&self, ended: &[EndedDevice]) -> Result<(), RoomError> {
        for job in ended {
            let sent = TRANSACTIONS.under((job.user, &job.device));
            self.forget_transactions(sent, |sent| sent.at <= job.ended)
                .await?;
        }
        if ended.is_empty() {
            return Ok(());
        }
        let body = |txn: Txn| async move {
            for job in ended {
                jobs::finish_device(&txn, job).await?;
            }
            txn.may_wait();
            Ok::<_, StoreError>(())
        };
        self.rooms.store().transact(body).await?;
        Ok(())
    }

    /// A row never changes while it is there, so that it may be deleted without another look.
    async fn forget_transactions(
        &self,
        rows: Rows<Key, SentEvent>,
        is_old: impl Fn(&SentEvent) -> bool,
    ) -> Result<(), StoreError> {
        let mut rest = rows;
        loop {
            let db = self.rooms.snapshot().await?;
            let page = db.page(rest.clone(), PAGE).await?;
            drop(db);
            let is_last = page.len() < PAGE;
            if let Some(((user, device, room, kind, id), _)) = page.last() {
                rest = rest.after((*user, device, *room, kind, id));
            }
            let old = page.into_iter().filter(|(_, sent)| is_old(sent));
            let old: &Vec<Key> = &old.map(|(key, _)| key).collect();
            if !old.is_empty() {
                let body = |txn: Txn| async move {
                    for (user, device, room, kind, id) in old {
                        txn.delete(TRANSACTIONS.at((*user, device, *room, kind, id)));
                    }
                    txn.may_wait();
                    Ok::<_, StoreError>(())
                };
                self.rooms.store().transact(body).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
