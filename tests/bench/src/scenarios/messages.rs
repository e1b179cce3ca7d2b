//! Pagination backwards through a long room.

use std::cell::Cell;

use anyhow::Result;
use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api;
use crate::bench::Bench;
use crate::stats::{Latency, ratio, round};

/// Parameters on the command line.
#[derive(Args, Serialize)]
pub struct Params {
    /// Messages in the room
    #[arg(long, default_value_t = 3000)]
    events: usize,
    /// Members that sent them
    #[arg(long, default_value_t = 10)]
    members: usize,
    /// Events asked for per page
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Times that the room is read to its start
    #[arg(long, default_value_t = 10)]
    passes: usize,
    /// Passes at once
    #[arg(long, default_value_t = 2)]
    concurrency: usize,
}

impl Params {
    pub async fn run(&self, bench: &Bench) -> Result<Value> {
        let accounts = bench.accounts(self.members).await?;
        let rooms = bench.rooms(&accounts, 1, self.members).await?;
        bench.fill(&accounts, &rooms, self.events).await?;

        let (left, events) = (Cell::new(self.passes), Cell::new(0_usize));
        let latency = std::cell::RefCell::new(Latency::new());
        let window = bench.begin().await;
        let reader = |n: usize| {
            let account = &accounts[n % accounts.len()];
            let (left, events, latency, window) = (&left, &events, &latency, &window);
            let room = &rooms[0].id;
            async move {
                let mut conn = bench.conn();
                while left.get() > 0 && window.elapsed() < bench.max_time {
                    left.set(left.get() - 1);
                    let mut from: Option<String> = None;
                    loop {
                        let req =
                            api::messages_back(&account.token, room, from.as_deref(), self.limit);
                        let start = std::time::Instant::now();
                        let page = match conn.send(&req).await {
                            Ok(reply) => {
                                latency.borrow_mut().record(start.elapsed());
                                reply.json::<api::Page>()?
                            }
                            Err(failure) => {
                                bench.errors.borrow_mut().count(&failure);
                                break;
                            }
                        };
                        events.set(events.get() + page.chunk.len());
                        if page.end.is_none() || page.chunk.is_empty() {
                            break;
                        }
                        from = page.end;
                    }
                }
                anyhow::Ok(())
            }
        };
        let readers = join_all((0..self.concurrency.max(1)).map(reader)).await;
        let wall = window.elapsed().as_secs_f64();
        readers.into_iter().collect::<Result<()>>()?;
        let usage = bench.end(window).await;

        let events = events.get() as f64;
        Ok(json!({
            "events": events,
            "wall_s": round(wall),
            "events_per_s": ratio(events, wall),
            "page_ms": latency.borrow().json(),
            "pages": latency.borrow().count(),
            "cpu_ms_per_1000_events": usage.cpu_ms_per(events / 1000.0),
            "usage": usage.json(),
        }))
    }
}
