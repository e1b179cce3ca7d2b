//! `summary.md`: counts per package and in total, and the known results of other servers.

use std::fmt::Write as _;

use crate::results::{Counts, Results};

/// Other servers on the suite of 1 July 2026: tests and leaves that pass. Synapse was
/// measured in the same way; the others are as published by their projects.
const PEERS: [(&str, &str, &str); 3] = [
    ("Synapse 1.163", "203 of 210", "687 of 707"),
    ("Tuwunel 1.9", "174 of 207", "541 of 672"),
    ("continuwuity", "113 of 204", "-"),
];

/// `code` names the tree that the binary was built from.
pub(crate) fn table(results: &Results, code: &str) -> String {
    let mut text = String::from("# Complement\n\n");
    let mut line = |of: &str| writeln!(text, "{of}").expect("a String takes any text");
    line(
        "How Aqueduct does in the suite that `docs/testing.md` describes. Written by `make complement`.\n",
    );
    line(&format!("Code: `git rev-parse HEAD:src` = {code}\n"));
    line("| package | tests passed | failed | skipped | leaves passed | failed | skipped |");
    line("| --- | --- | --- | --- | --- | --- | --- |");
    for package in results.packages() {
        line(&row(
            package,
            results.tests(Some(package)),
            results.leaves(Some(package)),
        ));
    }
    line(&row("all", results.tests(None), results.leaves(None)));
    line("\n| server | tests passed | leaves passed |\n| --- | --- | --- |");
    line(&format!(
        "| Aqueduct | {} | {} |",
        share(results.tests(None)),
        share(results.leaves(None))
    ));
    for (server, tests, leaves) in PEERS {
        line(&format!("| {server} | {tests} | {leaves} |"));
    }
    text
}

fn row(name: &str, tests: Counts, leaves: Counts) -> String {
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} |",
        tests.passed, tests.failed, tests.skipped, leaves.passed, leaves.failed, leaves.skipped
    )
}

fn share(counts: Counts) -> String {
    format!("{} of {}", counts.passed, counts.all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Outcome;

    #[test]
    fn the_table_counts_each_package_and_all() {
        let mut results = Results::default();
        results.insert("csapi", "TestA".to_owned(), Outcome::Fail);
        results.insert("csapi", "TestA/one".to_owned(), Outcome::Pass);
        results.insert("csapi", "TestA/two".to_owned(), Outcome::Fail);
        results.insert("tests", "TestB".to_owned(), Outcome::Skip);

        let text = table(&results, "abc");

        assert!(text.contains("| csapi | 0 | 1 | 0 | 1 | 1 | 0 |"), "{text}");
        assert!(text.contains("| tests | 0 | 0 | 1 | 0 | 0 | 1 |"), "{text}");
        assert!(text.contains("| all | 0 | 1 | 1 | 1 | 1 | 1 |"), "{text}");
        assert!(text.contains("| Aqueduct | 0 of 2 | 1 of 3 |"), "{text}");
        assert!(text.contains("HEAD:src` = abc"), "{text}");
    }
}
