//! The content of an event in canonical JSON (Matrix appendices, "Canonical JSON"): sorted keys, no spaces, integers only.
//! Clients send JSON in any form; [`Content`] is the one form that is hashed, signed and stored, so a value of this type
//! can go into an event without another check.

use std::borrow::Cow;

use ruma::CanonicalJsonObject;
use serde::Serialize;
use serde_json::value::RawValue;

pub use crate::canonical::{JsonError as ContentError, MAX_INTEGER, MAX_NESTING};
use crate::{
    canonical::{self, Numbers, Repeats, Strictness, push_object, push_string},
    scan,
};

/// An object in canonical JSON.
#[derive(Clone, Debug)]
pub struct Content(Box<RawValue>);

impl Content {
    pub fn empty() -> Self {
        Self::trusted("{}".to_owned())
    }

    /// Brings JSON into canonical form. The last of several equal keys counts, as for most parsers.
    pub fn parse(json: &str) -> Result<Self, ContentError> {
        let strictness = Strictness {
            numbers: Numbers::Strict,
            repeats: Repeats::LastCounts,
            nesting: MAX_NESTING,
        };
        canonical::object(json, strictness, None).map(Self::trusted)
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
        push_object(&mut text, members);
        Self::trusted(text)
    }

    /// `json` is canonical already.
    fn trusted(json: String) -> Self {
        Self(RawValue::from_string(json).expect("was written here, as JSON"))
    }
}

fn unescaped(key: &str) -> Cow<'_, str> {
    if key.contains('\\') {
        let text = serde_json::from_str(&format!("\"{key}\"")).expect("a key of canonical JSON");
        Cow::Owned(text)
    } else {
        Cow::Borrowed(key)
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
