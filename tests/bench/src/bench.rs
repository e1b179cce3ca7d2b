//! What all scenarios share: the target, the accounts and rooms they set up, and the measuring.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};

use crate::api::{self, Account};
use crate::http::{Conn, Failure, Reply, Req, Target};
use crate::proc::{Probe, Sample, own_cpu};
use crate::register::{self, register};
use crate::stats::{Errors, Latency, ratio, round};

/// The target of a run, its accounts and its limits.
pub struct Bench {
    pub target: Target,
    pub probe: Probe,
    pub registration: register::Method,
    /// Distinguishes the accounts of this run from those of earlier runs.
    pub run: String,
    pub presence: String,
    pub request_timeout: Duration,
    pub max_time: Duration,
    pub settle: Duration,
    pub setup_concurrency: usize,
    pub setup_errors: RefCell<Errors>,
    pub errors: RefCell<Errors>,
}

/// A room and its members, as indices into the accounts of the run.
pub struct Room {
    pub id: String,
    pub members: Vec<usize>,
}

// Setting up.
impl Bench {
    pub fn conn(&self) -> Conn {
        Conn::new(&self.target, None, self.request_timeout)
    }

    /// A connection from the n-th of `sources` loopback addresses, for more than one
    /// address has ports for.
    pub fn conn_from(&self, n: usize, sources: usize) -> Conn {
        let source = (sources > 1).then(|| {
            let host = 1 + (n % sources) as u32;
            IpAddr::V4(Ipv4Addr::from(
                u32::from(Ipv4Addr::new(127, 0, 0, 0)) + host,
            ))
        });
        Conn::new(&self.target, source, self.request_timeout)
    }

