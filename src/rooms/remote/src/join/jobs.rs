//! The rows of joins that are under way.

use std::time::Duration;

use database::{Millis, Read as _, Record, StoreError, Table, Txn};
use rooms_store::RoomError;
use ruma::{OwnedRoomId, OwnedUserId, ServerName};
use serde::{Deserialize, Serialize};

use super::Job;
use crate::handle::RemoteRooms;

/// Joins by way of other servers that are under way: (room id, user id). Written by `RemoteRooms::join` before the first request;
/// deleted when the join has ended. A start takes up what a stop left.
pub(crate) static JOINS: Table<(String, String), JoinJob> = Table::new("joins");

/// A join that is older is dropped at start: nobody expects it any more.
const OLDEST: Duration = Duration::from_hours(24);
const PAGE: usize = 256;

/// A join by way of other servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinJob {
    /// Servers to ask, in order.
    pub via: Vec<String>,
    /// What the client wants in the member event's content: a JSON object.
    pub content: String,
    pub begun: Millis,
}

impl Record for JoinJob {}
impl RemoteRooms {
    pub(super) async fn write_job(&self, job: &Job) -> Result<(), RoomError> {
        let row = &JoinJob {
            via: job.via.iter().map(ToString::to_string).collect(),
            content: serde_json::Value::Object(job.content.clone()).to_string(),
            begun: self.0.needs.clock.now(),
        };
        let store = self.rooms().store();
        let written = store.transact::<_, StoreError, _>(|txn: Txn| async move {
            txn.put(JOINS.at((job.room_id.as_str(), job.user.as_str())), row);
            Ok(())
        });
        written.await?;
        Ok(())
    }

    pub(super) async fn delete_job(&self, job: &Job) -> Result<(), RoomError> {
        let store = self.rooms().store();
        let deleted = store.transact::<_, StoreError, _>(|txn: Txn| async move {
            txn.delete(JOINS.at((job.room_id.as_str(), job.user.as_str())));
            Ok(())
        });
        deleted.await?;
        Ok(())
    }

    /// Jobs that a stop has left, a bounded number of them. What is too old is deleted.
    pub(super) async fn left_jobs(&self) -> Result<Vec<Job>, RoomError> {
        let db = self.rooms().snapshot().await?;
        let now = self.0.needs.clock.now();
        let mut jobs = Vec::new();
        for ((room_id, user), row) in db.page(JOINS.all(), PAGE).await? {
            let (Ok(room_id), Ok(user)) =
                (OwnedRoomId::try_from(room_id), OwnedUserId::try_from(user))
            else {
                continue;
            };
            let via = row
                .via
                .iter()
                .filter_map(|name| ServerName::parse(name).ok());
            let job = Job {
                room_id,
                user,
                via: via.collect(),
                content: serde_json::from_str(&row.content).unwrap_or_default(),
            };
            if now.since(row.begun) > OLDEST {
                self.delete_job(&job).await?;
            } else {
                jobs.push(job);
            }
        }
        Ok(jobs)
    }
}
