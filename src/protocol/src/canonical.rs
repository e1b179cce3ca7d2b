//! JSON text in canonical form (Matrix appendices, "Canonical JSON"): sorted keys, no spaces, the shortest escapes.
//!
//! Time and memory are linear in the text; nesting is bounded by [`MAX_NESTING`].

use std::{
    borrow::Cow,
    cell::Cell,
    fmt::{self, Write as _},
};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Values nested deeper than this are refused: readers wrap events into several objects more, and parsers stop at 128.
pub const MAX_NESTING: usize = 100;

/// The greatest integer of canonical JSON, 2^53 - 1; the least is its negative.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// Why a text has no canonical form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("not valid JSON: {0}")]
    NotJson(String),
    #[error("not a JSON object")]
    NotAnObject,
    #[error(
        "`{0}` is not an integer between -(2^53)+1 and (2^53)-1, the only numbers that events may have"
    )]
    Number(String),
    #[error("nested deeper than {MAX_NESTING} levels")]
    TooDeep,
    #[error("key `{0}` occurs twice in one object")]
    Repeated(String),
}

/// Which numbers are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Only those of canonical JSON.
    Strict,
    /// All of JSON, as events of room versions 1 to 5 may have them; they keep the form in which they were written.
    Lenient,
}

/// What happens to keys that occur twice in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    LastCounts,
    Refused,
}

/// How much a reader accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strictness {
    pub(crate) numbers: Numbers,
    pub(crate) repeats: Repeats,
    /// How many levels objects and arrays may be nested in the outermost object.
    pub(crate) nesting: usize,
}

/// The canonical form of an object, without the member named `dropped`, whose value may be any JSON.
pub(crate) fn object(
    json: &str,
    strictness: Strictness,
    dropped: Option<&str>,
) -> Result<String, JsonError> {
    let reader = Reader {
        tokens: match strictness.numbers {
            Numbers::Strict => Vec::new(),
            Numbers::Lenient => number_tokens(json),
        },
        next: Cell::new(0),
        repeats: strictness.repeats,
    };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = (&reader)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| JsonError::NotJson(error.to_string()))?;
    let mut members = match value {
        Value::Object(members) => members,
        Value::Repeated(key) => return Err(JsonError::Repeated(key.into_owned())),
        _ => return Err(JsonError::NotAnObject),
    };
    if let Some(dropped) = dropped {
        members.retain(|(key, _)| key != dropped);
    }
    let mut text = String::with_capacity(json.len());
    Value::Object(members).write(&mut text, strictness, 0)?;
    Ok(text)
}

/// The numbers of a JSON text as they are written, with their places in it.
pub(crate) fn number_tokens(json: &str) -> Vec<(usize, &str)> {
    let bytes = json.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                while let Some(byte) = bytes.get(at) {
                    at += if *byte == b'\\' { 2 } else { 1 };
                    if *byte == b'"' {
                        break;
                    }
                }
            }
            b'-' | b'0'..=b'9' => {
                while let Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') = bytes.get(at) {
                    at += 1;
                }
                tokens.push((start, &json[start..at]));
            }
            _ => {}
        }
    }
    tokens
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

