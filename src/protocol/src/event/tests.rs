use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use ruma::{
    CanonicalJsonObject, RoomVersionId, ServerName, UInt, owned_event_id, owned_room_id,
    owned_user_id,
    serde::Base64,
    server_name,
    signatures::{Verified, reference_hash, verify_event},
    state_res::check_pdu_format,
};
use serde_json::json;

use super::*;
use crate::{
    hash,
    redact::redact,
    room_version::{SUPPORTED, rules},
};

struct TestSigner(SigningKey);

impl TestSigner {
    fn new() -> Self {
        Self(SigningKey::from_bytes(&[7; 32]))
    }
}

impl Signer for TestSigner {
    fn server_name(&self) -> &ServerName {
        server_name!("x")
    }

    fn key_id(&self) -> &'static str {
        "ed25519:a_test"
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

fn draft(version: &RoomVersionId, kind: &str, content: &serde_json::Value) -> Draft {
    let rules = rules(version).expect("a supported version");
    let names_itself =
        kind == "m.room.create" && rules.authorization.room_create_event_id_as_room_id;
    Draft {
        rules,
        room_id: (!names_itself).then(|| owned_room_id!("!room:x")),
        sender: owned_user_id!("@alice:x"),
        kind: kind.into(),
        state_key: None,
        content: Content::of(content).expect("content"),
        auth_events: vec![owned_event_id!("$auth:x")],
        prev_events: vec![owned_event_id!("$previous:x")],
        depth: Depth(12),
        origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::from(1_700_000_000_u32)),
        redacts: None,
        old_format: rules.event_format.require_event_id.then(|| {
            Box::new(OldFormat {
                event_id: owned_event_id!("$opaque:x"),
                auth_hashes: vec![[1; 32]],
                prev_hashes: vec![[255; 32]],
            })
        }),
    }
}

fn sign(draft: &Draft) -> SignedPdu {
    draft.sign(&TestSigner::new()).expect("a signed event")
}

fn assert_verifies(draft: &Draft, pdu: &SignedPdu) {
    let object: CanonicalJsonObject = serde_json::from_str(&pdu.json).expect("JSON");
    assert_eq!(
        serde_json::to_string(&object).expect("JSON"),
        pdu.json,
        "not canonical"
    );
    let public = Base64::new(TestSigner::new().0.verifying_key().to_bytes().to_vec());
    let keys = BTreeMap::from([(
        "x".to_owned(),
        BTreeMap::from([("ed25519:a_test".to_owned(), public)]),
    )]);
    let verified = verify_event(&keys, &object, draft.rules).expect("a signature");
    assert_eq!(verified, Verified::All);
    check_pdu_format(&object, &draft.rules.event_format).expect("the format of an event");
    assert_eq!(pdu.event_id, id_of(draft, &object));
}

/// The event id as ruma has it: its hash, or in room versions 1 and 2 what the event says.
fn id_of(draft: &Draft, object: &CanonicalJsonObject) -> String {
    match &draft.old_format {
        Some(_) => object["event_id"].as_str().expect("an event id").to_owned(),
        None => format!("${}", reference_hash(object, draft.rules).expect("a hash")),
    }
}

#[test]
fn the_create_event_of_version_12_names_its_room() {
    let content = json!({ "room_version": "12", "org.example.unique": "a" });
    let one = sign(&draft(&RoomVersionId::V12, "m.room.create", &content));

    assert_eq!(one.room_id.as_str()[1..], one.event_id.as_str()[1..]);
    assert!(!one.json.contains("room_id"));
    let again = sign(&draft(&RoomVersionId::V12, "m.room.create", &content));
    assert_eq!(again.room_id, one.room_id, "a draft has nothing random");
    let content = json!({ "room_version": "12", "org.example.unique": "b" });
    let other = sign(&draft(&RoomVersionId::V12, "m.room.create", &content));
    assert_ne!(
        other.room_id, one.room_id,
        "what the caller adds to the content tells rooms apart"
    );
}

#[test]
fn redacts_stands_where_the_version_has_it() {
    for version in SUPPORTED {
        let mut draft = draft(
            &version,
            "m.room.redaction",
            &json!({ "reason": "r", "redacts": "$other" }),
        );
        draft.redacts = Some(owned_event_id!("$gone"));
        let pdu = sign(&draft);
        let event: serde_json::Value = serde_json::from_str(&pdu.json).expect("JSON");
        let is_new = draft.rules.redaction.content_field_redacts;

        assert_eq!(
            event["content"]["redacts"],
            if is_new { "$gone" } else { "$other" },
            "version {version}"
        );
        assert_eq!(
            event["redacts"],
            if is_new { json!(null) } else { json!("$gone") },
            "version {version}"
        );
        assert_verifies(&draft, &pdu);
    }
}

