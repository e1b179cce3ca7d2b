//! The names of all settings: those of the documented `conduit.toml`, which is part of the binary for this.

use std::sync::LazyLock;

use toml::{Table, Value};

/// Below this, two names have too little in common for a hint.
const LIKENESS: f64 = 0.7;

/// Every setting at its documented value. Its values also say of what type a variable must be.
pub(super) static REFERENCE: LazyLock<Table> = LazyLock::new(|| {
    uncommented(include_str!("../../../../conduit.toml"))
        .parse()
        .expect("the documented settings are valid: a test reads them")
});

/// All settings as paths, such as `database.path`, with their documented values.
pub(super) fn all() -> Vec<(String, &'static Value)> {
    let mut names = Vec::new();
    collect("", &REFERENCE, &mut names);
    names
}

/// What somebody who wrote `unknown` may have meant.
pub(super) fn nearest(unknown: &str) -> Option<String> {
    let likeness = |name: &str| {
        let whole = strsim::jaro_winkler(unknown, name);
        // The right name in the wrong section is near, too.
        let (last, own) = (last(unknown), last(name));
        whole.max(strsim::normalized_damerau_levenshtein(last, own) * 0.99)
    };
    let best = all().into_iter().map(|(name, _)| (likeness(&name), name));
    let (likeness, name) = best.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (likeness >= LIKENESS).then_some(name)
}

/// The settings of `table` that there are not.
pub(super) fn unknown(table: &Table) -> Vec<String> {
    let mut unknown = Vec::new();
    compare("", table, &REFERENCE, &mut unknown);
    unknown
}

fn compare(prefix: &str, given: &Table, known: &Table, unknown: &mut Vec<String>) {
    for (key, value) in given {
        let name = format!("{prefix}{key}");
        match (value, known.get(key)) {
            (Value::Table(given), Some(Value::Table(known))) => {
                compare(&format!("{name}."), given, known, unknown);
            }
            (_, Some(_)) => {}
            (Value::Table(given), None) if !given.is_empty() => {
                unknown.extend(given.keys().map(|key| format!("{name}.{key}")));
            }
            (_, None) => unknown.push(name),
        }
    }
}

fn collect(prefix: &str, table: &'static Table, names: &mut Vec<(String, &'static Value)>) {
    for (key, value) in table {
        match value {
            Value::Table(table) => collect(&format!("{prefix}{key}."), table, names),
            value => names.push((format!("{prefix}{key}"), value)),
        }
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Settings stand there as `#name = value`; prose as `# text`.
pub(super) fn uncommented(text: &str) -> String {
    let is_setting = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase());
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        assert_eq!(nearest("server_nam").as_deref(), Some("server_name"));
        assert_eq!(
            nearest("registration.shared_secrets").as_deref(),
            Some("registration.shared_secret")
        );
        assert_eq!(nearest("budget").as_deref(), Some("memory.budget"));
        assert_eq!(nearest("xyzzy"), None);
    }
}