/// Writes an object of keys and values that are JSON already; keys without their quotes.
pub(crate) fn push_object<'a>(
    out: &mut String,
    members: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    out.push('{');
    for (index, (key, value)) in members.into_iter().enumerate() {
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

/// JSON as it was sent, with the keys of objects sorted.
enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that canonical JSON does not have.
    Other(Cow<'a, str>),
    Text(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
    /// An object that is refused, because this key occurs twice.
    Repeated(Cow<'a, str>),
}

impl Value<'_> {
    fn write(
        &self,
        out: &mut String,
        strictness: Strictness,
        depth: usize,
    ) -> Result<(), JsonError> {
        if depth > strictness.nesting {
            return Err(JsonError::TooDeep);
        }
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Integer(number) => write_integer(out, strictness.numbers, *number)?,
            Self::Other(number) if strictness.numbers == Numbers::Strict => {
                return Err(JsonError::Number(number.to_string()));
            }
            // Negative zero is an integer for those who wrote rooms with lenient JSON, and has no sign there.
            Self::Other(number) if number == "-0" => out.push('0'),
            Self::Other(number) => out.push_str(number),
            Self::Text(text) => push_string(out, text),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out, strictness, depth + 1)?;
                }
                out.push(']');
            }
            Self::Repeated(key) => return Err(JsonError::Repeated(key.to_string())),
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    push_string(out, key);
                    out.push(':');
                    value.write(out, strictness, depth + 1)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

fn write_integer(out: &mut String, numbers: Numbers, number: i64) -> Result<(), JsonError> {
    if numbers == Numbers::Strict && number.unsigned_abs() > MAX_INTEGER.unsigned_abs() {
        return Err(JsonError::Number(number.to_string()));
    }
    write!(out, "{number}").expect("writing to a string does not fail");
    Ok(())
}

/// Builds a [`Value`]. Parsers do not report how a number was written, so numbers are counted: the next one is the next of
/// `tokens`, which is empty where numbers that are not canonical are refused anyway.
struct Reader<'t> {
    tokens: Vec<(usize, &'t str)>,
    next: Cell<usize>,
    repeats: Repeats,
}

impl<'t> Reader<'t> {
    fn number<'de>(&self, integer: Option<i64>, or: impl FnOnce() -> String) -> Value<'de>
    where
        't: 'de,
    {
        let token = self.tokens.get(self.next.replace(self.next.get() + 1));
        match (integer, token) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some((_, token))) => Value::Other(Cow::Borrowed(*token)),
            (None, None) => Value::Other(Cow::Owned(or())),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &Reader<'de> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Reader<'de> {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(self.number(Some(value), || value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(self.number(i64::try_from(value).ok(), || value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(self.number(None, || value.to_string()))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            members.push((key, map.next_value_seed(self)?));
        }
        let mut repeated = None;
        if !members.is_sorted_by(|before, after| before.0 < after.0) {
            members.reverse();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            members.dedup_by(|later, kept| {
                let is_repeated = later.0 == kept.0;
                if is_repeated && self.repeats == Repeats::Refused {
                    repeated = Some(kept.0.clone());
                }
                is_repeated
            });
        }
        Ok(match repeated {
            Some(key) => Value::Repeated(key),
            None => Value::Object(members),
        })
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

    use super::*;

    const LENIENT: Strictness = Strictness {
        numbers: Numbers::Lenient,
        repeats: Repeats::Refused,
        nesting: MAX_NESTING,
    };
    const STRICT: Strictness = Strictness {
        numbers: Numbers::Strict,
        ..LENIENT
    };

    #[test]
    fn lenient_numbers_keep_their_form() {
        let json = r#"{"b": [1.50, "2.5\"9", -0, -0.0, 1e3, 9223372036854775807],
            "a": {"x": 18446744073709551616, "y": -9007199254740993}, "c": 7}"#;
        assert_eq!(
            object(json, LENIENT, None).as_deref(),
            Ok(concat!(
                r#"{"a":{"x":18446744073709551616,"y":-9007199254740993},"#,
                r#""b":[1.50,"2.5\"9",0,-0.0,1e3,9223372036854775807],"c":7}"#
            ))
        );
        assert!(matches!(
            object(r#"{"a":1e400}"#, LENIENT, None),
            Err(JsonError::NotJson(_))
        ));
    }

    #[test]
    fn negative_zero_is_not_canonical() {
        for number in ["-0", "-0.0", "1.0"] {
            let error = object(&format!(r#"{{"a":{number}}}"#), STRICT, None).expect_err(number);
            assert!(matches!(error, JsonError::Number(_)), "{number}: {error}");
        }
    }

    #[test]
    fn repeated_keys_are_refused_at_every_level() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"c":2,"b":3}}"#,
            r#"{"\u0061":1,"a":1}"#,
        ] {
            let error = object(json, STRICT, None).expect_err(json);
            assert!(matches!(error, JsonError::Repeated(_)), "{json}: {error}");
        }
    }

    #[test]
    fn what_is_dropped_may_be_any_json() {
        let json = r#"{"b":1,"unsigned":{"age":1.5,"x":1,"x":-0},"a":1.5}"#;
        let lenient = object(json, LENIENT, Some("unsigned"));
        assert_eq!(lenient.as_deref(), Ok(r#"{"a":1.5,"b":1}"#));
        let twice = object(
            r#"{"unsigned":1,"unsigned":2,"b":1}"#,
            STRICT,
            Some("unsigned"),
        );
        assert!(matches!(twice, Err(JsonError::Repeated(_))));
    }

    #[test]
    fn lone_surrogates_and_trailing_text_are_not_json() {
        for json in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":1} x"#,
            r#"{"a":1}{"#,
            "",
            "{\"a\":\"\u{1}\"}",
        ] {
            let error = object(json, STRICT, None).expect_err(json);
            assert!(matches!(error, JsonError::NotJson(_)), "{json}: {error}");
        }
    }

    proptest! {
        #[test]
        fn number_tokens_are_those_that_a_parser_sees(
            numbers in proptest::collection::vec(any::<f64>().prop_filter("finite", |number| number.is_finite()), 0..9),
            text in ".*",
        ) {
            let json = serde_json::json!({ &text: numbers, "other": [&text, 12] }).to_string();
            let tokens = number_tokens(&json);
            let found: Vec<f64> = tokens.iter().filter_map(|(_, token)| token.parse().ok()).collect();
            prop_assert_eq!(found.len(), numbers.len() + 1);
            let canonical = object(&json, LENIENT, None).expect("an object");
            prop_assert_eq!(number_tokens(&canonical).len(), tokens.len());
        }

        #[test]
        fn the_canonical_form_is_a_fixed_point(text in ".*", number: f64) {
            prop_assume!(number.is_finite());
            let json = serde_json::json!({ &text: number, "a": { "b": [&text] } }).to_string();
            let once = object(&json, LENIENT, None).expect("an object");
            let again = object(&once, LENIENT, None);
            prop_assert_eq!(again, Ok(once));
        }
    }
}
