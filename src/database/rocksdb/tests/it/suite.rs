//! The suite that every engine passes: warm, and with a cache too small to hold anything.

use database::engine_suite;

use crate::fixture::Fixture;

fn warm() -> Fixture {
    Fixture::new()
}

engine_suite!(warm);
