//! Many state events in one room: writing them, reading `/state` and `/members`.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api;
use crate::bench::Bench;
use crate::http::Req;

/// Parameters on the command line.
#[derive(Args, Serialize)]
pub struct Params {
    /// State events of a custom type
    #[arg(long, default_value_t = 1000)]
    events: usize,
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// Reads of each kind
    #[arg(long, default_value_t = 100)]
    reads: usize,
    #[arg(long, default_value_t = 2)]
    concurrency: usize,
}

impl Params {
    pub async fn run(&self, bench: &Bench) -> Result<Value> {
        let accounts = bench.accounts(self.members).await?;
        let room = &bench.rooms(&accounts, 1, self.members).await?[0];
        let token = &accounts[0].token;
        let write = async |conn: &mut crate::http::Conn, i: usize| {
            let content =
                json!({"number": i, "text": "the quick brown fox jumps over the lazy dog"});
            let key = format!("key{i}");
            conn.send(&api::set_state(
                token,
                &room.id,
                "org.example.hsbench",
                &key,
                content,
            ))
            .await
        };

        let window = bench.begin().await;
        let written = bench.closed_loop(1, self.events, write).await;
        let write_usage = bench.end(window).await;
        let state = self.read(bench, &api::state(token, &room.id)).await;
        let members = self.read(bench, &api::members(token, &room.id)).await;
        Ok(json!({
            "write": written.json(),
            "write_cpu_ms": write_usage.cpu_ms_per(written.count()),
            "state": state,
            "members": members,
            "usage": write_usage.json(),
        }))
    }

    async fn read(&self, bench: &Bench, req: &Req) -> Value {
        let window = bench.begin().await;
        let operation = async |conn: &mut crate::http::Conn, _| conn.send(req).await;
        let tally = bench
            .closed_loop(self.concurrency, self.reads, operation)
            .await;
        let usage = bench.end(window).await;
        let mut figures = tally.json();
        figures["cpu_ms"] = usage.cpu_ms_per(tally.count());
        figures
    }
}
