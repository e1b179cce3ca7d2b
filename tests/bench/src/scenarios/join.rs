//! Many users join one room.

use std::cell::RefCell;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api;
use crate::bench::Bench;
use crate::stats::Latency;

/// Parameters on the command line.
#[derive(Args, Serialize)]
pub struct Params {
    /// Users that join the room
    #[arg(long, default_value_t = 400)]
    users: usize,
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Latency is reported apart for this many steps of the room's growth
    #[arg(long, default_value_t = 4)]
    steps: usize,
}

impl Params {
    pub async fn run(&self, bench: &Bench) -> Result<Value> {
        let accounts = bench.accounts(self.users + 1).await?;
        let room = &bench.rooms(&accounts, 1, 1).await?[0];
        let steps = self.steps.clamp(1, self.users);
        let by_size: Vec<RefCell<Latency>> =
            (0..steps).map(|_| RefCell::new(Latency::new())).collect();

        let window = bench.begin().await;
        let tally = bench
            .closed_loop(self.concurrency, self.users, async |conn, i| {
                let start = Instant::now();
                let reply = conn
                    .send(&api::join(&accounts[i + 1].token, &room.id))
                    .await?;
                by_size[i * steps / self.users]
                    .borrow_mut()
                    .record(start.elapsed());
                Ok(reply)
            })
            .await;
        let usage = bench.end(window).await;
        let by_size: Vec<Value> = by_size
            .iter()
            .enumerate()
            .map(|(s, latency)| {
                let up_to = (s + 1) * self.users / steps;
                json!({"up_to_members": up_to, "latency_ms": latency.borrow().json()})
            })
            .collect();
        Ok(json!({
            "join": tally.json(),
            "by_size": by_size,
            "cpu_ms_per_join": usage.cpu_ms_per(tally.count()),
            "usage": usage.json(),
        }))
    }
}
