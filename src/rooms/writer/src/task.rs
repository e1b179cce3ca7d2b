//! The writer's task: wait, take a batch, do it, answer.
//!
//! A command that needs states resolved is put aside with all later commands of its lane while the resolution runs; other
//! commands go on. It re-enters in front. A command that was overtaken too often is resolved while the room waits.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use database::{Read as _, RoomNumber, StoreError};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rooms_store::RoomError;
use ruma::room_version_rules::RoomVersionRules;
use tokio::sync::oneshot;

use crate::{
    commit,
    facts::Facts,
    handle::RoomWriter,
    received::{Arrival, Outcome, ReceivedPdu},
    registry::{Command, Inbox, Work},
    resolution::Resolver,
    send::Sent,
    state_set::StateSet,
    turn::{Pause, Resolution, Turn},
    verdicts,
};

/// A writer that had nothing to do for so long retires.
const IDLE: Duration = Duration::from_mins(1);
/// Commands in one commit.
const GROUP: usize = 64;
/// Bytes of events in one commit: the transactions of a distributed store end at 1 MB.
const GROUP_BYTES: usize = 512 << 10;
/// How often a batch is retried after a conflict, before its commands are refused.
const TRIES: u32 = 8;
/// Resolutions that a command loses to other commits before the room waits for it.
const LOSSES: u32 = 3;

/// The lane of events that are judged again.
const NO_LANE: u64 = u64::MAX;

type Resolved = (Vec<StateSet>, Result<StateSet, RoomError>);

/// Commands, and the resolution that they wait for; `None` where its task was aborted.
type Waiting = Pin<Box<dyn Future<Output = (Vec<Command>, Option<Resolved>)> + Send>>;

/// What the task of one room holds.
struct Serving {
    writer: RoomWriter,
    room: RoomNumber,
    facts: Option<Facts>,
    queue: VecDeque<Command>,
    /// Commands that wait for a resolution.
    aside: FuturesUnordered<Waiting>,
}

/// What became of the commands at the front of the queue.
struct Attempt {
    answers: Vec<Answer>,
    /// The next command needs this.
    resolution: Option<(Resolution, &'static RoomVersionRules)>,
    /// Events that waited for the verdicts of this commit.
    again: Vec<ReceivedPdu>,
}

enum Answer {
    Intent(Result<Sent, RoomError>),
    Receive(Result<Outcome, RoomError>),
}

/// Serves one room until it is idle or the server stops. What is in the mailbox then is still done.
pub(crate) async fn run(writer: RoomWriter, room: RoomNumber, mut inbox: Inbox) {
    let stop = writer.shared.stop.clone();
    let mut serving = Serving {
        writer,
        room,
        facts: None,
        queue: VecDeque::new(),
        aside: FuturesUnordered::new(),
    };
    let mut taken = Vec::new();
    loop {
        let has_aside = !serving.aside.is_empty();
        tokio::select! {
            biased;
            Some(back) = serving.aside.next(), if has_aside => serving.re_enter(back),
            count = inbox.take(&mut taken, GROUP) => {
                if count == 0 {
                    break;
                }
                serving.queue.extend(taken.drain(..));
            }
            () = stop.cancelled() => break,
            () = tokio::time::sleep(IDLE), if !has_aside => {
                if serving.writer.shared.registry.retire(room, &mut inbox) {
                    return;
                }
            }
        }
        serving.serve().await;
    }
    inbox.close();
    while inbox.take(&mut taken, GROUP).await > 0 {
        serving.queue.extend(taken.drain(..));
        serving.serve().await;
    }
    while let Some(back) = serving.aside.next().await {
        serving.re_enter(back);
        serving.serve().await;
    }
}

impl Serving {
    /// Takes commands back whose resolution has ended.
    fn re_enter(&mut self, (commands, resolved): (Vec<Command>, Option<Resolved>)) {
        let error = match resolved {
            Some((sets, Ok(state))) => {
                if let Some(facts) = &mut self.facts {
                    facts.learn_resolution(sets, state);
                }
                None
            }
            Some((_, Err(error))) => Some(error),
            None => Some(RoomError::ShuttingDown),
        };
        let mut commands = commands.into_iter();
        if let Some(error) = error
            && let Some(first) = commands.next()
        {
            first.refuse(error);
        }
        for command in commands.rev() {
            self.queue.push_front(command);
        }
    }

    /// Does what is in the queue, a commit at a time.
    async fn serve(&mut self) {
        let mut tries = 0;
        while !self.queue.is_empty() {
            match self.attempt().await {
                Ok(attempt) => {
                    tries = 0;
                    for answer in attempt.answers {
                        if let Some(command) = self.queue.pop_front() {
                            deliver(command, answer);
                        }
                    }
                    for pdu in attempt.again {
                        // Nobody waits for the outcome.
                        let (command, _) = Command::receive(pdu, Arrival::Outlier, NO_LANE);
                        self.queue.push_front(command);
                    }
                    if let Some((resolution, rules)) = attempt.resolution {
                        self.resolve(resolution, rules).await;
                    }
                }
                Err(error) => {
                    self.facts = None;
                    tries += 1;
                    if tries == TRIES || !is_conflict(&error) {
                        tracing::warn!(%error, "a batch of writes to a room failed");
                        self.fail(&error);
                        return;
                    }
                }
            }
        }
    }

