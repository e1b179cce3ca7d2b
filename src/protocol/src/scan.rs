//! Finds the parts of a JSON object in its text, without building anything in memory. Events are stored as the text that was
//! signed, and client JSON is spliced from it, so hot paths only need to know where each part begins and ends.
//!
//! The text must be valid JSON (this server parsed or wrote it). Invalid text gives an error or a meaningless result, never a
//! panic. Keys are compared as they are written, which canonical JSON makes unique.

use std::{borrow::Cow, fmt};

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, UInt, room_version_rules::RedactionRules};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The text is not an object, or lacks a field that every event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error("text is not a JSON object")]
    NotAnObject,
    #[error("event has no valid `{0}`")]
    Field(&'static str),
}

/// The place of a value in its text, in bytes; strings with their quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The value's own text. Empty if the span does not fit `json`.
    pub fn of(self, json: &str) -> &str {
        json.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// The places of an event's parts in its text. Stored events have no `unsigned`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parts {
    pub auth_events: Span,
    pub content: Span,
    pub depth: Span,
    pub origin_server_ts: Span,
    pub prev_events: Span,
    pub redacts: Option<Span>,
    /// The create event of a version 12 room has none.
    pub room_id: Option<Span>,
    pub sender: Span,
    pub state_key: Option<Span>,
    pub kind: Span,
    pub unsigned: Option<Span>,
}

impl Parts {
    pub fn content(self, json: &str) -> &str {
        self.content.of(json)
    }

    pub fn kind(self, json: &str) -> Cow<'_, str> {
        text(self.kind.of(json)).unwrap_or_default()
    }

    pub fn sender(self, json: &str) -> Cow<'_, str> {
        text(self.sender.of(json)).unwrap_or_default()
    }

    pub fn state_key(self, json: &str) -> Option<Cow<'_, str>> {
        text(self.state_key?.of(json))
    }

    pub fn room_id(self, json: &str) -> Option<Cow<'_, str>> {
        text(self.room_id?.of(json))
    }

    /// The event that this one redacts. Only for events of this server, which have it in one place: events of other servers may
    /// have a second, meaningless one, see [`Parts::redacts_of`].
    pub fn redacts(self, json: &str) -> Option<Cow<'_, str>> {
        match self.redacts {
            Some(span) => text(span.of(json)),
            None => string_member(self.content(json), "redacts"),
        }
    }

    /// The event that this one redacts, from the place where its room version has it.
    pub fn redacts_of<'a>(self, json: &'a str, rules: &RedactionRules) -> Option<Cow<'a, str>> {
        if rules.content_field_redacts {
            string_member(self.content(json), "redacts")
        } else {
            text(self.redacts?.of(json))
        }
    }

    /// Times beyond the integers of canonical JSON, which events of room versions 1 to 5 may have, are the greatest of these.
    pub fn origin_server_ts(self, json: &str) -> Option<MilliSecondsSinceUnixEpoch> {
        let number = self.origin_server_ts.of(json).parse().ok()?;
        Some(MilliSecondsSinceUnixEpoch(UInt::new_saturating(number)))
    }

    pub fn depth(self, json: &str) -> Option<u64> {
        self.depth.of(json).parse().ok()
    }

    pub fn previous_events(self, json: &str) -> Option<Vec<OwnedEventId>> {
        references(self.prev_events.of(json))
    }

    pub fn auth_events(self, json: &str) -> Option<Vec<OwnedEventId>> {
        references(self.auth_events.of(json))
    }
}

/// Ids of referenced events: a list of ids, or in room versions 1 and 2 of pairs of an id and hashes.
fn references(list: &str) -> Option<Vec<OwnedEventId>> {
    let list: Vec<Reference> = serde_json::from_str(list).ok()?;
    Some(list.into_iter().map(|reference| reference.0).collect())
}

/// The strings of a list that contains nothing else.
pub(crate) fn strings(list: &str) -> Option<Vec<Cow<'_, str>>> {
    let list: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    list.into_iter().map(|item| text(item.get())).collect()
}

/// The first items of a list of pairs of a string and an object.
pub(crate) fn pairs(list: &str) -> Option<Vec<Cow<'_, str>>> {
    let list: Vec<(&RawValue, &RawValue)> = serde_json::from_str(list).ok()?;
    list.into_iter()
        .map(|(id, hashes)| text(id.get()).filter(|_| hashes.get().starts_with('{')))
        .collect()
}

struct Reference(OwnedEventId);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceVisitor)
    }
}

struct ReferenceVisitor;

impl<'de> Visitor<'de> for ReferenceVisitor {
    type Value = Reference;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event id, or a pair of an event id and hashes")
    }

    fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<Reference, E> {
        OwnedEventId::try_from(id).map(Reference).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Reference, A::Error> {
        let id = pair.next_element()?;
        let id = id.ok_or_else(|| A::Error::custom("a reference without an id"))?;
        while pair.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Reference(id))
    }
}

