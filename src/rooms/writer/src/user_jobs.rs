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
    handle::RoomWriter,
    membership::{Change, MembershipRequest},
    registry::{Command, Intent},
    send::Sent,
};
use rooms_store::{
    RoomError,
    tables::{Membership, USER_ROOMS},
};

/// Jobs taken at once, and rooms of a job asked at once.
const PAGE: usize = 32;

/// Starts the task that follows the jobs.
pub(crate) fn start(writer: &RoomWriter) {
    let tasks = writer.shared.tasks.clone();
    tasks.spawn(run(writer.clone()));
}

async fn run(writer: RoomWriter) {
    let mut changed = writer.rooms.users().jobs_changed();
    loop {
        changed.mark_unchanged();
        if let Err(error) = work(&writer).await {
            tracing::warn!(%error, "following the jobs of users failed; it is tried again with the next one");
        }
        tokio::select! {
            () = writer.shared.stop.cancelled() => return,
            more = changed.changed() => if more.is_err() { return },
        }
    }
}

/// Does all jobs that there are.
async fn work(writer: &RoomWriter) -> Result<(), RoomError> {
    loop {
        let db = writer.rooms.snapshot().await?;
        let profiles = jobs::profile_jobs(&db, PAGE).await?;
        let deactivations = jobs::deactivation_jobs(&db, PAGE).await?;
        let devices = jobs::ended_devices(&db, PAGE).await?;
        drop(db);
        if profiles.is_empty() && deactivations.is_empty() && devices.is_empty() {
            return Ok(());
        }
        for job in &profiles {
            in_every_room(writer, job.user, &[Membership::Join], |user| {
                Intent::Profile(user)
            })
            .await?;
            writer
                .rooms
                .store()
                .transact::<_, RoomError, _>(|txn| async move {
                    Ok(jobs::finish_profile(&txn, job).await?)
                })
                .await?;
        }
        for job in &deactivations {
            let leave = |user| Intent::Membership(MembershipRequest::own(user, Change::Leave));
            let inside = [Membership::Join, Membership::Invite, Membership::Knock];
            in_every_room(writer, job.user, &inside, leave).await?;
            writer
                .rooms
                .store()
                .transact::<_, RoomError, _>(|txn| async move {
                    Ok(jobs::finish_deactivation(&txn, job).await?)
                })
                .await?;
        }
        writer.forget_devices(&devices).await?;
    }
}

/// Hands an intent to every room in which the user has one of the memberships, a page at a time.
async fn in_every_room(
    writer: &RoomWriter,
    user: UserNumber,
    memberships: &[Membership],
    intent: impl Fn(OwnedUserId) -> Intent,
) -> Result<(), RoomError> {
    let db = writer.rooms.snapshot().await?;
    let Some(user_id) = writer.rooms.users().user_id(&db, user).await? else {
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
                answers.push((*room, ask(writer, *room, intent(user_id.clone())).await?));
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

async fn ask(writer: &RoomWriter, room: RoomNumber, intent: Intent) -> Result<Answer, RoomError> {
    let (command, answer) = Command::new(intent, 1024);
    writer.shared.registry.submit(writer, room, command).await?;
    Ok(answer)
}
