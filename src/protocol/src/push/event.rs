//! An event as push rules look at it: its properties by dotted path, parsed once for all readers.

use std::{borrow::Cow, sync::OnceLock};

use ruma::RoomId;
use serde_json::{Map, Value};

/// One event, ready to be matched against any number of rulesets.
#[derive(Debug)]
pub struct PushEvent {
    properties: Map<String, Value>,
    lower_body: OnceLock<Option<String>>,
    /// Of the JSON.
    bytes: usize,
}

impl PushEvent {
    /// `json` is the event as it is stored or as clients get it. `None` where that is no object.
    pub fn new(json: &str, room_id: &RoomId) -> Option<Self> {
        let mut properties: Map<String, Value> = serde_json::from_str(json).ok()?;
        // The create event of a version 12 room does not name its room.
        properties.insert("room_id".to_owned(), room_id.as_str().into());
        Some(Self {
            properties,
            lower_body: OnceLock::new(),
            bytes: json.len(),
        })
    }

    /// Bytes in memory, about.
    pub fn weight(&self) -> usize {
        self.bytes * 4 + 256
    }

    pub fn sender(&self) -> &str {
        self.text("sender").unwrap_or_default()
    }

    /// The property at a dotted path (appendices, "Dot-separated property paths"): `content.m\.mentions.room`.
    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        let mut inside = &self.properties;
        let mut rest = path;
        loop {
            let end = segment_end(rest);
            let value = inside.get(&*unescape(&rest[..end]))?;
            if end == rest.len() {
                return Some(value);
            }
            inside = value.as_object()?;
            rest = &rest[end + 1..];
        }
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str()
    }

    /// `content.body` in lower case, in which every reader's keywords are looked for.
    pub(super) fn lower_body(&self) -> Option<&str> {
        self.lower_body
            .get_or_init(|| Some(self.text("content.body")?.to_lowercase()))
            .as_deref()
    }

    pub(super) fn has_body(&self) -> bool {
        self.text("content.body").is_some()
    }

    /// Whether the event asks to notify the whole room, for which its sender needs power.
    pub fn wants_the_room(&self) -> bool {
        let mentions = self.get(r"content.m\.mentions.room");
        mentions.is_some_and(|room| *room == true)
            || (!self.has_mentions()
                && self.lower_body().is_some_and(|body| body.contains("@room")))
    }

    /// Whether the event says whom it mentions, so that names in its body mean nothing.
    pub(super) fn has_mentions(&self) -> bool {
        self.get(r"content.m\.mentions").is_some()
    }
}

fn segment_end(path: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'.' if !is_escaped => return at,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    path.len()
}

fn unescape(segment: &str) -> Cow<'_, str> {
    if !segment.contains('\\') {
        return Cow::Borrowed(segment);
    }
    let mut name = String::with_capacity(segment.len());
    let mut chars = segment.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek().copied()) {
            ('\\', Some(next @ ('.' | '\\'))) => {
                name.push(next);
                chars.next();
            }
            _ => name.push(char),
        }
    }
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use ruma::room_id;
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_are_found_by_their_path() {
        let json = json!({
            "type": "t", "content": { "body": "B", "m.mentions": { "room": true }, r"a\b": 1, "x": { "": { "y": 2 } } },
        });
        let event = PushEvent::new(&json.to_string(), room_id!("!r:x")).expect("an event");

        assert_eq!(event.get("type"), Some(&json!("t")));
        assert_eq!(event.get("room_id"), Some(&json!("!r:x")));
        assert_eq!(event.get(r"content.m\.mentions.room"), Some(&json!(true)));
        assert_eq!(event.get(r"content.a\\b"), Some(&json!(1)));
        assert_eq!(event.get(r"content.a\b"), Some(&json!(1)));
        assert_eq!(event.get("content.x..y"), Some(&json!(2)));
        assert_eq!(event.get("content.m.mentions.room"), None);
        assert_eq!(event.get("content.body.x"), None);
        assert_eq!(event.get(""), None);
        assert!(event.has_mentions());
    }

    #[test]
    fn what_is_no_object_is_no_event() {
        assert!(PushEvent::new("[]", room_id!("!r:x")).is_none());
    }
}
