//! One-time keys over kills: whatever the moment of the SIGKILL, a key that was handed out is
//! handed out no more, keys go out in the order of upload, and none is missing but those whose
//! answers were lost. A fallback key stays as used as it was.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::chance::{Chance, count_from};
use crate::client::{Client, text};
use crate::http::Unanswered;
use crate::server::{Home, Server};

const ALGORITHM: &str = "signed_curve25519";
const CLAIMERS: usize = 64;
const BATCHES: usize = 20;
const BATCH: usize = 50;
const KEYS: usize = BATCHES * BATCH;
/// The kill comes while there still are keys, whatever the claimers get meanwhile.
const LAST_KILL: u64 = 800;

/// Whose keys are claimed, and who claims them.
struct People {
    owner: Client,
    device: String,
    claimer: Client,
}

#[derive(Debug, PartialEq, Eq)]
enum Claimed {
    /// The key's place in the order of upload.
    Key(usize),
    Fallback,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_one_time_key_is_handed_out_twice_over_kills() {
    let rounds = count_from("DURABILITY_ROUNDS", 5);
    let mut chance = Chance::new("one_time_keys");
    let home = Home::new();
    let mut server = home.start().await;
    let people = People::register(&server).await;
    for round in 0..rounds {
        let before = people.at(&server);
        before.upload(round).await;
        let got = claim_until_killed(&mut server, &before, &mut chance).await;

        server = home.start().await;
        check_rest(&people.at(&server), round, got).await;
        server.kill().await;

        server = home.start().await;
        check_used_fallback(&people.at(&server), round).await;
    }
    server.stop().await;
}

impl People {
    async fn register(server: &Server) -> Self {
        let owner = Client::register(server, "owner").await;
        let device = text(&owner.read("/v3/account/whoami").await["device_id"]);
        Self {
            owner,
            device,
            claimer: Client::register(server, "claimer").await,
        }
    }

    fn at(&self, server: &Server) -> Arc<Self> {
        Arc::new(Self {
            owner: self.owner.at(server),
            device: self.device.clone(),
            claimer: self.claimer.at(server),
        })
    }

    /// In batches whose ids are sorted the other way round.
    async fn upload(&self, round: usize) {
        for batch in 0..BATCHES {
            let keys = (0..BATCH).map(|at| key(&id_of(round, batch, at)));
            self.put_keys(&json!({ "one_time_keys": keys.collect::<Map<_, _>>() }))
                .await;
        }
        self.put_fallback(round).await;
        assert_eq!(self.stock().await, (KEYS as u64, true));
    }

    async fn put_fallback(&self, round: usize) {
        let keys = Map::from_iter([key(&fallback_id(round))]);
        self.put_keys(&json!({ "fallback_keys": keys })).await;
    }

    async fn put_keys(&self, body: &Value) {
        let answer = self.owner.post("/v3/keys/upload", body).await;
        answer.expect("the server runs").expect_ok();
    }

    /// How many one-time keys are left, and whether the fallback key is unused.
    async fn stock(&self) -> (u64, bool) {
        let answer = self.owner.sync("").await;
        let left = answer["device_one_time_keys_count"][ALGORITHM].as_u64();
        let unused = &answer["device_unused_fallback_key_types"];
        (
            left.expect("every answer has a count"),
            unused == &json!([ALGORITHM]),
        )
    }

    async fn claim(&self) -> Result<Claimed, Unanswered> {
        let wanted = json!({ &self.owner.user: { &self.device: ALGORITHM } });
        let body = json!({ "one_time_keys": wanted });
        let answer = self
            .claimer
            .post("/v3/keys/claim", &body)
            .await?
            .expect_ok();
        let keys = &answer["one_time_keys"][&self.owner.user][&self.device];
        let keys = keys.as_object().expect("there always is a fallback key");
        assert_eq!(keys.len(), 1, "{keys:?}");
        let id = keys.keys().next().expect("there is one");
        Ok(Claimed::of(id))
    }