    /// A request of the setup: must succeed, is repeated a few times, counts apart.
    pub async fn setup(&self, conn: &mut Conn, req: &Req) -> Result<Reply> {
        let mut wait = Duration::from_millis(100);
        for _ in 0..6 {
            match conn.send(req).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => {
                    self.setup_errors.borrow_mut().count(&failure);
                    let asked = match failure {
                        Failure::Status {
                            status: 429,
                            retry_after,
                            ..
                        } => retry_after,
                        _ => None,
                    };
                    tokio::time::sleep(asked.unwrap_or(wait).min(Duration::from_secs(10))).await;
                    wait *= 2;
                }
            }
        }
        Err(anyhow!("setup failed at {} {}", req.method, req.path))
    }

    /// Runs `work` for 0..n on a few connections, stopping at the first error.
    pub async fn setup_each<F>(&self, n: usize, work: F) -> Result<()>
    where
        F: AsyncFn(&mut Conn, usize) -> Result<()>,
    {
        let next = Cell::new(0);
        let worker = || async {
            let mut conn = self.conn();
            while let Some(i) = take(&next, n) {
                work(&mut conn, i).await?;
            }
            anyhow::Ok(())
        };
        try_join_all((0..self.setup_concurrency.min(n)).map(|_| worker())).await?;
        Ok(())
    }

    pub async fn accounts(&self, n: usize) -> Result<Vec<Account>> {
        let accounts = RefCell::new(vec![None; n]);
        self.setup_each(n, async |conn, i| {
            let account = register(self, conn, &format!("b{}-{i}", self.run)).await?;
            accounts.borrow_mut()[i] = Some(account);
            Ok(())
        })
        .await?;
        Ok(accounts.into_inner().into_iter().flatten().collect())
    }

    /// `rooms` public rooms of `members` accounts each, handed out round-robin.
    pub async fn rooms(
        &self,
        accounts: &[Account],
        rooms: usize,
        members: usize,
    ) -> Result<Vec<Room>> {
        let members = members.clamp(1, accounts.len());
        let made = RefCell::new(Vec::with_capacity(rooms));
        self.setup_each(rooms, async |conn, r| {
            let mut members: Vec<usize> = (0..members)
                .map(|m| (r * members + m) % accounts.len())
                .collect();
            // No user creates two rooms at once: in room version 12 the room's ID is the hash of
            // its create event, and two of those from one user in one millisecond are the same.
            let turn = r % members.len();
            members.rotate_left(turn);
            let creator = &accounts[members[0]];
            let req = api::create_room(&creator.token, &format!("bench room {r}"));
            let room: api::Room = self.setup(conn, &req).await?.json()?;
            made.borrow_mut().push(Room {
                id: room.room_id,
                members,
            });
            Ok(())
        })
        .await?;
        let made = made.into_inner();
        // Joins different rooms in parallel rather than one room: servers take a lock per room.
        let joins: Vec<(&str, &Account)> = (1..members)
            .flat_map(|m| {
                made.iter()
                    .map(move |room| (room.id.as_str(), room.members[m]))
            })
            .map(|(room, account)| (room, &accounts[account]))
            .collect();
        self.setup_each(joins.len(), async |conn, i| {
            let (room, account) = joins[i];
            self.setup(conn, &api::join(&account.token, room))
                .await
                .map(|_| ())
        })
        .await?;
        Ok(made)
    }

    /// Sends `per_room` text messages to each room.
    pub async fn fill(&self, accounts: &[Account], rooms: &[Room], per_room: usize) -> Result<()> {
        self.setup_each(rooms.len() * per_room, async |conn, i| {
            self.setup(conn, &self.text(accounts, rooms, i, "fill"))
                .await
                .map(|_| ())
        })
        .await
    }

    /// The i-th text message: goes round the rooms, and in each room round its members.
    pub fn text(&self, accounts: &[Account], rooms: &[Room], i: usize, kind: &str) -> Req {
        let room = &rooms[i % rooms.len()];
        let sender = &accounts[room.members[(i / rooms.len()) % room.members.len()]];
        let text =
            format!("message {i} of the benchmark: the quick brown fox jumps over the lazy dog");
        api::send_text(
            &sender.token,
            &room.id,
            &format!("{kind}{}-{i}", self.run),
            &text,
        )
    }

    pub fn sync_style(&self, filter: Option<Value>) -> api::SyncStyle {
        api::SyncStyle {
            presence: self.presence.clone(),
            filter: filter.map(|f| f.to_string()),
        }
    }

    /// The token that a first, small sync of each account answers.
    pub async fn since_tokens(&self, accounts: &[Account]) -> Result<Vec<String>> {
        let style = self.sync_style(Some(json!({"room": {"timeline": {"limit": 1}}})));
        let tokens = RefCell::new(vec![String::new(); accounts.len()]);
        self.setup_each(accounts.len(), async |conn, i| {
            let req = style.request(&accounts[i].token, None, 0);
            let synced: api::Synced = self.setup(conn, &req).await?.json()?;
            tokens.borrow_mut()[i] = synced.next_batch;
            Ok(())
        })
        .await?;
        Ok(tokens.into_inner())
    }

    /// Waits until the server uses less than a tenth of a core, for at most `limit`.
    pub async fn quiesce(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let Some(mut last) = self.probe.sample() else {
            return tokio::time::sleep(self.settle.min(limit)).await;
        };
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let Some(now) = self.probe.sample() else {
                return;
            };
            if now.cpu.saturating_sub(last.cpu) < Duration::from_millis(100) {
                return;
            }
            last = now;
        }
    }
}

/// The measured phase of a scenario.
pub struct Window {
    started: Instant,
    server: Option<Sample>,
    own: Duration,
}

/// CPU time and memory of the server, and CPU time of this program, over a phase.
pub struct Usage {
    before: Option<Sample>,
    after: Option<Sample>,
    own: Duration,
}

impl Bench {
    /// Starts measuring once the server has digested the setup.
    pub async fn begin(&self) -> Window {
        self.quiesce(Duration::from_secs(15)).await;
        self.begin_now()
    }

