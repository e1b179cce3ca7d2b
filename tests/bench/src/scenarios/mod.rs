//! The scenarios, one per file.

mod fanout;
mod idle;
mod join;
mod media;
mod messages;
mod send;
mod state;
mod sync;

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::bench::Bench;

/// A scenario with its parameters.
#[derive(Subcommand)]
pub enum Scenario {
    /// Text messages into many rooms, as fast as the server takes them
    Send(send::Params),
    /// From one sender to all members of a room that wait in /sync
    Fanout(fanout::Params),
    /// First /sync of a user of many rooms
    InitialSync(sync::InitialParams),
    /// /sync with nothing or little new, without waiting
    IncrementalSync(sync::IncrementalParams),
    /// Paginate a long room backwards
    Messages(messages::Params),
    /// Many connections that wait in /sync while nothing happens
    Idle(idle::Params),
    /// Many users join one room at once
    Join(join::Params),
    /// Upload, download and thumbnails
    Media(media::Params),
    /// /state and /members of a room with much state
    State(state::Params),
}

impl Scenario {
    /// Name, parameters and figures.
    pub async fn run(&self, bench: &Bench) -> Result<(&'static str, Value, Value)> {
        Ok(match self {
            Self::Send(p) => ("send", json!(p), p.run(bench).await?),
            Self::Fanout(p) => ("fanout", json!(p), p.run(bench).await?),
            Self::InitialSync(p) => ("initial_sync", json!(p), p.run(bench).await?),
            Self::IncrementalSync(p) => ("incremental_sync", json!(p), p.run(bench).await?),
            Self::Messages(p) => ("messages", json!(p), p.run(bench).await?),
            Self::Idle(p) => ("idle", json!(p), p.run(bench).await?),
            Self::Join(p) => ("join", json!(p), p.run(bench).await?),
            Self::Media(p) => ("media", json!(p), p.run(bench).await?),
            Self::State(p) => ("state", json!(p), p.run(bench).await?),
        })
    }
}
