//! Random events.

use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,9}".prop_map(Value::from),
        "[$!@][a-z]{0,3}:[a-z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(
                "[a-z]{0,3}|membership|redacts|signed|third_party_invite|sha256",
                inner,
                0..4
            )
            .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(version in proptest::sample::select(SUPPORTED.to_vec()), text in ".*") {
        let rules = rules(&version).expect("rules");
        let _ = Pdu::read(rules, &text);
        let _ = Pdu::read(rules, &format!("{{{text}}}"));
    }

    #[test]
    fn no_cut_or_changed_event_makes_it_panic(
        version in proptest::sample::select(SUPPORTED.to_vec()), at: prop::sample::Index, byte: u8, cut: bool,
    ) {
        let text = message(&version).to_string();
        let at = at.index(text.len());
        let mut bytes = text.into_bytes();
        match cut {
            true => bytes.truncate(at),
            false => bytes[at] = byte,
        }
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(pdu) = Pdu::read(rules(&version).expect("rules"), &text)
        {
            let _ = pdu.verify(keys);
        }
    }

    #[test]
    fn an_event_with_any_field_is_refused_or_canonical(
        version in proptest::sample::select(SUPPORTED.to_vec()),
        field in proptest::sample::select(vec![
            "auth_events", "content", "depth", "event_id", "hashes", "origin", "origin_server_ts", "prev_events",
            "redacts", "room_id", "sender", "signatures", "state_key", "type", "unsigned", "other",
        ]),
        value in value(),
        kind in proptest::sample::select(vec!["m.room.message", "m.room.member", "m.room.redaction", "m.room.create"]),
    ) {
        let mut event = message(&version);
        event["type"] = json!(kind);
        event[field] = value;
        let Ok(pdu) = read(&version, &event) else { return Ok(()) };
        prop_assert!(!pdu.json().contains(r#""unsigned":"#) || field == "content");
        // What was accepted once is accepted again, unchanged, and its redacted form too.
        let again = Pdu::read(pdu.rules(), pdu.json()).expect("an event");
        prop_assert_eq!(again.json(), pdu.json());
        prop_assert_eq!(again.event_id(), pdu.event_id());
        let redacted = pdu.redacted().expect("can be redacted");
        prop_assert_eq!(redacted.event_id(), pdu.event_id());
        let again = Pdu::read(pdu.rules(), redacted.json()).expect("an event");
        prop_assert_eq!(again.json(), redacted.json());
        prop_assert_eq!(pdu.signing_text, redacted.signing_text);
    }

    #[test]
    fn hashes_are_those_of_ruma(version in proptest::sample::select(SUPPORTED[5..].to_vec()), body in ".*", extra in "[a-z]{1,9}") {
        let mut event = message(&version);
        event["content"]["body"] = json!(body);
        event[&extra] = json!([1, "x"]);
        let Ok(pdu) = read(&version, &event) else { return Ok(()) };
        let object: ruma::CanonicalJsonObject = serde_json::from_str(pdu.json()).expect("canonical");
        let rules = pdu.rules();
        let known = ruma::signatures::reference_hash(&object, rules).expect("a hash");
        prop_assert_eq!(pdu.event_id().as_str(), format!("${known}"));
        let known = ruma::signatures::content_hash(&object).expect("a hash");
        let own = hash::content_hash(pdu.json()).expect("a hash");
        prop_assert_eq!(&own[..], known.as_bytes());
    }
}
