//! Text messages into many rooms, in a closed loop.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::Bench;

/// Parameters on the command line.
#[derive(Args, Serialize)]
pub struct Params {
    #[arg(long, default_value_t = 40)]
    users: usize,
    #[arg(long, default_value_t = 20)]
    rooms: usize,
    /// Members of each room
    #[arg(long, default_value_t = 10)]
    members: usize,
    /// Messages in total
    #[arg(long, default_value_t = 4000)]
    messages: usize,
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
}

impl Params {
    pub async fn run(&self, bench: &Bench) -> Result<Value> {
        let accounts = bench.accounts(self.users).await?;
        let rooms = bench.rooms(&accounts, self.rooms, self.members).await?;
        // A little of the same beforehand, so that no first-time work is measured.
        bench.fill(&accounts, &rooms, 2).await?;

        let window = bench.begin().await;
        let tally = bench
            .closed_loop(self.concurrency, self.messages, async |conn, i| {
                conn.send(&bench.text(&accounts, &rooms, i, "send")).await
            })
            .await;
        let usage = bench.end(window).await;
        Ok(json!({
            "send": tally.json(),
            "cpu_ms_per_message": usage.cpu_ms_per(tally.count()),
            "usage": usage.json(),
        }))
    }
}
