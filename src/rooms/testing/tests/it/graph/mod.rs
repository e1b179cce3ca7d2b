//! Rooms as graphs: several servers, parted and healed, with bans, power level fights, joins, leaves, redactions, deep forks,
//! gaps and forged events. When all events are everywhere, everybody has the room that the plain rules give.

mod checks;
mod defects;
mod paging;
mod plain;

use std::{fmt::Write as _, ops::Range};

use rooms_testing::graph::{Net, Ways};
use rooms_writer::Defect;
use ruma::RoomVersionId;

use self::paging::Tokens;

/// One history.
#[derive(Clone, Copy, Debug)]
struct History {
    seed: u64,
    steps: usize,
    defect: Option<Defect>,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            steps: if is_deep(seed) { 130 } else { 45 },
            defect: None,
        }
    }

    fn version(self) -> RoomVersionId {
        let versions = [RoomVersionId::V12, RoomVersionId::V11, RoomVersionId::V6];
        versions[usize::try_from(self.seed % 3).expect("small")].clone()
    }

    fn servers(self) -> usize {
        3 + usize::try_from(self.seed / 3 % 3).expect("small")
    }

    fn ways(self) -> Ways {
        Ways {
            is_hostile: !self.seed.is_multiple_of(4),
            has_gaps: self.seed % 5 == 2,
            is_deep: is_deep(self.seed),
        }
    }

    /// Plays the history, and says what is wrong in the end.
    async fn play(self) -> Result<(), String> {
        let mut net = Net::new(self.seed, self.servers(), self.version()).await;
        if let Some(defect) = self.defect {
            net.plant(defect);
        }
        let people = net.populate().await;
        net.ways = self.ways();
        let mut tokens = Tokens::new(&net, &people).await;
        if net.ways.is_deep {
            net.part();
        }
        for step in 0..self.steps {
            net.step(&people).await;
            if step % 4 == 0 {
                tokens.collect(&net).await;
            }
        }
        net.heal().await;
        // An event of each server that follows what it holds: then everybody has followed everything.
        for at in 0..self.servers() {
            for (home, user) in &people {
                if *home == at && net.say(at, user, "last words").await {
                    break;
                }
            }
            net.heal().await;
        }
        checks::check(&net, &people).await?;
        tokens.check(&net).await?;
        for at in 1..self.servers() {
            net.backfill(at, 0, 7).await;
        }
        tokens.collect(&net).await;
        tokens.check(&net).await?;
        for at in 1..self.servers() {
            net.backfill(at, 0, usize::MAX).await;
        }
        checks::check(&net, &people).await?;
        tokens.check(&net).await
    }

    fn run(self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(self.play())
    }

    /// The shortest beginning of the history that is wrong, too.
    fn shrunk(self, what: String) -> (Self, String) {
        for steps in 0..self.steps {
            let shorter = Self { steps, ..self };
            if let Err(what) = shorter.run() {
                return (shorter, what);
            }
        }
        (self, what)
    }
}

/// Every so often, the two sides of a net stay apart for long.
fn is_deep(seed: u64) -> bool {
    seed % 20 == 7
}

/// Which histories are played: `GRAPH_SEEDS` of them from `GRAPH_FIRST_SEED` on, or as many as keep the run short.
fn seeds() -> Range<u64> {
    let number = |name, otherwise| {
        let value = std::env::var(name).ok();
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(otherwise)
    };
    let first = number("GRAPH_FIRST_SEED", 0);
    first..first + number("GRAPH_SEEDS", 200)
}

#[test]
fn parted_servers_come_to_the_same_room() {
    let mut failures = String::new();
    for seed in seeds() {
        let history = History::new(seed);
        let Err(what) = history.run() else { continue };
        let (shrunk, what) = history.shrunk(what);
        writeln!(failures, "{shrunk:?}: {what}").expect("a string takes all");
        if failures.lines().count() > 4 {
            break;
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}
