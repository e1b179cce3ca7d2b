//! The content of an event in canonical JSON (Matrix appendices, "Canonical JSON"): sorted keys, no spaces, integers only.
//! Clients send JSON in any form; [`Content`] is the one form that is hashed, signed and stored, so a value of this type
//! can go into an event without another look.

use std::{borrow::Cow, fmt};

use ruma::CanonicalJsonObject;
use serde::{
    Serialize,
    de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::scan;

/// Values nested deeper than this are refused: readers wrap events into several objects more, and parsers stop at 128.
pub const MAX_NESTING: usize = 100;

/// The greatest integer of canonical JSON, 2^53 - 1; the least is its negative.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("content is not valid JSON: {0}")]
    NotJson(String),
    #[error("content must be a JSON object")]
    NotAnObject,
    #[error(
        "`{0}` is not an integer between -(2^53)+1 and (2^53)-1, the only numbers that events may have"
    )]
    Number(String),
    #[error("content is nested deeper than {MAX_NESTING} levels")]
    TooDeep,
}

/// An object in canonical JSON.
#[derive(Clone, Debug)]
pub struct Content(Box<RawValue>);

impl Content {
    pub fn empty() -> Self {
        Self::trusted("{}".to_owned())
    }

    /// Brings JSON into canonical form. Of keys that occur twice, the last counts, as for most parsers.
    pub fn parse(json: &str) -> Result<Self, ContentError> {
        let value: Value<'_> =
            serde_json::from_str(json).map_err(|error| ContentError::NotJson(error.to_string()))?;
        if !matches!(value, Value::Object(_)) {
            return Err(ContentError::NotAnObject);
        }
        let mut text = String::with_capacity(json.len());
        value.write(&mut text, 0)?;
        Ok(Self::trusted(text))
    }

    /// The canonical form of one of ruma's contents, or of anything else that is an object.
    pub fn of(value: &impl Serialize) -> Result<Self, ContentError> {
        let json = serde_json::to_string(value)
            .map_err(|error| ContentError::NotJson(error.to_string()))?;
        Self::parse(&json)
    }

    pub fn from_object(object: &CanonicalJsonObject) -> Result<Self, ContentError> {
        Self::of(object)
    }

    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    pub fn as_raw(&self) -> &RawValue {
        &self.0
    }

    /// The same content with one string added or replaced.
    #[must_use]
    pub fn with_string(&self, key: &str, value: &str) -> Self {
        let (mut name, mut own) = (String::new(), String::new());
        push_string(&mut name, key);
        push_string(&mut own, value);
        let name = &name[1..name.len() - 1];
        let mut members = scan::members(self.as_str()).unwrap_or_default();
        members.retain(|(key, _)| *key != name);
        let place = members.partition_point(|(other, _)| unescaped(other) < Cow::Borrowed(key));
        members.insert(place, (name, &own));
        let mut text = String::with_capacity(self.as_str().len() + name.len() + own.len() + 4);
        push_object(&mut text, &members);
        Self::trusted(text)
    }

    /// `json` is canonical already.
    fn trusted(json: String) -> Self {
        Self(RawValue::from_string(json).expect("was written here, as JSON"))
    }
}

/// Writes an object of keys and values that are JSON already; keys without their quotes.
pub(crate) fn push_object(out: &mut String, members: &[(&str, &str)]) {
    out.push('{');
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push('"');
        out.push_str(key);
        out.push_str("\":");
        out.push_str(value);
    }
    out.push('}');
}

/// Writes a JSON string with the escapes of canonical JSON: only what must be escaped, in its shortest form.
pub(crate) fn push_string(out: &mut String, text: &str) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    out.push('"');
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x0c => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x00..0x20 => "\\u00",
            _ => continue,
        };
        out.push_str(&text[written..at]);
        out.push_str(short);
        if short == "\\u00" {
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
        written = at + 1;
    }
    out.push_str(&text[written..]);
    out.push('"');
}

fn unescaped(key: &str) -> Cow<'_, str> {
    if key.contains('\\') {
        let text = serde_json::from_str(&format!("\"{key}\"")).expect("a key of canonical JSON");
        Cow::Owned(text)
    } else {
        Cow::Borrowed(key)
    }
}

