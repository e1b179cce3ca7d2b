//! The fields of events that a client wants to get: `event_fields` of its filter (client-server API, "Filtering"). Each is a path
//! as the appendices of the spec have it ("Dot-separated property paths"): `content.m\.relates_to.rel_type`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Levels of a path that are looked at: what is deeper comes with the level above it.
const DEEPEST: usize = 16;

/// A tree of wanted fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Wanted with all that is in it.
    is_whole: bool,
    inside: BTreeMap<String, Fields>,
}

impl Fields {
    pub(crate) fn new(paths: &[String]) -> Self {
        let mut fields = Self::default();
        for path in paths {
            let mut field = &mut fields;
            for name in names(path).into_iter().take(DEEPEST) {
                field = field.inside.entry(name).or_default();
            }
            field.is_whole = true;
        }
        fields
    }

    /// Takes out of events, the elements of a JSON list from `start` on, what is not wanted.
    pub(crate) fn reduce(&self, out: &mut Vec<u8>, start: usize) {
        let list = [b"[", &out[start..], b"]"].concat();
        let Ok(events) = serde_json::from_slice::<Vec<Value>>(&list) else {
            return;
        };
        out.truncate(start);
        for event in events {
            rooms_history::client_json::separate(out, start);
            let reduced = self.of(event).unwrap_or_else(|| Value::Object(Map::new()));
            out.extend_from_slice(reduced.to_string().as_bytes());
        }
    }

    /// What is wanted of a value; `None` where that is nothing.
    fn of(&self, value: Value) -> Option<Value> {
        if self.is_whole {
            return Some(value);
        }
        let Value::Object(mut object) = value else {
            return None;
        };
        let wanted = self.inside.iter().filter_map(|(name, field)| {
            let value = field.of(object.remove(name)?)?;
            Some((name.clone(), value))
        });
        let wanted: Map<String, Value> = wanted.collect();
        (!wanted.is_empty()).then_some(Value::Object(wanted))
    }
}

/// The names on a path: a backslash takes its meaning from a dot or a backslash, and stands for itself before all else.
fn names(path: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '.' => names.push(std::mem::take(&mut name)),
            '\\' => match letters.next_if(|next| matches!(next, '.' | '\\')) {
                Some(escaped) => name.push(escaped),
                None => name.push('\\'),
            },
            _ => name.push(letter),
        }
    }
    names.push(name);
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reduced(paths: &[&str], events: &[Value]) -> Value {
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let list = Value::from(events).to_string();
        let mut out = list.as_bytes()[..list.len() - 1].to_vec();
        Fields::new(&paths).reduce(&mut out, 1);
        out.push(b']');
        serde_json::from_slice(&out).expect("still a list")
    }

    #[test]
    fn paths_are_taken_apart_at_dots_that_are_not_escaped() {
        assert_eq!(names("content.body"), ["content", "body"]);
        assert_eq!(names(r"content.m\.relates_to"), ["content", "m.relates_to"]);
        assert_eq!(names(r"m\\foo.\x\"), [r"m\foo", r"\x\"]);
        assert_eq!(names(""), [""]);
    }

    #[test]
    fn only_what_is_wanted_is_left() {
        let events = [
            json!({ "type": "m.text", "content": { "body": "a", "m.relates_to": { "x": 1, "y": 2 } } }),
            json!({ "type": "m.other", "sender": "@a:b" }),
            json!({ "sender": "@a:b" }),
        ];
        assert_eq!(
            reduced(&["type", r"content.m\.relates_to.x"], &events),
            json!([
                { "type": "m.text", "content": { "m.relates_to": { "x": 1 } } },
                { "type": "m.other" },
                {},
            ])
        );
        assert_eq!(
            reduced(&["content", "content.body"], &events[..1]),
            json!([{ "content": { "body": "a", "m.relates_to": { "x": 1, "y": 2 } } }])
        );
        assert_eq!(reduced(&[], &events[..1]), json!([{}]));
        assert_eq!(reduced(&["type"], &[]), json!([]));
    }

    #[test]
    fn a_path_ends_at_its_deepest_level() {
        let path = vec!["a"; 100_000].join(".");
        let mut event = json!(1);
        for _ in 0..30 {
            event = json!({ "a": event });
        }
        assert_eq!(reduced(&[&path], &[event.clone()]), json!([event]));
    }
}
