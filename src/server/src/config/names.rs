//! The names of all settings. They are those of the documented `conduit.toml`, which is compiled
//! into the binary.

use std::sync::LazyLock;

use toml::{Table, Value};

/// Names that are less similar than this are not suggested.
const MIN_SIMILARITY: f64 = 0.7;

/// Settings without a fixed default. For these, `conduit.toml` documents an example.
pub(super) const WITHOUT_DEFAULT: &[&str] = &[
    "public_base_url",
    "support.page",
    "registration.mode",
    "registration.token",
    "registration.shared_secret",
    "turn.shared_secret",
    "turn.username",
    "turn.password",
    "tls.certificate",
    "tls.key",
    "federation.delegate_to",
    "media.path",
    "media.scanner.url",
    "media.s3.endpoint",
    "media.s3.bucket",
    "media.s3.region",
    "media.s3.access_key",
    "media.s3.secret_key",
];

/// Every setting with its documented value, whose type is also the type of its variable.
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

/// The existing name that is most similar to `unknown`.
pub(super) fn nearest(unknown: &str) -> Option<String> {
    let similarity = |name: &str| {
        let whole = strsim::jaro_winkler(unknown, name);
        // The right name in the wrong section is similar, too.
        let (last, own) = (last(unknown), last(name));
        whole.max(strsim::normalized_damerau_levenshtein(last, own) * 0.99)
    };
    let best = all().into_iter().map(|(name, _)| (similarity(&name), name));
    let (similarity, name) = best.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (similarity >= MIN_SIMILARITY).then_some(name)
}

/// The settings of `table` that do not exist.
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

/// The value of a setting, by its path.
pub(super) fn find<'a>(table: &'a Table, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        None => table.get(name),
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
    }
}

/// Removes a setting, by its path.
#[cfg(test)]
pub(super) fn remove(table: &mut Table, name: &str) {
    match name.split_once('.') {
        None => {
            table.remove(name);
        }
        Some((section, rest)) => {
            if let Some(Value::Table(section)) = table.get_mut(section) {
                remove(section, rest);
            }
        }
    }
}

/// Whether the value of a setting must not be printed.
pub(super) fn is_secret(name: &str) -> bool {
    let name = last(name);
    name.ends_with("secret") || name.ends_with("token") || name.ends_with("password")
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Uncomments the settings of a documented file: they are written `#name = value`, prose `# text`.
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