/// Finds the parts of an event.
pub fn scan(json: &str) -> Result<Parts, ScanError> {
    let mut found = [None; 11];
    let mut members = Members::new(json)?;
    while let Some((key, value)) = members.next()? {
        if let Some(place) = PLACES.iter().position(|name| *name == key.of(json)) {
            found[place] = Some(value);
        }
    }
    let [
        auth_events,
        content,
        depth,
        origin_server_ts,
        prev_events,
        redacts,
        room_id,
        sender,
        state_key,
        kind,
        unsigned,
    ] = found;
    let string = |span: Option<Span>, name| {
        span.filter(|span| span.of(json).starts_with('"'))
            .ok_or(ScanError::Field(name))
    };
    let list = |span: Option<Span>, name| {
        span.filter(|span| span.of(json).starts_with('['))
            .ok_or(ScanError::Field(name))
    };
    Ok(Parts {
        auth_events: list(auth_events, "auth_events")?,
        content: content
            .filter(|span| span.of(json).starts_with('{'))
            .ok_or(ScanError::Field("content"))?,
        depth: depth.ok_or(ScanError::Field("depth"))?,
        origin_server_ts: origin_server_ts.ok_or(ScanError::Field("origin_server_ts"))?,
        prev_events: list(prev_events, "prev_events")?,
        redacts,
        room_id,
        sender: string(sender, "sender")?,
        state_key: state_key
            .map(|span| string(Some(span), "state_key"))
            .transpose()?,
        kind: string(kind, "type")?,
        unsigned,
    })
}

/// The text of one member's value.
pub fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut members = Members::new(object).ok()?;
    while let Some((key, value)) = members.next().ok()? {
        if key.of(object) == name {
            return Some(value.of(object));
        }
    }
    None
}

/// One member, if it is a string.
pub fn string_member<'a>(object: &'a str, name: &str) -> Option<Cow<'a, str>> {
    text(member(object, name)?)
}

/// All members of an object, in the order of the text: the key as written between its quotes, and the value's text.
pub fn members(object: &str) -> Result<Vec<(&str, &str)>, ScanError> {
    let mut all = Vec::new();
    let mut members = Members::new(object)?;
    while let Some((key, value)) = members.next()? {
        all.push((key.of(object), value.of(object)));
    }
    Ok(all)
}

/// The value of a JSON string; `None` if the text is not one.
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    let inside = value.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        serde_json::from_str(value).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

/// In the order of the array in `scan`.
const PLACES: [&str; 11] = [
    "auth_events",
    "content",
    "depth",
    "origin_server_ts",
    "prev_events",
    "redacts",
    "room_id",
    "sender",
    "state_key",
    "type",
    "unsigned",
];

/// Walks over the members of one object, skipping over values.
struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
    is_first: bool,
}

impl<'a> Members<'a> {
    fn new(object: &'a str) -> Result<Self, ScanError> {
        let mut members = Self {
            bytes: object.as_bytes(),
            at: 0,
            is_first: true,
        };
        u32::try_from(members.bytes.len()).map_err(|_| ScanError::NotAnObject)?;
        members.skip_space();
        members.expect(b'{')?;
        Ok(members)
    }