#[test]
fn a_redacted_event_keeps_its_id_and_its_signature() {
    for version in SUPPORTED {
        let content = json!({ "membership": "join", "displayname": "Alice", "third_party_invite": { "signed": {}, "x": 1 } });
        let mut draft = draft(&version, "m.room.member", &content);
        draft.state_key = Some("@alice:x".to_owned());
        let pdu = sign(&draft);
        let redacted = redact(&pdu.json, &draft.rules.redaction).expect("redacted");
        let object: CanonicalJsonObject = serde_json::from_str(&redacted).expect("JSON");

        assert!(!redacted.contains("Alice"));
        assert_eq!(pdu.event_id, id_of(&draft, &object));
        let hash = hash::reference_hash(draft.rules, &pdu.json).expect("a hash");
        let known = ruma::signatures::reference_hash(&object, draft.rules).expect("a hash");
        assert_eq!(
            hash::id_of_hash(draft.rules, &hash),
            draft.old_format.is_none().then_some(known)
        );
        assert_eq!(hash::reference_hash(draft.rules, &redacted), Ok(hash));
    }
}

#[test]
fn old_formats_name_themselves_and_hash_what_they_reference() {
    for version in [RoomVersionId::V1, RoomVersionId::V2] {
        let pdu = sign(&draft(&version, "m.room.message", &json!({})));
        let event: serde_json::Value = serde_json::from_str(&pdu.json).expect("JSON");
        assert_eq!(pdu.event_id, "$opaque:x");
        assert_eq!(event["event_id"], "$opaque:x");
        assert_eq!(
            event["auth_events"],
            json!([["$auth:x", { "sha256": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE" }]])
        );
        assert_eq!(event["prev_events"][0][0], "$previous:x");
    }
}

#[test]
fn event_ids_have_the_alphabet_of_their_version() {
    let ids = |version: &RoomVersionId| -> String {
        let bodies = (0..20).map(|number| json!({ "body": number }));
        bodies
            .map(|body| sign(&draft(version, "m.room.message", &body)).event_id)
            .map(|id| id.to_string())
            .collect()
    };
    assert!(ids(&RoomVersionId::V3).contains(['/', '+']));
    assert!(!ids(&RoomVersionId::V3).contains(['-', '_']));
    assert!(ids(&RoomVersionId::V4).contains(['-', '_']));
    assert!(!ids(&RoomVersionId::V4).contains(['/', '+']));
}

#[test]
fn sizes_are_limited() {
    let with_body = |length: usize| {
        draft(
            &RoomVersionId::V11,
            "m.room.message",
            &json!({ "body": "a".repeat(length) }),
        )
    };
    let overhead = sign(&with_body(0)).json.len();
    let largest = with_body(MAX_EVENT_BYTES - overhead);
    assert_eq!(sign(&largest).json.len(), MAX_EVENT_BYTES);
    let refused = with_body(MAX_EVENT_BYTES - overhead + 1).sign(&TestSigner::new());
    assert_eq!(refused, Err(DraftError::TooLarge(MAX_EVENT_BYTES + 1)));

    let mut draft = draft(&RoomVersionId::V11, "org.example", &json!({}));
    draft.state_key = Some("é".repeat(127));
    sign(&draft);
    draft.state_key = Some("é".repeat(128));
    assert_eq!(
        draft.sign(&TestSigner::new()),
        Err(DraftError::TooLong("state_key"))
    );
    draft.state_key = None;
    draft.kind = "t".repeat(256).into();
    assert_eq!(
        draft.sign(&TestSigner::new()),
        Err(DraftError::TooLong("type"))
    );
}

#[test]
fn what_breaks_the_old_format_is_not_signed() {
    let good = draft(&RoomVersionId::V12, "m.room.message", &json!({}));
    let old = draft(&RoomVersionId::V1, "m.room.message", &json!({}));
    let named = |change: fn(&mut OldFormat)| {
        let mut draft = old.clone();
        change(draft.old_format.as_mut().expect("an old format"));
        draft
    };
    for (what, draft) in [
        (
            "no event id",
            Draft {
                old_format: None,
                ..old.clone()
            },
        ),
        (
            "event id of another server",
            named(|old| old.event_id = owned_event_id!("$opaque:y")),
        ),
        (
            "event id without a server",
            named(|old| old.event_id = owned_event_id!("$opaque")),
        ),
        ("missing hash", named(|old| old.prev_hashes.clear())),
        (
            "old format in a new room",
            Draft {
                old_format: old.old_format.clone(),
                ..good
            },
        ),
    ] {
        let error = draft.sign(&TestSigner::new()).expect_err(what);
        assert!(matches!(error, DraftError::Malformed(_)), "{what}: {error}");
    }
}

#[test]
fn what_breaks_the_format_is_not_signed() {
    let good = draft(&RoomVersionId::V12, "m.room.message", &json!({}));
    let create = draft(&RoomVersionId::V12, "m.room.create", &json!({}));
    let ids = |count: usize| vec![owned_event_id!("$e"); count];
    for (what, draft) in [
        (
            "depth",
            Draft {
                depth: Depth(1 << 53),
                ..good.clone()
            },
        ),
        (
            "sender",
            Draft {
                sender: owned_user_id!("@a:elsewhere"),
                ..good.clone()
            },
        ),
        (
            "no room",
            Draft {
                room_id: None,
                ..good.clone()
            },
        ),
        (
            "room of a create event",
            Draft {
                room_id: Some(owned_room_id!("!r")),
                ..create
            },
        ),
        (
            "previous events",
            Draft {
                prev_events: ids(MAX_PREVIOUS_EVENTS + 1),
                ..good.clone()
            },
        ),
        (
            "auth events",
            Draft {
                auth_events: ids(MAX_AUTH_EVENTS + 1),
                ..good.clone()
            },
        ),
        (
            "create event",
            Draft {
                room_id: Some(owned_room_id!("!e")),
                auth_events: ids(1),
                ..good
            },
        ),
    ] {
        let error = draft.sign(&TestSigner::new()).expect_err(what);
        assert!(matches!(error, DraftError::Malformed(_)), "{what}: {error}");
    }
}

#[test]
fn depth_does_not_overflow() {
    assert_eq!(Depth::after([]), Depth(1));
    assert_eq!(Depth::after([Depth(3), Depth(7)]), Depth(8));
    let limit = Depth::greatest(rules(&RoomVersionId::V6).expect("rules"));
    assert_eq!(limit, Depth((1 << 53) - 1));
    assert_eq!(Depth::after([limit]), limit);
    let limit = Depth::greatest(rules(&RoomVersionId::V5).expect("rules"));
    assert_eq!(limit, Depth((1 << 63) - 1));
    assert_eq!(Depth::after([limit, Depth(u64::MAX)]), limit);
}

proptest! {
    #[test]
    fn what_is_signed_verifies_by_rumas_rules(
        version in proptest::sample::select(SUPPORTED.to_vec()),
        kind in prop_oneof![
            proptest::sample::select(vec![
                "m.room.message", "m.room.member", "m.room.create", "m.room.power_levels", "m.room.join_rules",
                "m.room.history_visibility", "m.room.redaction", "m.room.aliases",
            ]).prop_map(str::to_owned),
            ".{1,9}",
        ],
        state_key in proptest::option::of(".{0,9}"),
        keys in proptest::collection::btree_map(
            prop_oneof![
                proptest::sample::select(vec!["users", "allow", "join_rule", "creator", "redacts", "invite"])
                    .prop_map(str::to_owned),
                ".{0,3}",
            ],
            ".*", 0..5,
        ),
        redacts: bool,
    ) {
        let mut content = json!(keys);
        // ruma asks for it before it verifies a membership.
        content["membership"] = json!("join");
        let mut draft = draft(&version, &kind, &content);
        draft.state_key = state_key;
        draft.redacts = redacts.then(|| owned_event_id!("$redacted"));
        let pdu = sign(&draft);
        assert_verifies(&draft, &pdu);

        let parts = crate::scan::scan(&pdu.json).expect("an event");
        prop_assert_eq!(parts.kind(&pdu.json), kind);
        prop_assert_eq!(parts.state_key(&pdu.json).map(Cow::into_owned), draft.state_key.clone());
        prop_assert_eq!(parts.depth(&pdu.json), Some(12));
        if redacts {
            let found = parts.redacts(&pdu.json);
            prop_assert_eq!(found.as_deref(), Some("$redacted"));
        }
    }
}
