//! The result of each test, and the file with all results: one JSON object per line, sorted by
//! package and name, without times, so that equal results are equal byte for byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// From best to worst, for [`Results::worst_of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Pass,
    Skip,
    Fail,
}

/// Outcomes by package and test name; a subtest's name is its parent's, `/` and its own.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Results(BTreeMap<(String, String), Outcome>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

#[derive(Serialize, Deserialize)]
struct Line {
    package: String,
    name: String,
    result: Outcome,
}

impl Results {
    pub(crate) fn insert(&mut self, package: &str, name: String, outcome: Outcome) {
        self.0.insert((package.to_owned(), name), outcome);
    }

    pub(crate) fn from_lines(lines: &str) -> Result<Self, serde_json::Error> {
        let mut results = Self::default();
        for line in lines.lines() {
            let line: Line = serde_json::from_str(line)?;
            results.insert(&line.package, line.name, line.result);
        }
        Ok(results)
    }

    pub(crate) fn to_lines(&self) -> String {
        let mut lines = String::new();
        for ((package, name), result) in &self.0 {
            let line = Line {
                package: package.clone(),
                name: name.clone(),
                result: *result,
            };
            let json = serde_json::to_string(&line).expect("strings and an enum always serialize");
            writeln!(lines, "{json}").expect("a String takes any text");
        }
        lines
    }

    /// A test has passed only if it passed in every run that contained it.
    pub(crate) fn worst_of(runs: &[Self]) -> Self {
        let mut worst = Self::default();
        for (key, outcome) in runs.iter().flat_map(|run| &run.0) {
            let entry = worst.0.entry(key.clone()).or_insert(*outcome);
            *entry = (*entry).max(*outcome);
        }
        worst
    }

    /// The tests whose result is not the same in all runs, including those that did not run.
    pub(crate) fn differing(runs: &[Self]) -> Vec<String> {
        let Some(first) = runs.first() else {
            return Vec::new();
        };
        Self::worst_of(runs)
            .0
            .keys()
            .filter(|key| runs.iter().any(|run| run.0.get(*key) != first.0.get(*key)))
            .map(display)
            .collect()
    }

    /// The tests that passed `before` and do not now. After a partial run, only tests below its
    /// top-level tests count.
    pub(crate) fn regressions(&self, before: &Self) -> Vec<String> {
        let now_passes = |key: &(String, String)| self.0.get(key) == Some(&Outcome::Pass);
        before
            .0
            .iter()
            .filter(|(_, outcome)| **outcome == Outcome::Pass)
            .map(|(key, _)| key)
            .filter(|key| !now_passes(key) && self.has_run(&key.0, top_level(&key.1)))
            .map(display)
            .collect()
    }

    pub(crate) fn packages(&self) -> Vec<&str> {
        let mut packages: Vec<&str> = self.0.keys().map(|(package, _)| package.as_str()).collect();
        packages.dedup();
        packages
    }

    /// Top-level tests, of one package or of all.
    pub(crate) fn tests(&self, package: Option<&str>) -> Counts {
        self.count(package, |_, name| !name.contains('/'))
    }

    /// Tests and subtests that have none below them.
    pub(crate) fn leaves(&self, package: Option<&str>) -> Counts {
        self.count(package, |package, name| {
            let below = (package.to_owned(), format!("{name}/"));
            let next = self.0.range(below.clone()..).next();
            !next.is_some_and(|((of, next), _)| *of == below.0 && next.starts_with(&below.1))
        })
    }

    fn count(&self, package: Option<&str>, counts: impl Fn(&str, &str) -> bool) -> Counts {
        let mut found = Counts::default();
        for ((of, name), outcome) in &self.0 {
            if package.is_some_and(|package| package != of) || !counts(of, name) {
                continue;
            }
            match outcome {
                Outcome::Pass => found.passed += 1,
                Outcome::Fail => found.failed += 1,
                Outcome::Skip => found.skipped += 1,
            }
        }
        found
    }

    fn has_run(&self, package: &str, test: &str) -> bool {
        self.0.contains_key(&(package.to_owned(), test.to_owned()))
    }
}

impl Counts {
    pub(crate) fn all(self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

fn top_level(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

fn display((package, name): &(String, String)) -> String {
    format!("{package} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(entries: &[(&str, Outcome)]) -> Results {
        let mut results = Results::default();
        for (name, outcome) in entries {
            results.insert("csapi", (*name).to_owned(), *outcome);
        }
        results
    }

    #[test]
    fn lines_are_sorted_and_read_back() {
        let before = results(&[("TestB", Outcome::Fail), ("TestA", Outcome::Pass)]);

        let lines = before.to_lines();

        let expected = "{\"package\":\"csapi\",\"name\":\"TestA\",\"result\":\"pass\"}\n\
                        {\"package\":\"csapi\",\"name\":\"TestB\",\"result\":\"fail\"}\n";
        assert_eq!(lines, expected);
        assert_eq!(Results::from_lines(&lines).expect("just written"), before);
    }

    #[test]
    fn leaves_are_what_has_none_below() {
        let found = results(&[
            ("TestA", Outcome::Fail),
            ("TestA/one", Outcome::Pass),
            ("TestA/one/deep", Outcome::Pass),
            ("TestA/two", Outcome::Fail),
            ("TestA2", Outcome::Skip),
        ]);

        assert_eq!(
            found.tests(None),
            Counts {
                passed: 0,
                failed: 1,
                skipped: 1
            }
        );
        assert_eq!(
            found.leaves(None),
            Counts {
                passed: 1,
                failed: 1,
                skipped: 1
            }
        );
    }

    #[test]
    fn a_name_that_sorts_between_a_test_and_its_subtests_hides_none() {
        // '-' sorts before '/'.
        let found = results(&[
            ("TestA", Outcome::Pass),
            ("TestA-x", Outcome::Pass),
            ("TestA/one", Outcome::Pass),
        ]);

        assert_eq!(found.leaves(None).passed, 2);
    }

    #[test]
    fn what_passed_and_does_not_now_is_a_regression() {
        let before = results(&[
            ("TestA", Outcome::Pass),
            ("TestA/one", Outcome::Pass),
            ("TestB", Outcome::Fail),
            ("TestNotRun", Outcome::Pass),
        ]);
        let now = results(&[("TestA", Outcome::Skip), ("TestB", Outcome::Fail)]);

        assert_eq!(now.regressions(&before), ["csapi TestA", "csapi TestA/one"]);
    }

    #[test]
    fn a_test_that_ends_differently_is_flaky_and_counts_as_failed() {
        let runs = [
            results(&[("TestA", Outcome::Pass), ("TestB", Outcome::Pass)]),
            results(&[("TestA", Outcome::Fail), ("TestB", Outcome::Pass)]),
        ];

        assert_eq!(Results::differing(&runs), ["csapi TestA"]);
        assert_eq!(
            Results::worst_of(&runs),
            results(&[("TestA", Outcome::Fail), ("TestB", Outcome::Pass)])
        );
    }
}