/// JSON as it was sent, with the keys of objects sorted.
enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that canonical JSON does not have.
    Other(String),
    Text(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl Value<'_> {
    fn write(&self, out: &mut String, depth: usize) -> Result<(), ContentError> {
        if depth > MAX_NESTING {
            return Err(ContentError::TooDeep);
        }
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Integer(number) => {
                use fmt::Write as _;
                if number.unsigned_abs() > MAX_INTEGER.unsigned_abs() {
                    return Err(ContentError::Number(number.to_string()));
                }
                write!(out, "{number}").expect("writing to a string does not fail");
            }
            Self::Other(number) => return Err(ContentError::Number(number.clone())),
            Self::Text(text) => push_string(out, text),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out, depth + 1)?;
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    push_string(out, key);
                    out.push(':');
                    value.write(out, depth + 1)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Value::Other(value.to_string()), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Value::Other(value.to_string()))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            members.push((key, map.next_value()?));
        }
        if !members.is_sorted_by(|before, after| before.0 < after.0) {
            members.reverse();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            members.dedup_by(|later, kept| later.0 == kept.0);
        }
        Ok(Value::Object(members))
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(value.to_owned())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::CanonicalJsonValue;

    use super::*;

    fn canonical(json: &str) -> String {
        Content::parse(json).expect("content").as_str().to_owned()
    }

    #[test]
    fn the_examples_of_the_specification() {
        for (json, expected) in [
            ("{}", "{}"),
            (r#"{ "one": 1, "two": "Two" }"#, r#"{"one":1,"two":"Two"}"#),
            (r#"{ "b": "2", "a": "1" }"#, r#"{"a":"1","b":"2"}"#),
            (r#"{ "a": "日本語" }"#, r#"{"a":"日本語"}"#),
            (r#"{ "本": 2, "日": 1 }"#, r#"{"日":1,"本":2}"#),
            (r#"{ "a": "\u65E5" }"#, r#"{"a":"日"}"#),
            (r#"{ "a": null }"#, r#"{"a":null}"#),
            (r#"{"a":"\u000b\u001F\n\/"}"#, r#"{"a":"\u000b\u001f\n/"}"#),
        ] {
            assert_eq!(canonical(json), expected);
        }
    }

    #[test]
    fn of_keys_that_occur_twice_the_last_counts() {
        assert_eq!(
            canonical(r#"{"b":1,"a":1,"b":2,"a":2,"b":3}"#),
            r#"{"a":2,"b":3}"#
        );
    }

    #[test]
    fn numbers_that_events_may_not_have_are_refused() {
        for number in [
            "1.5",
            "1e3",
            "1.0",
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551615",
        ] {
            let error = Content::parse(&format!(r#"{{"a":[{number}]}}"#)).expect_err(number);
            assert!(
                matches!(error, ContentError::Number(_)),
                "{number}: {error}"
            );
        }
        assert_eq!(
            canonical(r#"{"a":9007199254740991,"b":-9007199254740991}"#),
            r#"{"a":9007199254740991,"b":-9007199254740991}"#
        );
    }

    #[test]
    fn only_objects_of_bounded_depth_are_content() {
        assert!(matches!(
            Content::parse("[]"),
            Err(ContentError::NotAnObject)
        ));
        assert!(matches!(Content::parse("{"), Err(ContentError::NotJson(_))));
        let nested =
            |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(Content::parse(&nested(MAX_NESTING)).is_ok());
        assert!(matches!(
            Content::parse(&nested(MAX_NESTING + 1)),
            Err(ContentError::TooDeep)
        ));
        assert!(matches!(
            Content::parse(&nested(5_000)),
            Err(ContentError::NotJson(_))
        ));
    }

    #[test]
    fn a_string_is_added_in_its_place_or_replaced() {
        let content = Content::parse(r#"{"a":1,"redacts":"$old","z":2}"#).expect("content");
        assert_eq!(
            content.with_string("redacts", "$new").as_str(),
            r#"{"a":1,"redacts":"$new","z":2}"#
        );
        assert_eq!(
            Content::empty().with_string("a\n", "\"").as_str(),
            r#"{"a\n":"\""}"#
        );
    }

    fn value() -> impl Strategy<Value = CanonicalJsonValue> {
        let leaf = prop_oneof![
            Just(CanonicalJsonValue::Null),
            any::<bool>().prop_map(CanonicalJsonValue::Bool),
            (-MAX_INTEGER..=MAX_INTEGER).prop_map(|number| {
                CanonicalJsonValue::Integer(number.try_into().expect("in range"))
            }),
            ".*".prop_map(CanonicalJsonValue::String),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(CanonicalJsonValue::Array),
                proptest::collection::btree_map(".{0,3}", inner, 0..6)
                    .prop_map(CanonicalJsonValue::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_form_is_the_one_that_ruma_writes(object in proptest::collection::btree_map(".{0,3}", value(), 0..6)) {
            let expected = CanonicalJsonValue::Object(object.clone()).to_string();
            let spaced = format!("{:#}", serde_json::Value::from(CanonicalJsonValue::Object(object)));
            prop_assert_eq!(canonical(&spaced), expected.clone());
            prop_assert_eq!(canonical(&expected), expected);
        }

        #[test]
        fn added_strings_keep_the_form(
            object in proptest::collection::btree_map(".{0,3}", value(), 0..6), key in ".{0,3}", text in ".*",
        ) {
            let content = Content::from_object(&object).expect("content").with_string(&key, &text);
            let mut object = object;
            object.insert(key, CanonicalJsonValue::String(text));
            prop_assert_eq!(content.as_str(), CanonicalJsonValue::Object(object).to_string());
        }
    }
}
