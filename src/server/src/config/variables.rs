//! Settings from environment variables: `AQUEDUCT_` and the path in upper case, `__` between
//! levels.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::names;

pub(super) const PREFIX: &str = "AQUEDUCT_";

/// Overrides the settings with those from variables. Returns the mistakes in them.
pub(super) fn overlay(settings: &mut Table, variables: &[(String, String)]) -> Vec<String> {
    let known: BTreeMap<String, _> = names::all()
        .into_iter()
        .map(|(name, documented)| (variable(&name), (name, documented)))
        .collect();
    let mut mistakes = Vec::new();
    for (variable_name, text) in variables {
        let Some(rest) = variable_name.strip_prefix(PREFIX) else {
            continue;
        };
        match known.get(variable_name) {
            Some((name, documented)) => match read(text, documented) {
                Some(value) => put(settings, name, value),
                None => mistakes.push(format!(
                    "{variable_name}: `{text}` is not a {}",
                    kind(documented)
                )),
            },
            None => mistakes.push(unknown(variable_name, rest)),
        }
    }
    mistakes
}

fn unknown(variable_name: &str, rest: &str) -> String {
    let name = rest.to_ascii_lowercase().replace("__", ".");
    match names::nearest(&name) {
        Some(near) => {
            format!(
                "unknown variable {variable_name}: did you mean {}?",
                variable(&near)
            )
        }
        None => format!("unknown variable {variable_name}"),
    }
}

/// The variable that overrides a setting.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase().replace('.', "__"))
}

/// Parses text as the type of the documented value.
fn read(text: &str, documented: &Value) -> Option<Value> {
    Some(match documented {
        Value::Boolean(_) => Value::Boolean(text.parse().ok()?),
        Value::Integer(_) => Value::Integer(text.parse().ok()?),
        Value::Float(_) => Value::Float(text.parse().ok()?),
        Value::Array(_) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        _ => Value::String(text.to_owned()),
    })
}

fn kind(documented: &Value) -> &'static str {
    match documented {
        Value::Boolean(_) => "boolean: true or false",
        Value::Integer(_) => "whole number",
        _ => "number",
    }
}

fn put(settings: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            settings.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let section = settings
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            // If the file has a plain value in place of the section, it is reported when it is
            // read.
            if let Value::Table(section) = section {
                put(section, rest, value);
            }
        }
    }
}
