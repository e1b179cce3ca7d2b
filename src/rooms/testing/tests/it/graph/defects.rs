//! The tests of this folder find defects: each of these mistakes of a writer shows within a number of histories.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rooms_writer::Defect;

use super::History;

const DEFECTS: [Defect; 8] = [
    Defect::SoftFailLeftOut,
    Defect::CurrentStateOnly,
    Defect::RedactionUnchecked,
    Defect::ExtremityKept,
    Defect::ResolutionCached,
    Defect::GapForgotten,
    Defect::MembershipByEvent,
    Defect::DependentsLeft,
];

/// The number of histories after which a defect shows.
fn seeds_to_find(defect: Defect, most: u64) -> Option<u64> {
    let is_found = |seed: &u64| {
        let history = History {
            defect: Some(defect),
            ..History::new(*seed)
        };
        // A history that cannot even be played shows the defect, too.
        let played = catch_unwind(AssertUnwindSafe(|| history.run()));
        !matches!(played, Ok(Ok(())))
    };
    (0..most).find(is_found).map(|seed| seed + 1)
}

#[test]
fn every_planted_defect_is_found() {
    let most = std::env::var("DEFECT_SEEDS").ok();
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(60);
    let found = DEFECTS.map(|defect| (defect, seeds_to_find(defect, most)));
    println!("{:20} seeds to find", "defect");
    for (defect, seeds) in found {
        let seeds = seeds.map_or("not found".to_owned(), |seeds| seeds.to_string());
        println!("{:20} {seeds}", format!("{defect:?}"));
    }
    assert!(
        found.iter().all(|(_, seeds)| seeds.is_some()),
        "{found:?}: not within {most} histories"
    );
}