    /// The next key, without its quotes, and its value.
    fn next(&mut self) -> Result<Option<(Span, Span)>, ScanError> {
        self.skip_space();
        if self.peek() == Some(b'}') {
            return Ok(None);
        }
        if !std::mem::take(&mut self.is_first) {
            self.expect(b',')?;
            self.skip_space();
        }
        let key = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        let value = self.value()?;
        Ok(Some((
            Span {
                start: key.start + 1,
                end: key.end - 1,
            },
            value,
        )))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.peek() != Some(byte) {
            return Err(ScanError::NotAnObject);
        }
        self.at += 1;
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<Span, ScanError> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(step) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
                return Err(ScanError::NotAnObject);
            };
            self.at += step + 1;
            if rest[step] == b'"' {
                return Ok(self.since(start));
            }
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Span, ScanError> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek().ok_or(ScanError::NotAnObject)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                b',' | b':' | b'}' | b']' => return Err(ScanError::NotAnObject),
                _ => self.skip_plain(),
            }
            if depth == 0 {
                return Ok(self.since(start));
            }
        }
    }

    /// Numbers, `true`, `false` and `null`.
    fn skip_plain(&mut self) {
        while let Some(byte) = self.peek() {
            if matches!(
                byte,
                b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"' | b' ' | b'\t' | b'\n' | b'\r'
            ) {
                return;
            }
            self.at += 1;
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "`new` refuses texts of 4 GiB"
    )]
    fn since(&self, start: usize) -> Span {
        Span {
            start: start as u32,
            end: self.at.min(self.bytes.len()) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    const EVENT: &str = concat!(
        r#"{"auth_events":["$a"],"content":{"body":"a \"quoted\" }{","n":[1,{"x":null}]},"depth":7,"#,
        r#""hashes":{"sha256":"x"},"origin_server_ts":1234,"prev_events":["$p","$q"],"room_id":"!r:x","#,
        r#""sender":"@a:x","signatures":{},"state_key":"a\\b","type":"org.example"}"#
    );

    #[test]
    fn finds_every_part_of_an_event() {
        let parts = scan(EVENT).expect("an event");

        assert_eq!(
            parts.content(EVENT),
            r#"{"body":"a \"quoted\" }{","n":[1,{"x":null}]}"#
        );
        assert_eq!(parts.kind(EVENT), "org.example");
        assert_eq!(parts.sender(EVENT), "@a:x");
        assert_eq!(parts.room_id(EVENT).as_deref(), Some("!r:x"));
        assert_eq!(parts.state_key(EVENT).as_deref(), Some("a\\b"));
        assert_eq!(parts.depth(EVENT), Some(7));
        assert_eq!(
            parts.origin_server_ts(EVENT).map(|ts| u64::from(ts.0)),
            Some(1234)
        );
        assert_eq!(parts.previous_events(EVENT).map(|ids| ids.len()), Some(2));
        assert_eq!(parts.auth_events(EVENT).map(|ids| ids.len()), Some(1));
        assert_eq!(parts.redacts(EVENT), None);
    }

    #[test]
    fn redacts_is_read_from_where_its_version_has_it() {
        let old = EVENT.replace(r#""room_id""#, r#""redacts":"$x","room_id""#);
        assert_eq!(
            scan(&old).expect("an event").redacts(&old).as_deref(),
            Some("$x")
        );

        let new = EVENT.replace(r#""content":{"#, r#""content":{"redacts":"$y","#);
        assert_eq!(
            scan(&new).expect("an event").redacts(&new).as_deref(),
            Some("$y")
        );
    }

    #[test]
    fn a_second_redacts_in_the_wrong_place_is_not_read() {
        let both = EVENT
            .replace(r#""room_id""#, r#""redacts":"$top","room_id""#)
            .replace(r#""content":{"#, r#""content":{"redacts":"$content","#);
        let parts = scan(&both).expect("an event");
        let redacts = |rules: RedactionRules| parts.redacts_of(&both, &rules);
        assert_eq!(redacts(RedactionRules::V1).as_deref(), Some("$top"));
        assert_eq!(redacts(RedactionRules::V9).as_deref(), Some("$top"));
        assert_eq!(redacts(RedactionRules::V11).as_deref(), Some("$content"));
    }

    #[test]
    fn references_of_both_formats_are_read() {
        let pairs = r#"[["$a:x",{"sha256":"h"}],["$b:x",{}]]"#;
        let old = EVENT.replace(r#"["$p","$q"]"#, pairs);
        let ids = scan(&old).expect("an event").previous_events(&old);
        assert_eq!(ids.expect("ids"), ["$a:x", "$b:x"]);

        for broken in ["[1]", "[[]]", "[[1,{}]]", r#"["a"]"#, r#"[["a",{}]]"#] {
            let old = EVENT.replace(r#"["$p","$q"]"#, broken);
            let parts = scan(&old).expect("an event");
            assert_eq!(parts.previous_events(&old), None, "{broken}");
        }
    }

    #[test]
    fn what_every_event_has_is_required() {
        for name in [
            "auth_events",
            "content",
            "depth",
            "origin_server_ts",
            "prev_events",
            "sender",
            "type",
        ] {
            let without = EVENT.replace(&format!(r#""{name}":"#), r#""other":"#);
            assert_eq!(scan(&without), Err(ScanError::Field(name)));
        }
    }

    #[test]
    fn broken_texts_are_refused() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"a"#,
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":"\"#,
            r#"{"a" 1}"#,
            r#"{"a":,}"#,
        ] {
            assert_eq!(members(text), Err(ScanError::NotAnObject), "{text}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::hash_map("[a-z\"\\\\]{0,4}", inner, 0..6)
                    .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn members_are_those_that_a_parser_sees(value in value(), pretty: bool) {
            let object = json!({ "first": value, "second": [value] });
            let text = if pretty { format!("{object:#}") } else { object.to_string() };
            let found = members(&text).expect("an object");

            prop_assert_eq!(found.len(), 2);
            for (key, member) in found {
                let parsed: Value = serde_json::from_str(member).expect("a value");
                prop_assert_eq!(&parsed, &object[key]);
                prop_assert_eq!(text_of(&parsed), text_ref(member));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = members(&text);
            let _ = members(&format!("{{{text}}}"));
        }
    }

    fn text_of(value: &Value) -> Option<String> {
        value.as_str().map(str::to_owned)
    }

    fn text_ref(value: &str) -> Option<String> {
        text(value).map(Cow::into_owned)
    }
}
