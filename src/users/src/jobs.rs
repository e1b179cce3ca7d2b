//! Changes of users that must still be applied to rooms. A job is added in the commit of the
//! change, so a crash loses none. `rooms` lists the jobs at start and whenever
//! `Users::jobs_changed` signals, executes them, and deletes each in a commit.

use database::{Millis, Placed, Position, Read, Slot, StoreError, Txn, UserNumber};
use tokio::sync::watch;

use crate::{
    profiles::Profile,
    tables::{DEACTIVATION_JOBS, ENDED_DEVICES, PROFILE_JOBS, ProfileJobRow},
    users::Users,
};

/// The member events of a user's joined rooms must show the new name and avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileJob {
    pub user: UserNumber,
    /// Only rooms that still show the values below are changed; in the others the user has a
    /// different name.
    pub only_unchanged: bool,
    /// The values that rooms following the profile still show.
    pub displayname_before: Option<String>,
    pub avatar_url_before: Option<String>,
    position: Position,
}

/// A deactivated user must leave all rooms and reject all invites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeactivationJob {
    pub user: UserNumber,
    /// Messages of the user are to be hidden from users who join later.
    pub erase: bool,
    position: Position,
}

/// A deleted device: its transaction ids are to be deleted up to this stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedDevice {
    pub user: UserNumber,
    pub device: String,
    pub ended: Millis,
}

impl Users {
    /// Signals after each commit that added a job.
    pub fn jobs_changed(&self) -> watch::Receiver<u64> {
        self.0.jobs.subscribe()
    }

    pub(crate) fn left_a_job(&self) {
        self.0.jobs.send_modify(|count| *count += 1);
    }
}

/// Changed profiles, `limit` at most.
pub async fn profile_jobs(db: &impl Read, limit: usize) -> Result<Vec<ProfileJob>, StoreError> {
    let rows = db.page(PROFILE_JOBS.all(), limit).await?;
    Ok(rows
        .into_iter()
        .map(|(user, Placed { value, position })| ProfileJob {
            user,
            only_unchanged: value.only_unchanged,
            displayname_before: value.displayname_before,
            avatar_url_before: value.avatar_url_before,
            position,
        })
        .collect())
}

/// Deletes a job, unless the profile has changed since it was listed; then it is listed again.
pub async fn finish_profile(txn: &Txn, job: &ProfileJob) -> Result<(), StoreError> {
    let row = txn.get(PROFILE_JOBS.at(job.user)).await?;
    if row.is_some_and(|row| row.position == job.position) {
        txn.delete(PROFILE_JOBS.at(job.user));
    }
    Ok(())
}

/// Deactivated users, `limit` at most.
pub async fn deactivation_jobs(
    db: &impl Read,
    limit: usize,
) -> Result<Vec<DeactivationJob>, StoreError> {
    let rows = db.page(DEACTIVATION_JOBS.all(), limit).await?;
    Ok(rows
        .into_iter()
        .map(|(user, Placed { value, position })| DeactivationJob {
            user,
            erase: value.erase,
            position,
        })
        .collect())
}

/// Deletes a job, unless the user was deactivated again (with `erase`) since it was listed.
pub async fn finish_deactivation(txn: &Txn, job: &DeactivationJob) -> Result<(), StoreError> {
    let row = txn.get(DEACTIVATION_JOBS.at(job.user)).await?;
    if row.is_some_and(|row| row.position == job.position) {
        txn.delete(DEACTIVATION_JOBS.at(job.user));
    }
    Ok(())
}

/// Deleted devices, `limit` at most.
pub async fn ended_devices(db: &impl Read, limit: usize) -> Result<Vec<EndedDevice>, StoreError> {
    let rows = db.page(ENDED_DEVICES.all(), limit).await?;
    Ok(rows
        .into_iter()
        .map(|((user, device), ended)| EndedDevice {
            user,
            device,
            ended,
        })
        .collect())
}

/// Deletes a job, unless a device with the same id was deleted since it was listed.
pub async fn finish_device(txn: &Txn, job: &EndedDevice) -> Result<(), StoreError> {
    let row = ENDED_DEVICES.at((job.user, &job.device));
    if txn.get(row.clone()).await? == Some(job.ended) {
        txn.delete(row);
    }
    Ok(())
}

pub(crate) fn leave_device_job(txn: &Txn, user: UserNumber, device: &str, now: Millis) {
    txn.put(ENDED_DEVICES.at((user, device)), &now);
}

/// Merges a change into a waiting job, which keeps the old values and the wider scope.
pub(crate) async fn leave_profile_job(
    txn: &Txn,
    user: UserNumber,
    before: &Profile,
    only_unchanged: bool,
    slot: Slot,
) -> Result<(), StoreError> {
    let job = match txn.get(PROFILE_JOBS.at(user)).await? {
        Some(Placed { value, .. }) => ProfileJobRow {
            only_unchanged: value.only_unchanged && only_unchanged,
            ..value
        },
        None => ProfileJobRow {
            only_unchanged,
            displayname_before: before.displayname.clone(),
            avatar_url_before: before.avatar_url.clone(),
        },
    };
    txn.put_placed(PROFILE_JOBS.at(user), &job, slot);
    Ok(())
}
