//! The first `/sync` of a user, and later ones without waiting.

use std::cell::RefCell;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{self, SyncStyle};
use crate::bench::{Bench, Tally, Usage};

/// Parameters of `initial-sync` on the command line.
#[derive(Args, Serialize)]
pub struct InitialParams {
    /// Rooms the user is in
    #[arg(long, default_value_t = 50)]
    rooms: usize,
    /// Members of each room
    #[arg(long, default_value_t = 20)]
    members: usize,
    /// Messages in each room
    #[arg(long, default_value_t = 20)]
    messages: usize,
    /// Timeline limit of the filter
    #[arg(long, default_value_t = 20)]
    timeline_limit: usize,
    /// Lazy-load members
    #[arg(long)]
    lazy: bool,
    /// Repetitions after the first sync
    #[arg(long, default_value_t = 5)]
    warm: usize,
}

impl InitialParams {
    pub async fn run(&self, bench: &Bench) -> Result<Value> {
        // Every room has the same members; the last account only ever syncs in the measured phase.
        let accounts = bench.accounts(self.members.max(2)).await?;
        let rooms = bench.rooms(&accounts, self.rooms, accounts.len()).await?;
        bench.fill(&accounts, &rooms, self.messages).await?;
        let style = bench.sync_style(Some(json!({"room": {
            "timeline": {"limit": self.timeline_limit},
            "state": {"lazy_load_members": self.lazy},
        }})));
        let token = &accounts[accounts.len() - 1].token;

        let (cold, cold_usage) = initial(bench, &style, token, 1).await;
        let (warm, warm_usage) = initial(bench, &style, token, self.warm).await;
        Ok(json!({
            "cold": cold.json(),
            "cold_cpu_ms": cold_usage.cpu_ms_per(cold.count()),
            "warm": warm.json(),
            "warm_cpu_ms": warm_usage.cpu_ms_per(warm.count()),
            "cold_usage": cold_usage.json(),
            "usage": warm_usage.json(),
        }))
    }
}

async fn initial(bench: &Bench, style: &SyncStyle, token: &str, n: usize) -> (Tally, Usage) {
    let window = bench.begin().await;
    let tally = bench
        .closed_loop(1, n, async |conn, i| {
            // An initial sync answers at once whatever its timeout; a different one each time
            // keeps a server from answering out of a cache of whole responses.
            conn.send(&style.request(token, None, (n * 10 + i) as u64))
                .await
        })
        .await;
    (tally, bench.end(window).await)
}

/// Parameters of `incremental-sync` on the command line.
#[derive(Args, Serialize)]
pub struct IncrementalParams {
    #[arg(long, default_value_t = 64)]
    users: usize,
    /// Rooms in total; each user is in rooms * members / users of them
    #[arg(long, default_value_t = 64)]
    rooms: usize,
    /// Members of each room
    #[arg(long, default_value_t = 20)]
    members: usize,
    /// Syncs in total
    #[arg(long, default_value_t = 10_000)]
    syncs: usize,
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
}

impl IncrementalParams {
    pub async fn run(&self, bench: &Bench) -> Result<Value> {
        let accounts = bench.accounts(self.users).await?;
        bench.rooms(&accounts, self.rooms, self.members).await?;
        let style = bench.sync_style(None);
        let since = RefCell::new(bench.since_tokens(&accounts).await?);
        let sync = async |conn: &mut crate::http::Conn, i: usize| {
            let user = i % accounts.len();
            let req = {
                let since = &since.borrow()[user];
                style.request(&accounts[user].token, Some(since), 0)
            };
            let reply = conn.send(&req).await?;
            if let Ok(synced) = reply.json::<api::Synced>() {
                since.borrow_mut()[user] = synced.next_batch;
            }
            Ok(reply)
        };
        // Two rounds beforehand deliver what the setup left behind, such as presence.
        bench
            .closed_loop(self.concurrency, 2 * self.users, &sync)
            .await;

        let window = bench.begin().await;
        let tally = bench.closed_loop(self.concurrency, self.syncs, &sync).await;
        let usage = bench.end(window).await;
        Ok(json!({
            "sync": tally.json(),
            "cpu_ms_per_sync": usage.cpu_ms_per(tally.count()),
            "usage": usage.json(),
        }))
    }
}
