//! Reads what a compiled Go test package prints under `-test.v=test2json`.
//!
//! Lines of the framework start with a byte 0x16, so that a test that prints `--- PASS` is not
//! mistaken for one that passes. The byte can be in the middle of a line, after output without a
//! line break. The result of a subtest is indented after the byte, and can follow that of its
//! parent.

use std::collections::BTreeMap;

use crate::results::Outcome;

const MARK: char = '\u{16}';

#[derive(Default)]
pub(crate) struct Reader {
    outcomes: BTreeMap<String, Option<Outcome>>,
    /// The test whose output is being printed.
    current: Option<String>,
    /// The output of each top-level test and its subtests.
    printed: BTreeMap<String, String>,
}

/// An event of a top-level test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Started(String),
    Ended(String, Outcome),
}

impl Reader {
    /// Takes one line, without its end.
    pub(crate) fn read(&mut self, line: &str) -> Option<Event> {
        let Some((before, frame)) = line.split_once(MARK) else {
            self.print(line);
            return None;
        };
        if !before.is_empty() {
            self.print(before);
        }
        // A line has two marks if the first frame had no line break either.
        let frame = frame.rsplit(MARK).next().unwrap_or(frame);
        let event = self.read_frame(frame.trim_start());
        self.print(frame);
        event
    }

    /// The outcome of each test that started. A test without an end has failed: it panicked, or the
    /// package was stopped.
    pub(crate) fn finish(self) -> BTreeMap<String, Outcome> {
        self.outcomes
            .into_iter()
            .map(|(name, outcome)| (name, outcome.unwrap_or(Outcome::Fail)))
            .collect()
    }

    /// The output of a top-level test so far, including its subtests.
    pub(crate) fn printed(&self, test: &str) -> &str {
        self.printed.get(test).map_or("", String::as_str)
    }

    fn read_frame(&mut self, frame: &str) -> Option<Event> {
        if let Some((verb, name)) = frame.strip_prefix("=== ").and_then(split_word) {
            self.current = (!name.is_empty()).then(|| name.to_owned());
            if verb == "RUN" {
                self.outcomes.entry(name.to_owned()).or_default();
                return is_top_level(name).then(|| Event::Started(name.to_owned()));
            }
            return None;
        }
        let (outcome, rest) = [
            ("--- PASS: ", Outcome::Pass),
            ("--- FAIL: ", Outcome::Fail),
            ("--- SKIP: ", Outcome::Skip),
        ]
        .into_iter()
        .find_map(|(prefix, outcome)| Some((outcome, frame.strip_prefix(prefix)?)))?;
        let (name, _time) = split_word(rest)?;
        self.outcomes.insert(name.to_owned(), Some(outcome));
        self.current = Some(name.to_owned());
        is_top_level(name).then(|| Event::Ended(name.to_owned(), outcome))
    }

    fn print(&mut self, line: &str) {
        if let Some(current) = &self.current {
            let top = current.split('/').next().unwrap_or(current);
            let printed = self.printed.entry(top.to_owned()).or_default();
            printed.push_str(line);
            printed.push('\n');
        }
    }
}

/// Go puts no white space in a test's name.
fn split_word(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    (!first.is_empty()).then(|| (first, rest.trim()))
}

fn is_top_level(name: &str) -> bool {
    !name.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Reader {
        let mut reader = Reader::default();
        for line in lines {
            reader.read(line);
        }
        reader
    }

    fn outcomes(lines: &[&str]) -> Vec<(String, Outcome)> {
        read(lines).finish().into_iter().collect()
    }

    fn named(expected: &[(&str, Outcome)]) -> Vec<(String, Outcome)> {
        expected
            .iter()
            .map(|(name, outcome)| ((*name).to_owned(), *outcome))
            .collect()
    }

    #[test]
    fn tests_and_subtests_end_as_their_lines_say() {
        let found = outcomes(&[
            "\u{16}=== RUN   TestLogin",
            "\u{16}=== RUN   TestLogin/parallel",
            "\u{16}=== RUN   TestLogin/parallel/GET_/login_yields_flows",
            "\u{16}--- FAIL: TestLogin (1.21s)",
            "\u{16}    --- FAIL: TestLogin/parallel (0.00s)",
            "\u{16}        --- SKIP: TestLogin/parallel/GET_/login_yields_flows (0.30s)",
            "\u{16}=== RUN   TestLogout",
            "\u{16}--- PASS: TestLogout (0.10s)",
            "\u{16}FAIL",
        ]);

        let expected = named(&[
            ("TestLogin", Outcome::Fail),
            ("TestLogin/parallel", Outcome::Fail),
            ("TestLogin/parallel/GET_/login_yields_flows", Outcome::Skip),
            ("TestLogout", Outcome::Pass),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_test_prints_is_no_result() {
        let found = outcomes(&[
            "\u{16}=== RUN   TestLogin",
            "--- PASS: TestLogin (0.00s)",
            "=== RUN   TestForged",
            "\u{16}--- FAIL: TestLogin (0.00s)",
        ]);

        assert_eq!(found, named(&[("TestLogin", Outcome::Fail)]));
    }

    #[test]
    fn a_result_may_follow_output_without_a_line_end() {
        let found = outcomes(&[
            "\u{16}=== RUN   TestLogin",
            "waiting...\u{16}--- PASS: TestLogin (0.00s)",
        ]);

        assert_eq!(found, named(&[("TestLogin", Outcome::Pass)]));
    }

    #[test]
    fn a_test_without_a_result_failed() {
        let found = outcomes(&["\u{16}=== RUN   TestA", "panic: test timed out after 1s"]);

        assert_eq!(found, named(&[("TestA", Outcome::Fail)]));
    }

    #[test]
    fn only_top_level_tests_make_events() {
        let mut reader = Reader::default();

        let events: Vec<_> = [
            "\u{16}=== RUN   TestA",
            "\u{16}=== RUN   TestA/sub",
            "\u{16}--- FAIL: TestA (0.00s)",
            "\u{16}    --- FAIL: TestA/sub (0.00s)",
        ]
        .iter()
        .filter_map(|line| reader.read(line))
        .collect();

        let ended = Event::Ended("TestA".to_owned(), Outcome::Fail);
        assert_eq!(events, [Event::Started("TestA".to_owned()), ended]);
    }

    #[test]
    fn output_belongs_to_the_test_named_last() {
        let reader = read(&[
            "\u{16}=== RUN   TestA",
            "\u{16}=== PAUSE TestA",
            "\u{16}=== RUN   TestB",
            "of b",
            "\u{16}=== CONT  TestA",
            "of a",
            "\u{16}=== NAME  TestB/sub",
            "of b again",
        ]);

        assert!(reader.printed("TestA").contains("of a"));
        assert!(!reader.printed("TestA").contains("of b"));
        assert!(reader.printed("TestB").contains("of b again"));
    }
}
