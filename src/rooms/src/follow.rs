//! What users did that their rooms must follow: a new profile reaches the member events of joined rooms, a deactivated
//! user leaves everywhere, the transaction ids of an ended device are forgotten.
//!
//! The jobs are rows that `users` committed together with the change; a job row goes when its work is done, so that a
//! crash in between repeats the work, which is harmless: a member event that already says so is not sent again.

use database::{Read, RoomNumber, UserNumber};
use ruma::OwnedUserId;
use tokio::sync::oneshot;
use users::jobs;

use crate::{
    error::RoomError,
    membership::{Change, MembershipRequest},
    rooms::Rooms,
    send::Sent,
    tables::{Membership, USER_ROOMS},
    writer::{Command, Intent},
};

/// Jobs taken at once, and rooms of a job asked at once.
const PAGE: usize = 32;

/// Starts the task that follows the jobs.
pub(crate) fn start(rooms: &Rooms) {
    let tasks = rooms.0.tasks.clone();
    tasks.spawn(run(rooms.clone()));
}

async fn run(rooms: Rooms) {
    let mut changed = rooms.users().jobs_changed();
    loop {
        changed.mark_unchanged();
        if let Err(error) = work(&rooms).await {
            tracing::warn!(%error, "following the jobs of users failed; it is tried again with the next one");
        }
        tokio::select! {
            () = rooms.0.stop.cancelled() => return,
            more = changed.changed() => if more.is_err() { return },
        }
    }
}

/// Does all jobs that there are.
async fn work(rooms: &Rooms) -> Result<(), RoomError> {
    loop {
        let db = rooms.snapshot().await?;
        let profiles = jobs::profile_jobs(&db, PAGE).await?;
        let deactivations = jobs::deactivation_jobs(&db, PAGE).await?;
        let devices = jobs::ended_devices(&db, PAGE).await?;
        drop(db);
        if profiles.is_empty() && deactivations.is_empty() && devices.is_empty() {
            return Ok(());
        }
        for job in &profiles {
            in_every_room(rooms, job.user, &[Membership::Join], |user| {
                Intent::Profile(user)
            })
            .await?;
            rooms
                .0
                .store
                .transact::<_, RoomError, _>(|txn| async move {
                    Ok(jobs::finish_profile(&txn, job).await?)
                })
                .await?;
        }
        for job in &deactivations {
            let leave = |user| Intent::Membership(MembershipRequest::own(user, Change::Leave));
            let inside = [Membership::Join, Membership::Invite, Membership::Knock];
            in_every_room(rooms, job.user, &inside, leave).await?;
            rooms
                .0
                .store
                .transact::<_, RoomError, _>(|txn| async move {
                    Ok(jobs::finish_deactivation(&txn, job).await?)
                })
                .await?;
        }
        rooms.forget_devices(&devices).await?;
    }
}

/// Hands an intent to every room in which the user has one of the memberships, a page at a time.
async fn in_every_room(
    rooms: &Rooms,
    user: UserNumber,
    memberships: &[Membership],
    intent: impl Fn(OwnedUserId) -> Intent,
) -> Result<(), RoomError> {
    let db = rooms.snapshot().await?;
    let Some(user_id) = rooms.users().user_id(&db, user).await? else {
        return Ok(());
    };
    let mut last: Option<RoomNumber> = None;
    loop {
        let rows = match last {
            None => USER_ROOMS.under(user),
            Some(last) => USER_ROOMS.under(user).after((user, last)),
        };
        let page = db.page(rows, PAGE).await?;
        let Some(((_, end), _)) = page.last() else {
            return Ok(());
        };
        last = Some(*end);
        let mut answers = Vec::new();
        for ((_, room), row) in &page {
            if memberships.contains(&row.value.membership) {
                answers.push((*room, ask(rooms, *room, intent(user_id.clone())).await?));
            }
        }
        for (room, answer) in answers {
            match answer.await {
                Ok(Ok(_) | Err(RoomError::NotInRoom | RoomError::Forbidden(_))) => {}
                Ok(Err(RoomError::Store(error))) => return Err(error.into()),
                Ok(Err(error)) => {
                    tracing::info!(room.number = room.0, %error, "a room did not follow its member");
                }
                Err(_) => return Err(RoomError::ShuttingDown),
            }
        }
    }
}

type Answer = oneshot::Receiver<Result<Sent, RoomError>>;

async fn ask(rooms: &Rooms, room: RoomNumber, intent: Intent) -> Result<Answer, RoomError> {
    let (command, answer) = Command::new(intent, 1024);
    rooms.0.writers.submit(rooms, room, command).await?;
    Ok(answer)
}