    /// What 64 get at once, each until it is not answered or there are only fallback keys.
    async fn claim_at_once(self: &Arc<Self>, load: &Arc<Load>) -> Vec<usize> {
        let mut claimers = JoinSet::new();
        for _ in 0..CLAIMERS {
            let (people, load) = (Arc::clone(self), Arc::clone(load));
            claimers.spawn(async move {
                let mut got = Vec::new();
                while let Ok(Claimed::Key(place)) = people.claim().await {
                    got.push(place);
                    load.count_answer();
                }
                got
            });
        }
        claimers.join_all().await.concat()
    }
}

impl Claimed {
    fn of(id: &str) -> Self {
        let name = id.split_once(':').expect("an algorithm and a name").1;
        let parts: Vec<usize> = name
            .split('x')
            .filter_map(|part| part.parse().ok())
            .collect();
        match parts[..] {
            [_, batch, at] => Self::Key((BATCHES - 1 - batch) * BATCH + at),
            _ => Self::Fallback,
        }
    }
}

/// Counts answers, and signals when the kill is due.
struct Load {
    due_after: u64,
    answers: AtomicU64,
    due: Notify,
}

impl Load {
    fn new(due_after: u64) -> Arc<Self> {
        Arc::new(Self {
            due_after,
            answers: AtomicU64::new(0),
            due: Notify::new(),
        })
    }

    fn count_answer(&self) {
        if self.answers.fetch_add(1, Ordering::SeqCst) >= self.due_after {
            self.due.notify_one();
        }
    }
}

/// The keys whose claims were answered, after a random number of answers and a random part of a
/// millisecond.
async fn claim_until_killed(
    server: &mut Server,
    people: &Arc<People>,
    chance: &mut Chance,
) -> Vec<usize> {
    let load = Load::new(chance.below(LAST_KILL));
    let jitter = Duration::from_micros(chance.below(3_000));
    let kill = async {
        load.due.notified().await;
        sleep(jitter).await;
        server.kill().await;
    };
    let ((), got) = tokio::join!(kill, people.claim_at_once(&load));
    got
}

/// Claims what the kill left, and compares it with what was handed out before.
async fn check_rest(people: &Arc<People>, round: usize, mut got: Vec<usize>) {
    let answered = got.len();
    let (left, is_unused) = people.stock().await;
    let left = usize::try_from(left).expect("a count");
    let next = KEYS - left;
    assert!(
        is_unused,
        "nobody was given the fallback key of round {round}"
    );
    assert!(
        (answered..=answered + CLAIMERS).contains(&next),
        "{answered} claims were answered, and {next} keys are gone"
    );
    assert!(
        got.iter().all(|place| *place < next),
        "a key that was handed out is still there"
    );
    let first = people.claim().await.expect("the server runs");
    assert_eq!(
        first,
        Claimed::Key(next),
        "keys go out in the order of upload"
    );

    got.push(next);
    got.extend(people.claim_at_once(&Load::new(u64::MAX)).await);

    let all: BTreeSet<usize> = got.iter().copied().collect();
    assert_eq!(all.len(), got.len(), "a key was handed out twice");
    assert!(
        (next..KEYS).all(|place| all.contains(&place)),
        "a key was lost"
    );
}

/// The fallback key was given out before the kill: it is used, also for who uploads it again.
async fn check_used_fallback(people: &People, round: usize) {
    assert_eq!(people.stock().await, (0, false));
    people.put_fallback(round).await;
    assert_eq!(people.stock().await, (0, false), "the same key again");
    let claimed = people.claim().await.expect("the server runs");
    assert_eq!(claimed, Claimed::Fallback);
}

fn id_of(round: usize, batch: usize, at: usize) -> String {
    format!("{round}x{}x{at:02}", BATCHES - 1 - batch)
}

fn fallback_id(round: usize) -> String {
    format!("fallback{round}")
}

/// A key that has the form of one: 32 bytes in unpadded Base64.
fn key(name: &str) -> (String, Value) {
    let bytes = format!("{name:A>42}A");
    let key = json!({ "key": bytes, "signatures": {} });
    (format!("{ALGORITHM}:{name}"), key)
}