    /// Builds and commits as many of the commands as one commit can hold.
    async fn attempt(&mut self) -> Result<Attempt, RoomError> {
        let Self {
            writer,
            room,
            facts,
            queue,
            ..
        } = self;
        let db = writer.rooms.snapshot().await?;
        let known = match facts.take() {
            Some(known) => known,
            None => match Facts::load(writer, &db, *room).await {
                Ok(known) => known,
                Err(RoomError::UnknownRoom) => return Ok(Attempt::unknown_room(queue)),
                Err(error) => return Err(error),
            },
        };
        let rules = known.rules;
        let mut turn = Turn::new(writer, db, known);
        let mut attempt = Attempt {
            answers: Vec::new(),
            resolution: None,
            again: Vec::new(),
        };
        let mut bytes = 0;
        for command in queue.iter().take(GROUP) {
            let answer = match &command.work {
                Work::Intent { intent, .. } => turn
                    .perform(intent)
                    .await
                    .map(|sent| Answer::Intent(Ok(sent))),
                Work::Receive { pdu, arrival, .. } => turn
                    .receive(pdu, arrival)
                    .await
                    .map(|outcome| Answer::Receive(Ok(outcome))),
            };
            match answer {
                Ok(answer) => attempt.answers.push(answer),
                Err(Pause::CommitFirst) if !turn.pending.is_empty() => break,
                Err(Pause::Resolve(resolution)) => {
                    attempt.resolution = Some((resolution, rules));
                    break;
                }
                Err(Pause::Failed(RoomError::Store(error))) => return Err(error.into()),
                Err(Pause::Failed(error)) => attempt.answers.push(refusal(command, error)),
                Err(Pause::CommitFirst) => {
                    attempt.answers.push(refusal(command, RoomError::Damaged));
                }
            }
            bytes += turn.pending.last().map_or(0, |pending| pending.json.len());
            if bytes > GROUP_BYTES {
                break;
            }
        }
        let decided = turn.decided();
        let mut known = commit::commit(writer, turn).await?;
        if known.has_waiters && !decided.is_empty() {
            let waiters = verdicts::waiters(writer, *room, &decided).await?;
            known.has_waiters = verdicts::has_waiters(writer, *room).await?;
            attempt.again = waiters;
        }
        *facts = Some(known);
        Ok(attempt)
    }

    /// Starts the resolution that the next command needs, and puts it aside with those of its lane; or, where it lost too
    /// often, waits for it.
    async fn resolve(&mut self, resolution: Resolution, rules: &'static RoomVersionRules) {
        let Some(mut first) = self.queue.pop_front() else {
            return;
        };
        first.losses += 1;
        let work = resolve(self.writer.clone(), self.room, rules, resolution);
        if first.losses > LOSSES || first.lane().is_none() {
            let resolved = work.await;
            self.re_enter((vec![first], Some(resolved)));
            return;
        }
        let lane = first.lane();
        let mut commands = vec![first];
        let (same, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|command| command.lane() == lane);
        commands.extend(same);
        self.queue = rest;
        let (done, receiver) = oneshot::channel();
        self.writer.shared.tasks.spawn(async move {
            // The room's task may have ended.
            drop(done.send(work.await));
        });
        self.aside
            .push(Box::pin(async move { (commands, receiver.await.ok()) }));
    }

    /// Refuses everything in the queue: the store failed.
    fn fail(&mut self, error: &RoomError) {
        for command in self.queue.drain(..) {
            command.refuse(match error {
                RoomError::Store(error) => RoomError::Store(error.clone()),
                _ => RoomError::Damaged,
            });
        }
    }
}

impl Attempt {
    fn unknown_room(queue: &VecDeque<Command>) -> Self {
        Self {
            answers: queue
                .iter()
                .map(|command| refusal(command, RoomError::UnknownRoom))
                .collect(),
            resolution: None,
            again: Vec::new(),
        }
    }
}

async fn resolve(
    writer: RoomWriter,
    room: RoomNumber,
    rules: &'static RoomVersionRules,
    Resolution { sets, new }: Resolution,
) -> Resolved {
    let resolved = async {
        let db = writer.rooms.snapshot().await?;
        tracing::debug!(
            stamp = db.stamp().0,
            states = sets.len(),
            "resolving the state of a room"
        );
        let resolver = Resolver {
            rooms: &writer.rooms,
            db: &db,
            room,
            rules,
            new: new.as_ref(),
        };
        resolver.resolve(&sets).await
    };
    let resolved = resolved.await;
    (sets, resolved)
}

fn refusal(command: &Command, error: RoomError) -> Answer {
    match &command.work {
        Work::Intent { .. } => Answer::Intent(Err(error)),
        Work::Receive { .. } => Answer::Receive(Err(error)),
    }
}

/// A caller that is gone gets no answer: the work is done all the same.
fn deliver(command: Command, answer: Answer) {
    match (command.work, answer) {
        (Work::Intent { answer: to, .. }, Answer::Intent(answer)) => drop(to.send(answer)),
        (Work::Receive { answer: to, .. }, Answer::Receive(answer)) => drop(to.send(answer)),
        (Work::Intent { .. }, Answer::Receive(_)) | (Work::Receive { .. }, Answer::Intent(_)) => {}
    }
}

fn is_conflict(error: &RoomError) -> bool {
    matches!(error, RoomError::Store(StoreError::Conflict))
}
