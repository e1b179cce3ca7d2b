//! One sender, many members that wait in `/sync`: the time until each of them has the message.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use futures_util::future::join_all;
use memchr::memmem::Finder;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};

use crate::api::{self, Account};
use crate::bench::{Bench, Room};
use crate::http::Reply;
use crate::stats::{Latency, ratio, round};

/// Parameters on the command line.
#[derive(Args, Serialize)]
pub struct Params {
    /// Members of the room, each waiting in its own /sync; the sender comes on top
    #[arg(long, default_value_t = 200)]
    members: usize,
    #[arg(long, default_value_t = 50)]
    messages: usize,
    /// Milliseconds from one message to the next
    #[arg(long, default_value_t = 400)]
    interval_ms: u64,
    /// Seconds of waiting in /sync before the first message
    #[arg(long, default_value_t = 5)]
    warmup: u64,
    /// Seconds to wait for what is undelivered after the last message
    #[arg(long, default_value_t = 20)]
    grace: u64,
}

const POLL_MS: u64 = 30_000;
/// Stands in each message before its number, so that deliveries are found without parsing.
const MARK: &str = "fanout-mark-";

struct Progress {
    /// When each message was about to be sent.
    sent: RefCell<Vec<Option<Instant>>>,
    send: RefCell<Latency>,
    delivery: RefCell<Latency>,
    delivered: Cell<usize>,
    syncs: Cell<u64>,
    sync_bytes: Cell<u64>,
}

impl Params {
    pub async fn run(&self, bench: &Bench) -> Result<Value> {
        let accounts = bench.accounts(self.members + 1).await?;
        let rooms = bench.rooms(&accounts, 1, accounts.len()).await?;
        let since = bench.since_tokens(&accounts).await?;
        bench.quiesce(Duration::from_secs(15)).await;

        let progress = Progress {
            sent: RefCell::new(vec![None; self.messages]),
            send: RefCell::new(Latency::new()),
            delivery: RefCell::new(Latency::new()),
            delivered: Cell::new(0),
            syncs: Cell::new(0),
            sync_bytes: Cell::new(0),
        };
        let (sender, members) = (&accounts[0], &accounts[1..]);
        let polls = members
            .iter()
            .zip(&since[1..])
            .map(|(member, since)| self.poll(bench, member, since.clone(), &progress));
        let (usage, wall) = tokio::select! {
            _ = join_all(polls) => unreachable!("members poll for ever"),
            done = self.send(bench, sender, &rooms[0], &progress) => done,
        };

        let expected = self.members * self.messages;
        let delivered = progress.delivered.get();
        Ok(json!({
            "deliveries": delivered,
            "missing": expected - delivered,
            "delivery_ms": progress.delivery.borrow().json(),
            "send_ms": progress.send.borrow().json(),
            "syncs": progress.syncs.get(),
            "sync_bytes_mean": ratio(progress.sync_bytes.get() as f64, progress.syncs.get() as f64),
            "wall_s": round(wall.as_secs_f64()),
            "cpu_ms_per_delivery": usage.cpu_ms_per(delivered as f64),
            "usage": usage.json(),
        }))
    }

    async fn send(
        &self,
        bench: &Bench,
        sender: &Account,
        room: &Room,
        progress: &Progress,
    ) -> (crate::bench::Usage, Duration) {
        sleep(Duration::from_secs(self.warmup)).await;
        bench.quiesce(Duration::from_secs(15)).await;
        progress.syncs.set(0);
        progress.sync_bytes.set(0);
        let mut conn = bench.conn();
        let window = bench.begin_now();
        let interval = Duration::from_millis(self.interval_ms);
        let mut due = tokio::time::Instant::now();
        for i in 0..self.messages {
            sleep_until(due).await;
            due = (due + interval).max(tokio::time::Instant::now());
            let text = format!("{MARK}{i}-");
            let txn = format!("fanout{}-{i}", bench.run);
            let req = api::send_text(&sender.token, &room.id, &txn, &text);
            let start = Instant::now();
            progress.sent.borrow_mut()[i] = Some(start);
            match conn.send(&req).await {
                Ok(_) => progress.send.borrow_mut().record(start.elapsed()),
                Err(failure) => bench.errors.borrow_mut().count(&failure),
            }
        }
        let expected = self.members * self.messages;
        let end = Instant::now() + Duration::from_secs(self.grace);
        while progress.delivered.get() < expected && Instant::now() < end {
            sleep(Duration::from_millis(10)).await;
        }
        let wall = window.elapsed();
        (bench.end(window).await, wall)
    }

    async fn poll(&self, bench: &Bench, member: &Account, mut since: String, progress: &Progress) {
        let style = bench.sync_style(None);
        let mut conn = bench.conn();
        conn.allow(Duration::from_millis(POLL_MS));
        let mut seen = vec![false; self.messages];
        loop {
            let req = style.request(&member.token, Some(&since), POLL_MS);
            match conn.send(&req).await {
                Ok(reply) => {
                    let now = Instant::now();
                    for i in marks(&reply) {
                        if let Some(Some(sent)) = progress.sent.borrow().get(i)
                            && !std::mem::replace(&mut seen[i], true)
                        {
                            progress.delivery.borrow_mut().record(now - *sent);
                            progress.delivered.set(progress.delivered.get() + 1);
                        }
                    }
                    progress.syncs.set(progress.syncs.get() + 1);
                    progress
                        .sync_bytes
                        .set(progress.sync_bytes.get() + reply.body.len() as u64);
                    if let Ok(synced) = reply.json::<api::Synced>() {
                        since = synced.next_batch;
                    }
                }
                Err(failure) => {
                    bench.errors.borrow_mut().count(&failure);
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// The numbers of the messages in a sync answer.
fn marks(reply: &Reply) -> impl Iterator<Item = usize> + '_ {
    let finder = Finder::new(MARK);
    let starts: Vec<usize> = finder
        .find_iter(&reply.body)
        .map(|at| at + MARK.len())
        .collect();
    starts.into_iter().filter_map(|at| {
        let digits: Vec<u8> = reply.body[at..]
            .iter()
            .copied()
            .take_while(u8::is_ascii_digit)
            .collect();
        String::from_utf8(digits).ok()?.parse().ok()
    })
}
