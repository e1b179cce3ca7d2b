//! What a redaction leaves of an event (client-server API, "Redactions", and each room version), and whether it may be applied
//! (each room version, "Handling redactions").
//!
//! The redacted form is also what is signed and hashed, so an event keeps its id, hashes and signatures when it is redacted.
//! Which keys stay is decided by ruma's rules; events are not parsed, because those of room versions 1 to 5 may contain
//! numbers that no parser keeps as they are.

use std::borrow::Cow;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, ServerName, UserId, canonical_json,
    room_version_rules::{RedactionRules, RoomVersionRules},
    state_res::Event,
};

use crate::{authorize::AuthEvent, canonical::push_object, power_levels::PowerLevels, scan};

/// Why there is nothing to redact.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    #[error("text is not an event")]
    NotAnEvent,
}

/// Members of an event that stay in all room versions, beside the content.
const KEPT: [&str; 11] = [
    "auth_events",
    "depth",
    "event_id",
    "hashes",
    "origin_server_ts",
    "prev_events",
    "room_id",
    "sender",
    "signatures",
    "state_key",
    "type",
];
/// Members that stay until room version 10.
const KEPT_ONCE: [&str; 3] = ["membership", "origin", "prev_state"];

/// The event as it is stored once it is redacted. Takes and returns canonical JSON; `unsigned` is not kept.
pub fn redact(json: &str, rules: &RedactionRules) -> Result<String, RedactError> {
    let mut members = scan::members(json).map_err(|_| RedactError::NotAnEvent)?;
    let kind = members
        .iter()
        .find(|(key, _)| *key == "type")
        .and_then(|(_, value)| scan::text(value))
        .ok_or(RedactError::NotAnEvent)?;
    members.retain(|(key, _)| {
        *key == "content"
            || KEPT.contains(key)
            || (rules.keep_origin_membership_prev_state && KEPT_ONCE.contains(key))
    });
    let content = match members.iter().find(|(key, _)| *key == "content") {
        Some((_, content)) if content.starts_with('{') => redacted_content(&kind, content, rules),
        _ => return Err(RedactError::NotAnEvent),
    };
    let mut out = String::with_capacity(json.len());
    let members = members.into_iter().map(|(key, value)| match key {
        "content" => (key, content.as_ref()),
        _ => (key, value),
    });
    push_object(&mut out, members);
    Ok(out)
}

/// What is left of an event's content; takes and returns canonical JSON. Most types keep nothing, which costs nothing.
pub(crate) fn redacted_content<'a>(
    kind: &str,
    content: &'a str,
    rules: &RedactionRules,
) -> Cow<'a, str> {
    if !KEEP_SOME.contains(&kind) {
        return Cow::Borrowed("{}");
    }
    let members = scan::members(content).unwrap_or_default();
    let mut kept: CanonicalJsonObject = members
        .iter()
        .map(|(key, _)| ((*key).to_owned(), CanonicalJsonValue::Null))
        .collect();
    canonical_json::redact_content_in_place(&mut kept, rules, kind);
    let invite = third_party_invite(kind, &members);
    if kept.len() == members.len() && invite.is_none() {
        return Cow::Borrowed(content);
    }
    let mut out = String::with_capacity(content.len());
    let members = members
        .into_iter()
        .filter(|(key, _)| kept.contains_key(*key))
        .map(|(key, value)| match (key, &invite) {
            ("third_party_invite", Some(invite)) => (key, invite.as_str()),
            _ => (key, value),
        })
        .filter(|(_, value)| !value.is_empty());
    push_object(&mut out, members);
    Cow::Owned(out)
}

/// What would be left of a member event's `third_party_invite`, the only nested object of which a part stays: its `signed`.
/// Empty if it is no object, of which nothing stays; `None` if the event has none.
fn third_party_invite(kind: &str, members: &[(&str, &str)]) -> Option<String> {
    if kind != "m.room.member" {
        return None;
    }
    let (_, invite) = members
        .iter()
        .find(|(key, _)| *key == "third_party_invite")?;
    if !invite.starts_with('{') {
        return Some(String::new());
    }
    let mut out = String::new();
    let signed = scan::member(invite, "signed").map(|signed| ("signed", signed));
    push_object(&mut out, signed);
    Some(out)
}

