//! The server is repeatedly killed with SIGKILL under load, on one database. After each restart
//!
//! * each acknowledged event is in its room exactly once, before every event that was sent later;
//! * each unacknowledged send, repeated with its transaction id, is there exactly once;
//! * nothing exists in part: a room or an account is complete, or missing and can be created;
//! * a client that continues with its old sync token sees each event once, in the order of
//!   `/messages`.

mod check;
mod load;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::chance::{Chance, count_from};
use crate::client::{Client, Watcher};
use crate::server::{Home, Server};
use load::{Load, Report};

const SENDERS: usize = 8;
const ROOMS: usize = 2;

/// The users of all rounds.
struct People {
    senders: Vec<Client>,
    /// Creates rooms and invites `guest`.
    host: Client,
    guest: Client,
}

/// The rooms of one round, in which all senders are.
struct Round {
    number: usize,
    rooms: Vec<String>,
    watcher: Watcher,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let rounds = count_from("DURABILITY_ROUNDS", 10);
    let mut chance = Chance::new("kill");
    let home = Home::new();
    let mut server = home.start().await;
    let people = People::register(&server).await;
    let mut rooms = BTreeSet::new();
    let mut acknowledged = 0;
    for number in 0..rounds {
        let people = people.at(&server);
        let mut round = Round::begin(&people, number).await;
        let report = work_until_killed(&mut server, &people, &mut round, &mut chance).await;
        acknowledged += report.acknowledged();

        server = home.start().await;

        let people = people.at(&server);
        round.watcher.move_to(&server);
        check::events(&people, &mut round, &report).await;
        check::rooms(&people, &report, &mut rooms).await;
        check::accounts(&server, &report).await;
    }
    println!("{rounds} kills, {acknowledged} acknowledged events");
    server.stop().await;
}

/// The kill comes after a random number of responses and a random fraction of a millisecond.
async fn work_until_killed(
    server: &mut Server,
    people: &People,
    round: &mut Round,
    chance: &mut Chance,
) -> Report {
    let load = Arc::new(Load::new(chance.below(600)));
    let jitter = Duration::from_micros(chance.below(3_000));
    let kill = async {
        load.is_due().await;
        sleep(jitter).await;
        server.kill().await;
    };
    let watch = async { while round.watcher.watch(10_000).await.is_ok() {} };
    let ((), (), report) = tokio::join!(kill, watch, load.run(people, &round.rooms, round.number));
    report
}

impl People {
    async fn register(server: &Server) -> Self {
        let mut senders = Vec::new();
        for number in 0..SENDERS {
            senders.push(Client::register(server, &format!("sender{number}")).await);
        }
        Self {
            senders,
            host: Client::register(server, "host").await,
            guest: Client::register(server, "guest").await,
        }
    }

    fn at(&self, server: &Server) -> Self {
        Self {
            senders: self
                .senders
                .iter()
                .map(|sender| sender.at(server))
                .collect(),
            host: self.host.at(server),
            guest: self.guest.at(server),
        }
    }
}

impl Round {
    async fn begin(people: &People, number: usize) -> Self {
        let mut rooms = Vec::new();
        for _ in 0..ROOMS {
            let (first, others) = people.senders.split_first().expect("there are senders");
            let room = first.create_public_room().await;
            for sender in others {
                sender.join(&room).await;
            }
            rooms.push(room);
        }
        Self {
            number,
            rooms,
            watcher: Watcher::begin(people.senders[0].clone()).await,
        }
    }
}
