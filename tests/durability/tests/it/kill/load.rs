//! What goes on at the server until it is killed, and what each client knows of it afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::People;
use crate::client::{Client, ask_to_register, text};

/// Counts answers, and signals when the kill is due.
pub(super) struct Load {
    due_after: u64,
    answers: AtomicU64,
    due: Notify,
    /// A clock that only orders: each start and end of a request takes the next number.
    moments: AtomicU64,
}

/// One message. Without an event id it was not answered.
pub(super) struct Sent {
    pub(super) sender: usize,
    pub(super) room: String,
    /// The transaction's id, and the message's text.
    pub(super) body: String,
    pub(super) event_id: Option<String>,
    pub(super) began: u64,
    pub(super) ended: u64,
}

/// Something that has a name of its own and was asked for.
pub(super) struct Made {
    pub(super) name: String,
    /// The room's id; for an account, its user's.
    pub(super) id: Option<String>,
}

#[derive(Default)]
pub(super) struct Report {
    pub(super) sent: Vec<Sent>,
    pub(super) rooms: Vec<Made>,
    pub(super) accounts: Vec<Made>,
}

impl Load {
    pub(super) fn new(due_after: u64) -> Self {
        Self {
            due_after,
            answers: AtomicU64::new(0),
            due: Notify::new(),
            moments: AtomicU64::new(0),
        }
    }

    pub(super) async fn is_due(&self) {
        self.due.notified().await;
    }

    /// Ends when each client lost its connection.
    pub(super) async fn run(
        self: &Arc<Self>,
        people: &People,
        rooms: &[String],
        round: usize,
    ) -> Report {
        let mut tasks = JoinSet::new();
        for (number, sender) in people.senders.iter().enumerate() {
            let (load, sender) = (Arc::clone(self), sender.clone());
            let rooms = rooms.to_vec();
            tasks.spawn(async move { load.send(&sender, number, &rooms, round).await });
        }
        let (load, host, guest) = (
            Arc::clone(self),
            people.host.clone(),
            people.guest.user.clone(),
        );
        tasks.spawn(async move { load.make_rooms(&host, &guest, round).await });
        let (load, anyone) = (Arc::clone(self), people.host.clone());
        tasks.spawn(async move { load.make_accounts(&anyone, round).await });
        let mut report = Report::default();
        while let Some(part) = tasks.join_next().await {
            let part = part.expect("a client does not panic");
            report.sent.extend(part.sent);
            report.rooms.extend(part.rooms);
            report.accounts.extend(part.accounts);
        }
        report
    }

    /// Each waits for an answer before it sends the next.
    async fn send(&self, client: &Client, sender: usize, rooms: &[String], round: usize) -> Report {
        let mut report = Report::default();
        for number in 0.. {
            let room = &rooms[number % rooms.len()];
            let body = format!("round{round}-sender{sender}-{number}");
            let began = self.moment();
            let answer = client.try_send(room, &body, &body).await;
            let ended = self.moment();
            let event_id = answer
                .ok()
                .map(|answer| text(&answer.expect_ok()["event_id"]));
            let is_answered = event_id.is_some();
            report.sent.push(Sent {
                sender,
                room: room.clone(),
                body,
                event_id,
                began,
                ended,
            });
            if !is_answered {
                break;
            }
            self.count_answer();
        }
        report
    }

    async fn make_rooms(&self, host: &Client, guest: &str, round: usize) -> Report {
        let mut report = Report::default();
        for number in 0.. {
            let name = format!("round{round}-room{number}");
            let answer = host.post("/v3/createRoom", &room_named(&name, guest)).await;
            let id = answer
                .ok()
                .map(|answer| text(&answer.expect_ok()["room_id"]));
            let is_answered = id.is_some();
            report.rooms.push(Made { name, id });
            if !is_answered {
                break;
            }
            self.count_answer();
        }
        report
    }

    async fn make_accounts(&self, anyone: &Client, round: usize) -> Report {
        let mut report = Report::default();
        for number in 0.. {
            let name = format!("round{round}-account{number}");
            let answer = ask_to_register(anyone.http(), &name).await;
            let id = answer
                .ok()
                .map(|answer| text(&answer.expect_ok()["user_id"]));
            let is_answered = id.is_some();
            report.accounts.push(Made { name, id });
            if !is_answered {
                break;
            }
            self.count_answer();
        }
        report
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn count_answer(&self) {
        if self.answers.fetch_add(1, Ordering::SeqCst) >= self.due_after {
            self.due.notify_one();
        }
    }
}

impl Report {
    pub(super) fn acknowledged(&self) -> usize {
        self.sent
            .iter()
            .filter(|sent| sent.event_id.is_some())
            .count()
    }
}

/// A room with much to be done in one commit: state of every kind, an alias, an invite, a place in
/// the directory.
pub(super) fn room_named(name: &str, guest: &str) -> serde_json::Value {
    json!({
        "preset": "public_chat",
        "visibility": "public",
        "name": name,
        "topic": format!("topic of {name}"),
        "room_alias_name": name,
        "invite": [guest],
        "initial_state": [{ "type": "org.example.mark", "state_key": "", "content": { "name": name } }],
    })
}