/// Whether an accepted redaction takes effect on an event of `target_sender` in the same room. `levels` are those of the state
/// before the redaction; `None` if they cannot be read, so that nobody has the power to redact.
///
/// In room versions 1 and 2, this is the authorization rule for redactions, which compares the servers of the event ids.
pub fn may_apply(
    rules: &RoomVersionRules,
    redaction: &AuthEvent,
    target_sender: &UserId,
    levels: Option<&PowerLevels>,
) -> bool {
    if levels.is_some_and(|levels| levels.may_redact_others(redaction.sender())) {
        return true;
    }
    if !rules.authorization.special_case_room_redaction {
        return redaction.sender().server_name() == target_sender.server_name();
    }
    let target: Option<&ServerName> = redaction.redacts().and_then(|id| id.server_name());
    target.is_some() && redaction.id().server_name() == target
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
    use ruma::{RoomVersionId, owned_event_id, user_id};
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

    fn redaction(version: &RoomVersionId, sender: &str, target: &str) -> AuthEvent {
        let id = match version {
            RoomVersionId::V1 | RoomVersionId::V2 => format!("$own:{}", &sender[3..]),
            _ => "$own".to_owned(),
        };
        let json = json!({
            "auth_events": [], "content": {}, "depth": 1, "origin_server_ts": 1, "prev_events": [], "redacts": target,
            "room_id": "!r:x", "sender": sender, "type": "m.room.redaction",
        });
        AuthEvent::parse(id.try_into().expect("an id"), &json.to_string()).expect("an event")
    }

    #[test]
    fn redactions_apply_by_power_or_by_server() {
        for version in SUPPORTED {
            let rules = rules(&version).expect("rules");
            let create = json!({
                "auth_events": [], "content": { "creator": "@a:x" }, "depth": 1, "origin_server_ts": 1, "prev_events": [],
                "room_id": "!r:x", "sender": "@a:x", "state_key": "", "type": "m.room.create",
            });
            let create = AuthEvent::parse(owned_event_id!("$create:x"), &create.to_string());
            let levels = PowerLevels::new(rules, &create.expect("an event"), None).expect("levels");
            let may = |sender: &str, target: &str, target_sender: &UserId, levels| {
                may_apply(
                    rules,
                    &redaction(&version, sender, target),
                    target_sender,
                    levels,
                )
            };
            let (local, remote) = (user_id!("@c:x"), user_id!("@c:y"));
            assert!(
                may("@a:x", "$e:y", remote, Some(&levels)),
                "{version}: power"
            );
            assert!(!may("@b:x", "$e:y", remote, Some(&levels)), "{version}");
            assert!(
                !may("@a:x", "$e:y", remote, None),
                "{version}: power of nobody"
            );
            assert!(
                may("@b:x", "$e:x", local, Some(&levels)),
                "{version}: same server"
            );
            assert!(may("@b:x", "$e:x", local, None), "{version}: same server");

            // Room versions 1 and 2 compare the ids, later ones the senders.
            let is_old = rules.authorization.special_case_room_redaction;
            assert_eq!(may("@b:x", "$e:x", remote, None), is_old, "{version}");
            assert_eq!(may("@b:x", "$e:y", local, None), !is_old, "{version}");
            assert_eq!(may("@b:x", "no id", local, None), !is_old, "{version}");
        }
    }

    #[test]
    fn numbers_of_old_events_survive_a_redaction() {
        let event = r#"{"content":{"ban":50.50,"x":1,"users":{"@a:x":9223372036854775808}},"depth":9223372036854775807,"type":"m.room.power_levels"}"#;
        assert_eq!(
            redact(event, &RedactionRules::V1).as_deref(),
            Ok(
                r#"{"content":{"ban":50.50,"users":{"@a:x":9223372036854775808}},"depth":9223372036854775807,"type":"m.room.power_levels"}"#
            )
        );
    }

    #[test]
    fn only_an_object_leaves_something_of_a_third_party_invite() {
        for (invite, left) in [
            (
                r#"{"signed":{"token":"t"},"x":1}"#,
                r#"{"third_party_invite":{"signed":{"token":"t"}}}"#,
            ),
            (r#"{"x":1}"#, r#"{"third_party_invite":{}}"#),
            ("1", "{}"),
            (r#"[{"signed":{}}]"#, "{}"),
        ] {
            let content = format!(r#"{{"third_party_invite":{invite}}}"#);
            let kept = redacted_content("m.room.member", &content, &RedactionRules::V11);
            assert_eq!(kept, left, "{invite}");
            let kept = redacted_content("m.room.member", &content, &RedactionRules::V9);
            assert_eq!(kept, "{}", "{invite}");
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