    pub fn begin_now(&self) -> Window {
        Window {
            server: self.probe.sample(),
            own: own_cpu(),
            started: Instant::now(),
        }
    }

    /// Ends the measuring after a short wait, so that work which the server does behind its
    /// answers is counted too.
    pub async fn end(&self, window: Window) -> Usage {
        let own = own_cpu().saturating_sub(window.own);
        tokio::time::sleep(self.settle).await;
        Usage {
            before: window.server,
            after: self.probe.sample(),
            own,
        }
    }

    /// `n` operations by `workers` workers, each of which waits for its answer before its next
    /// operation. Ends early at the run's time limit.
    pub async fn closed_loop<F>(&self, workers: usize, n: usize, operation: F) -> Tally
    where
        F: AsyncFn(&mut Conn, usize) -> Result<Reply, Failure>,
    {
        let next = Cell::new(0);
        let tally = RefCell::new(Tally::new());
        let started = Instant::now();
        let worker = || async {
            let mut conn = self.conn();
            while let Some(i) = take(&next, n) {
                let start = Instant::now();
                if start - started > self.max_time {
                    return;
                }
                match operation(&mut conn, i).await {
                    Ok(reply) => {
                        let mut tally = tally.borrow_mut();
                        tally.latency.record(start.elapsed());
                        tally.bytes += reply.body.len() as u64;
                    }
                    Err(failure) => self.errors.borrow_mut().count(&failure),
                }
            }
        };
        join_all((0..workers.clamp(1, n.max(1))).map(|_| worker())).await;
        let mut tally = tally.into_inner();
        tally.wall = started.elapsed();
        tally
    }
}

impl Window {
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Usage {
    /// CPU time that the server spent, in milliseconds; NaN when no pid was given.
    pub fn cpu_ms(&self) -> f64 {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e3,
            _ => f64::NAN,
        }
    }

    /// Server CPU milliseconds per operation.
    pub fn cpu_ms_per(&self, operations: f64) -> Value {
        let cpu = self.cpu_ms();
        if cpu.is_nan() {
            Value::Null
        } else {
            ratio(cpu, operations)
        }
    }

    pub fn json(&self) -> Value {
        let own = json!(round(self.own.as_secs_f64()));
        let (Some(before), Some(after)) = (&self.before, &self.after) else {
            return json!({"client_cpu_s": own});
        };
        let seconds =
            |f: fn(&Sample) -> Duration| round(f(after).saturating_sub(f(before)).as_secs_f64());
        json!({
            "cpu_s": seconds(|s| s.cpu),
            "cpu_user_s": seconds(|s| s.user),
            "cpu_sys_s": seconds(|s| s.sys),
            "rss_mib_before": round(before.rss_mib()),
            "rss_mib_after": round(after.rss_mib()),
            "pss_mib_before": round(before.pss_mib()),
            "pss_mib_after": round(after.pss_mib()),
            "written_mib": round(after.written.saturating_sub(before.written) as f64 / 1048576.0),
            "client_cpu_s": own,
        })
    }
}

/// What a closed loop did.
pub struct Tally {
    pub latency: Latency,
    pub bytes: u64,
    pub wall: Duration,
}

impl Tally {
    fn new() -> Self {
        Self {
            latency: Latency::new(),
            bytes: 0,
            wall: Duration::ZERO,
        }
    }

    pub fn count(&self) -> f64 {
        self.latency.count() as f64
    }

    pub fn json(&self) -> Value {
        json!({
            "done": self.latency.count(),
            "wall_s": round(self.wall.as_secs_f64()),
            "per_s": ratio(self.count(), self.wall.as_secs_f64()),
            "latency_ms": self.latency.json(),
            "bytes_mean": ratio(self.bytes as f64, self.count()),
        })
    }
}

fn take(next: &Cell<usize>, n: usize) -> Option<usize> {
    let i = next.get();
    next.set(i + 1);
    (i < n).then_some(i)
}
