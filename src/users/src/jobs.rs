//! What a change of a user still has to do in rooms. Each job was left in the commit of the change, so a crash loses none;
//! `rooms` lists them at its start and whenever `Users::jobs_changed` stirs, does each, and ends it in a commit.

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
    /// Only rooms that still show what is below change; the others have a name of their own there.
    pub only_unchanged: bool,
    /// What rooms that followed the profile show until now.
    pub displayname_before: Option<String>,
    pub avatar_url_before: Option<String>,
    position: Position,
}

/// A deactivated user must leave all rooms and reject all invites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeactivationJob {
    pub user: UserNumber,
    /// What the user wrote is to be hidden from those who come later.
    pub erase: bool,
    position: Position,
}

/// A device that ended: what it sent until then is not remembered by its transaction ids any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedDevice {
    pub user: UserNumber,
    pub device: String,
    pub ended: Millis,
}

impl Users {
    /// Stirs after each commit that left a job.
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

/// Ends a job, unless the profile changed again since it was listed: then it stays, and is listed again.
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

/// Ends a job, unless the user was deactivated once more (now with `erase`) since it was listed.
pub async fn finish_deactivation(txn: &Txn, job: &DeactivationJob) -> Result<(), StoreError> {
    let row = txn.get(DEACTIVATION_JOBS.at(job.user)).await?;
    if row.is_some_and(|row| row.position == job.position) {
        txn.delete(DEACTIVATION_JOBS.at(job.user));
    }
    Ok(())
}

/// Devices that ended, `limit` at most.
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

/// Ends a job, unless a device of the same id ended since it was listed.
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

/// A job that waits already keeps what it knows of the rooms, and reaches as far as either asks.
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
