//! Which rooms have a writer now, and how to reach it.
//!
//! A writer retires by a handshake: under the registry's lock it sees its mailbox empty and removes itself. Who got hold
//! of the mailbox just before finds it closed and asks again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use database::RoomNumber;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    handle::{MailboxLimits, RoomWriter},
    membership::MembershipRequest,
    received::{Arrival, Outcome, ReceivedPdu},
    send::{Message, Redaction, Sent, State},
};
use rooms_store::RoomError;

/// What a room is asked to do.
#[derive(Debug, Clone)]
pub(crate) enum Intent {
    Message(Message),
    State(State),
    Redaction(Redaction, RedactionPath),
    Membership(MembershipRequest),
    /// A user's profile changed: their member event shall say so.
    Profile(ruma::OwnedUserId),
}

/// The endpoint of a redaction, to which its transaction id belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedactionPath {
    /// `/send/m.room.redaction`
    Send,
    /// `/redact/{eventId}`
    Redact,
}

/// One thing for a room's writer to do, and where its answer goes.
pub(crate) struct Command {
    pub(crate) work: Work,
    bytes: usize,
    /// How often its resolution was overtaken by another commit.
    pub(crate) losses: u32,
}

pub(crate) enum Work {
    Intent {
        intent: Box<Intent>,
        answer: oneshot::Sender<Result<Sent, RoomError>>,
    },
    Receive {
        pdu: Box<ReceivedPdu>,
        arrival: Arrival,
        /// Events of one call stay in order, also where one of them waits for a resolution.
        lane: u64,
        answer: oneshot::Sender<Result<Outcome, RoomError>>,
    },
}

impl Command {
    /// A command of a local user and the place where its answer will come.
    pub(crate) fn new(
        intent: Intent,
        bytes: usize,
    ) -> (Self, oneshot::Receiver<Result<Sent, RoomError>>) {
        let (answer, receiver) = oneshot::channel();
        let work = Work::Intent {
            intent: Box::new(intent),
            answer,
        };
        let command = Self {
            work,
            bytes,
            losses: 0,
        };
        (command, receiver)
    }

    /// An event of another server and the place where its outcome will come.
    pub(crate) fn receive(
        pdu: ReceivedPdu,
        arrival: Arrival,
        lane: u64,
    ) -> (Self, oneshot::Receiver<Result<Outcome, RoomError>>) {
        let (answer, receiver) = oneshot::channel();
        let bytes = pdu.json.len();
        let work = Work::Receive {
            pdu: Box::new(pdu),
            arrival,
            lane,
            answer,
        };
        let command = Self {
            work,
            bytes,
            losses: 0,
        };
        (command, receiver)
    }

    pub(crate) fn lane(&self) -> Option<u64> {
        match &self.work {
            Work::Intent { .. } => None,
            Work::Receive { lane, .. } => Some(*lane),
        }
    }

    /// Answers with an error.
    pub(crate) fn refuse(self, error: RoomError) {
        // A caller that is gone needs no answer.
        match self.work {
            Work::Intent { answer, .. } => drop(answer.send(Err(error))),
            Work::Receive { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

/// A writer's mailbox, bounded in commands and in bytes of content.
#[derive(Clone)]
struct Mailbox {
    commands: mpsc::Sender<Command>,
    bytes: Arc<AtomicUsize>,
}

/// The receiving end of a mailbox.
pub(crate) struct Inbox {
    commands: mpsc::Receiver<Command>,
    bytes: Arc<AtomicUsize>,
}

/// The writers that run now.
pub(crate) struct Registry {
    mailboxes: Mutex<HashMap<RoomNumber, Mailbox>>,
    limits: MailboxLimits,
}

impl Registry {
    pub(crate) fn new(limits: MailboxLimits) -> Self {
        Self {
            mailboxes: Mutex::default(),
            limits,
        }
    }

    /// Puts a command into the room's mailbox, starting its writer if none runs. `Busy` when the mailbox is full.
    pub(crate) async fn submit(
        &self,
        writer: &RoomWriter,
        room: RoomNumber,
        mut command: Command,
    ) -> Result<(), RoomError> {
        loop {
            if writer.shared.stop.is_cancelled() {
                return Err(RoomError::ShuttingDown);
            }
            let mailbox = self.mailbox(writer, room);
            if mailbox.bytes.fetch_add(command.bytes, Ordering::Relaxed) > self.limits.bytes {
                mailbox.bytes.fetch_sub(command.bytes, Ordering::Relaxed);
                return Err(RoomError::Busy);
            }
            let bytes = command.bytes;
            match mailbox.commands.try_send(command) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => {
                    mailbox.bytes.fetch_sub(bytes, Ordering::Relaxed);
                    return Err(RoomError::Busy);
                }
                Err(mpsc::error::TrySendError::Closed(back)) => {
                    command = back;
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Like `submit`, for events of other servers: waits while the mailbox is full.
    pub(crate) async fn submit_waiting(
        &self,
        writer: &RoomWriter,
        room: RoomNumber,
        mut command: Command,
    ) -> Result<(), RoomError> {
        loop {
            if writer.shared.stop.is_cancelled() {
                return Err(RoomError::ShuttingDown);
            }
            let mailbox = self.mailbox(writer, room);
            let bytes = command.bytes;
            match mailbox.commands.send(command).await {
                Ok(()) => {
                    mailbox.bytes.fetch_add(bytes, Ordering::Relaxed);
                    return Ok(());
                }
                Err(mpsc::error::SendError(back)) => {
                    command = back;
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn mailbox(&self, writer: &RoomWriter, room: RoomNumber) -> Mailbox {
        let mut mailboxes = self
            .mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(mailbox) = mailboxes
            .get(&room)
            .filter(|mailbox| !mailbox.commands.is_closed())
        {
            return mailbox.clone();
        }
        let (commands, receiver) =
            mpsc::channel(self.limits.intents.clamp(1, Semaphore::MAX_PERMITS));
        let bytes = Arc::new(AtomicUsize::new(0));
        let mailbox = Mailbox {
            commands,
            bytes: bytes.clone(),
        };
        mailboxes.insert(room, mailbox.clone());
        let inbox = Inbox {
            commands: receiver,
            bytes,
        };
        writer
            .shared
            .tasks
            .spawn(crate::task::run(writer.clone(), room, inbox));
        mailbox
    }

    /// Takes an idle writer out, unless something came in meanwhile.
    pub(crate) fn retire(&self, room: RoomNumber, inbox: &mut Inbox) -> bool {
        let mut mailboxes = self
            .mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !inbox.commands.is_empty() {
            return false;
        }
        mailboxes.remove(&room);
        inbox.commands.close();
        true
    }
}

impl Inbox {
    /// Waits for commands and takes up to `limit` of them; 0 when the mailbox is closed and empty.
    pub(crate) async fn take(&mut self, group: &mut Vec<Command>, limit: usize) -> usize {
        let taken = self.commands.recv_many(group, limit).await;
        for command in &group[group.len() - taken..] {
            // A remote event may be counted only after it was taken: the sum wraps around to the right value.
            self.bytes.fetch_sub(command.bytes, Ordering::Relaxed);
        }
        taken
    }

    /// No new commands from now on; those inside can still be taken.
    pub(crate) fn close(&mut self) {
        self.commands.close();
    }
}
