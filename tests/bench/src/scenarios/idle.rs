//! Many connections that wait in `/sync`: memory per connection, CPU time while nothing happens.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::api;
use crate::bench::Bench;
use crate::proc;
use crate::stats::{ratio, round};

/// Parameters on the command line.
#[derive(Args, Serialize)]
pub struct Params {
    #[arg(long, default_value_t = 2000)]
    connections: usize,
    /// Accounts that the connections belong to
    #[arg(long, default_value_t = 100)]
    users: usize,
    /// Seconds that a /sync asks the server to wait
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// Seconds to hold all the connections while measuring
    #[arg(long, default_value_t = 20)]
    hold: u64,
    /// Connections being opened at once
    #[arg(long, default_value_t = 64)]
    opening: usize,
    /// Spread over this many 127.0.0.x source addresses
    #[arg(long, default_value_t = 1)]
    sources: usize,
}

struct Progress {
    opening: Semaphore,
    open: Cell<usize>,
    returns: Cell<u64>,
}

impl Params {
    pub async fn run(&self, bench: &Bench) -> Result<Value> {
        proc::raise_open_files(self.connections as u64 + 1000);
        let accounts = bench.accounts(self.users).await?;
        // Each user is in one room of ten.
        bench.rooms(&accounts, self.users.div_ceil(10), 10).await?;
        let since = bench.since_tokens(&accounts).await?;
        bench.quiesce(Duration::from_secs(30)).await;

        let before = bench.probe.sample();
        let progress = Progress {
            opening: Semaphore::new(self.opening),
            open: Cell::new(0),
            returns: Cell::new(0),
        };
        let polls = (0..self.connections).map(|n| {
            let user = n % accounts.len();
            self.poll(
                bench,
                n,
                &accounts[user].token,
                since[user].clone(),
                &progress,
            )
        });
        let (usage, ramp, ready, early) = tokio::select! {
            _ = join_all(polls) => unreachable!("connections poll for ever"),
            held = self.hold(bench, &progress) => held,
        };

        let n = progress.open.get() as f64;
        let per_connection = |f: fn(&proc::Sample) -> f64| match (&before, &ready) {
            (Some(before), Some(ready)) => ratio((f(ready) - f(before)) * 1024.0, n),
            _ => Value::Null,
        };
        Ok(json!({
            "connections": n,
            "ramp_s": round(ramp.as_secs_f64()),
            "rss_kib_per_connection": per_connection(proc::Sample::rss_mib),
            "pss_kib_per_connection": per_connection(proc::Sample::pss_mib),
            "returns_while_held": early,
            "cpu_percent_while_held": ratio(usage.cpu_ms() / 10.0, self.hold as f64),
            "usage": usage.json(),
        }))
    }

    async fn hold(
        &self,
        bench: &Bench,
        progress: &Progress,
    ) -> (crate::bench::Usage, Duration, Option<proc::Sample>, u64) {
        let start = std::time::Instant::now();
        while progress.open.get() < self.connections && start.elapsed() < bench.max_time {
            sleep(Duration::from_millis(20)).await;
        }
        // Until the server has taken in all the requests.
        sleep(Duration::from_secs(1)).await;
        bench.quiesce(bench.max_time).await;
        let ramp = start.elapsed();
        let ready = bench.probe.sample();
        let window = bench.begin_now();
        progress.returns.set(0);
        sleep(Duration::from_secs(self.hold).saturating_sub(bench.settle)).await;
        let usage = bench.end(window).await;
        (usage, ramp, ready, progress.returns.get())
    }

    async fn poll(
        &self,
        bench: &Bench,
        n: usize,
        token: &str,
        mut since: String,
        progress: &Progress,
    ) {
        let style = bench.sync_style(None);
        let mut conn = bench.conn_from(n, self.sources);
        conn.allow(Duration::from_secs(self.timeout));
        {
            let _permit = progress.opening.acquire().await.expect("never closed");
            while let Err(failure) = conn.connect().await {
                bench.errors.borrow_mut().count(&failure);
                sleep(Duration::from_millis(500)).await;
            }
            progress.open.set(progress.open.get() + 1);
        }
        loop {
            // A timeout of its own keeps the server from sharing one answer among connections.
            let timeout_ms = self.timeout * 1000 + n as u64;
            match conn
                .send(&style.request(token, Some(&since), timeout_ms))
                .await
            {
                Ok(reply) => {
                    progress.returns.set(progress.returns.get() + 1);
                    if let Ok(synced) = reply.json::<api::Synced>() {
                        since = synced.next_batch;
                    }
                }
                Err(failure) => {
                    bench.errors.borrow_mut().count(&failure);
                    sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }
}
