//! What a redaction leaves of an event (client-server API, "Redactions", and each room version). The rules are ruma's; the
//! redacted form is also what is signed and hashed, so an event keeps its id, hashes and signatures when it is redacted.

use std::borrow::Cow;

use ruma::{CanonicalJsonObject, canonical_json, room_version_rules::RedactionRules};

use crate::content::push_object;

/// The text is not an event, so there is nothing to redact.
#[derive(Debug, thiserror::Error)]
#[error("event cannot be redacted: {0}")]
pub struct RedactError(String);

/// The event as it is stored once it is redacted, in canonical JSON. `unsigned` is not kept.
pub fn redact(json: &str, rules: &RedactionRules) -> Result<String, RedactError> {
    let mut event: CanonicalJsonObject =
        serde_json::from_str(json).map_err(|error| RedactError(error.to_string()))?;
    canonical_json::redact_in_place(&mut event, rules, None)
        .map_err(|error| RedactError(error.to_string()))?;
    serde_json::to_string(&event).map_err(|error| RedactError(error.to_string()))
}

/// What is left of an event's content, given and answered in canonical JSON. Most types keep nothing, which costs nothing.
pub(crate) fn redacted_content<'a>(
    kind: &str,
    content: &'a str,
    rules: &RedactionRules,
) -> Cow<'a, str> {
    if !KEEP_SOME.contains(&kind) {
        return Cow::Borrowed("{}");
    }
    let members = crate::scan::members(content).unwrap_or_default();
    let mut kept: CanonicalJsonObject = members
        .iter()
        .map(|(key, _)| ((*key).to_owned(), ruma::CanonicalJsonValue::Null))
        .collect();
    // Which members stay depends on their names alone, except for what ruma takes out of nested objects.
    if members.iter().any(|(key, _)| *key == "third_party_invite") {
        let mut object: CanonicalJsonObject = serde_json::from_str(content).unwrap_or_default();
        canonical_json::redact_content_in_place(&mut object, rules, kind);
        return Cow::Owned(serde_json::to_string(&object).unwrap_or_default());
    }
    canonical_json::redact_content_in_place(&mut kept, rules, kind);
    if kept.len() == members.len() {
        return Cow::Borrowed(content);
    }
    let members: Vec<_> = members
        .into_iter()
        .filter(|(key, _)| kept.contains_key(*key))
        .collect();
    let mut out = String::with_capacity(content.len());
    push_object(&mut out, &members);
    Cow::Owned(out)
}

/// Types that keep something of their content in some room version.
const KEEP_SOME: [&str; 7] = [
    "m.room.member",
    "m.room.create",
    "m.room.join_rules",
    "m.room.power_levels",
    "m.room.history_visibility",
    "m.room.redaction",
    "m.room.aliases",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::room_version::{SUPPORTED, rules};

    #[test]
    fn a_message_keeps_nothing_of_its_content() {
        let event = json!({
            "type": "m.room.message", "sender": "@a:x", "content": { "body": "secret" }, "hashes": { "sha256": "h" },
            "signatures": { "x": {} }, "unsigned": { "age": 1 }, "other": 1,
        });
        let redacted = redact(
            &event.to_string(),
            &rules(&SUPPORTED[6]).expect("rules").redaction,
        );
        assert_eq!(
            redacted.expect("redacted"),
            r#"{"content":{},"hashes":{"sha256":"h"},"sender":"@a:x","signatures":{"x":{}},"type":"m.room.message"}"#
        );
    }

    #[test]
    fn redacting_again_changes_nothing() {
        let event = json!({ "type": "m.room.member", "content": { "membership": "join", "displayname": "A" } });
        for version in SUPPORTED {
            let rules = &rules(&version).expect("rules").redaction;
            let once = redact(&event.to_string(), rules).expect("redacted");
            assert_eq!(redact(&once, rules).expect("redacted"), once);
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let rules = &rules(&SUPPORTED[0]).expect("rules").redaction;
        for text in ["", "[]", "{}", r#"{"type":1}"#] {
            assert!(redact(text, rules).is_err(), "{text}");
        }
    }

    fn member_names() -> impl Strategy<Value = Vec<String>> {
        let names = prop_oneof![
            proptest::sample::select(vec![
                "membership",
                "join_authorised_via_users_server",
                "third_party_invite",
                "creator",
                "room_version",
                "join_rule",
                "allow",
                "ban",
                "events",
                "events_default",
                "invite",
                "kick",
                "redact",
                "state_default",
                "users",
                "users_default",
                "notifications",
                "history_visibility",
                "redacts",
                "aliases",
                "deny",
            ])
            .prop_map(str::to_owned),
            "[a-z\"]{1,3}",
        ];
        proptest::collection::vec(names, 0..8)
    }

    proptest! {
        #[test]
        fn redacted_content_is_what_ruma_leaves(
            kind in proptest::sample::select(
                KEEP_SOME.into_iter().chain(["m.room.message", "m.room.server_acl", "m.room.name"]).collect::<Vec<_>>()
            ),
            names in member_names(),
            version in proptest::sample::select(SUPPORTED.to_vec()),
        ) {
            let rules = &rules(&version).expect("rules").redaction;
            let content: Value = names
                .into_iter()
                .map(|name| (name, json!({ "signed": { "x": 1 }, "display_name": "A" })))
                .collect();
            let event = json!({ "type": kind, "content": content });
            let whole: Value =
                serde_json::from_str(&redact(&event.to_string(), rules).expect("redacted")).expect("JSON");
            let text = crate::content::Content::of(&content).expect("content");

            let part = redacted_content(kind, text.as_str(), rules);

            let expected = crate::content::Content::of(&whole["content"]).expect("content");
            prop_assert_eq!(part.as_ref(), expected.as_str());
        }
    }
}
