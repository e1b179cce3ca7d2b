//! The writer's task: wait, take a group, do it, answer.

use std::time::Duration;

use database::RoomNumber;

use crate::{
    commit,
    facts::Facts,
    registry::{Command, Inbox},
    turn::Turn,
};
use crate::{handle::RoomWriter, send::Sent};
use rooms_store::RoomError;

/// A writer that had nothing to do for so long retires.
const IDLE: Duration = Duration::from_mins(1);
/// Commands in one commit.
const GROUP: usize = 64;
/// How often a group is done again after a conflict, before its commands are refused.
const TRIES: u32 = 8;

/// Serves one room until it is idle or the server stops. What is in the mailbox then is still done.
pub(crate) async fn run(writer: RoomWriter, room: RoomNumber, mut inbox: Inbox) {
    let mut facts = None;
    let mut group = Vec::new();
    loop {
        tokio::select! {
            biased;
            taken = inbox.take(&mut group, GROUP) => {
                if taken == 0 {
                    return;
                }
                serve(&writer, room, &mut facts, &mut group).await;
            }
            () = writer.shared.stop.cancelled() => break,
            () = tokio::time::sleep(IDLE) => {
                if writer.shared.registry.retire(room, &mut inbox) {
                    return;
                }
            }
        }
    }
    inbox.close();
    while inbox.take(&mut group, GROUP).await > 0 {
        serve(&writer, room, &mut facts, &mut group).await;
    }
}

/// Does a group: all of it in one commit, or in several where one command must see what another left on disk.
async fn serve(
    writer: &RoomWriter,
    room: RoomNumber,
    facts: &mut Option<Facts>,
    group: &mut Vec<Command>,
) {
    let mut commands = std::mem::take(group);
    let mut tries = 0;
    while !commands.is_empty() {
        let done = attempt(writer, room, facts, &commands).await;
        match done {
            Ok(answers) => {
                let rest = commands.split_off(answers.len());
                for (command, answer) in commands.into_iter().zip(answers) {
                    // Who no longer waits has gone away: what was asked is done all the same.
                    command.answer.send(answer).ok();
                }
                commands = rest;
                tries = 0;
            }
            Err(error) => {
                *facts = None;
                tries += 1;
                if tries == TRIES || !is_conflict(&error) {
                    tracing::warn!(room.number = room.0, %error, "a room's group of writes failed");
                    fail(commands, &error);
                    return;
                }
            }
        }
    }
}

/// Builds and commits as many of the commands as one commit can hold, at least one; gives their answers.
async fn attempt(
    writer: &RoomWriter,
    room: RoomNumber,
    facts: &mut Option<Facts>,
    commands: &[Command],
) -> Result<Vec<Result<Sent, RoomError>>, RoomError> {
    let db = writer.rooms.snapshot().await?;
    let known = match facts.take() {
        Some(known) => known,
        None => match Facts::load(writer, &db, room).await {
            Ok(known) => known,
            Err(RoomError::UnknownRoom) => {
                return Ok(commands
                    .iter()
                    .map(|_| Err(RoomError::UnknownRoom))
                    .collect());
            }
            Err(error) => return Err(error),
        },
    };
    let mut turn = Turn::new(writer, db, known);
    let mut answers = Vec::with_capacity(commands.len());
    for command in commands {
        if turn.must_end_before(&command.intent) {
            break;
        }
        let answer = turn.perform(&command.intent).await;
        match answer {
            Err(RoomError::Store(error)) => return Err(error.into()),
            answer => answers.push(answer),
        }
    }
    *facts = Some(commit::commit(writer, turn).await?);
    Ok(answers)
}

fn is_conflict(error: &RoomError) -> bool {
    matches!(error, RoomError::Store(database::StoreError::Conflict))
}

/// Tells everyone in the group that the store failed.
fn fail(commands: Vec<Command>, error: &RoomError) {
    for command in commands {
        let copy = match error {
            RoomError::Store(error) => RoomError::Store(error.clone()),
            _ => RoomError::Damaged,
        };
        command.answer.send(Err(copy)).ok();
    }
}
