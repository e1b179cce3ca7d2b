//! The format of each room version.

use super::*;

#[test]
fn signed_events_are_read_and_verified_in_every_version() {
    for version in SUPPORTED {
        for kind in ["m.room.message", "m.room.create", "m.room.power_levels"] {
            let mut draft = draft(&version, kind, &json!({ "users": { "@alice:x": 1 } }));
            draft.state_key = (kind != "m.room.message").then(String::new);
            let signed = draft.sign(&Server::new(server_name!("x"))).expect("signed");
            let mut event: Value = serde_json::from_str(&signed.json).expect("JSON");
            event["unsigned"] = json!({ "age": 1.5 });
            let spaced = format!("{event:#}");

            let pdu = Pdu::read(draft.rules, &spaced).expect("an event");
            assert_eq!(pdu.json(), signed.json, "{version}");
            assert_eq!(pdu.event_id(), signed.event_id, "{version}");
            assert_eq!(pdu.room_id(), signed.room_id, "{version}");
            assert_eq!(
                (pdu.kind().to_string().as_str(), pdu.sender().as_str()),
                (kind, "@alice:x")
            );
            assert_eq!(
                (pdu.depth(), pdu.state_key()),
                (Depth(12), draft.state_key.as_deref())
            );
            assert!(
                pdu.prev_events().eq(&draft.prev_events)
                    && pdu.auth_events().eq(&draft.auth_events)
            );
            assert_eq!(pdu.signers(), [server_name!("x")]);
            assert_eq!(
                pdu.key_ids(),
                [(server_name!("x").to_owned(), vec!["ed25519:a".to_owned()])]
            );
            let verified = pdu.verify(keys).expect("a signature");
            assert!(!verified.is_redacted(), "{version}");
        }
    }
}

/// Values that a field must not have.
fn wrong_values() -> Vec<(&'static str, Vec<Value>)> {
    let long = "é".repeat(128);
    let no_text = || vec![json!(null), json!(1), json!(&long)];
    vec![
        ("type", no_text()),
        ("state_key", no_text()),
        (
            "sender",
            vec![
                json!(null),
                json!("alice"),
                json!("@a"),
                json!("@a:é"),
                json!(format!("@{long}:x")),
            ],
        ),
        (
            "room_id",
            vec![
                json!(null),
                json!(1),
                json!(""),
                json!("room:x"),
                json!(format!("!{long}:x")),
                json!("!a\u{0}:x"),
            ],
        ),
        ("content", vec![json!(null), json!([]), json!("x")]),
        (
            "depth",
            vec![
                json!(null),
                json!(-1),
                json!("1"),
                json!(1.5),
                json!(u64::MAX),
                json!(1_u64 << 63),
            ],
        ),
        (
            "origin_server_ts",
            vec![json!(null), json!(-1), json!("1"), json!({})],
        ),
        (
            "prev_events",
            vec![
                json!(null),
                json!({}),
                json!([1]),
                json!(["x"]),
                json!([[]]),
            ],
        ),
        (
            "auth_events",
            vec![
                json!(null),
                json!([["$a:x"]]),
                json!([["$a:x", "h"]]),
                json!([null]),
            ],
        ),
        (
            "hashes",
            vec![json!(null), json!({}), json!({ "sha256": 1 }), json!([])],
        ),
        ("signatures", vec![json!(null), json!([]), json!("x")]),
    ]
}

#[test]
fn fields_are_checked_in_every_version() {
    for version in SUPPORTED {
        let good = message(&version);
        assert!(read(&version, &good).is_ok());
        for (field, values) in wrong_values() {
            for value in values {
                let mut event = good.clone();
                event[field] = value.clone();
                let error = read(&version, &event).expect_err(field);
                let is_number = matches!(error, FormatError::Json(JsonError::Number(_)));
                assert!(
                    is_number || error == FormatError::Field(field),
                    "{version} {field} {value}: {error}"
                );
            }
            let mut event = good.clone();
            event.as_object_mut().expect("an object").remove(field);
            assert_eq!(
                read(&version, &event).is_err(),
                field != "state_key",
                "{version}: no {field}"
            );
        }
    }
}

#[test]
fn references_and_state_keys_are_bounded() {
    for version in SUPPORTED {
        let is_old = rules(&version)
            .expect("rules")
            .event_format
            .require_event_id;
        let many = |count: usize| match is_old {
            true => json!(vec![json!(["$a:x", { "sha256": "h" }]); count]),
            false => json!(vec![format!("${HASH}"); count]),
        };
        let mut event = message(&version);
        event["prev_events"] = many(20);
        event["auth_events"] = many(10);
        event["state_key"] = json!("é".repeat(127));
        assert!(read(&version, &event).is_ok(), "{version}");
        for (field, count) in [("prev_events", 21), ("auth_events", 11)] {
            let mut event = event.clone();
            event[field] = many(count);
            assert_eq!(
                read(&version, &event).expect_err(field),
                FormatError::Field(field)
            );
        }
    }
}

#[test]
fn ids_have_the_format_of_the_version() {
    let with = |version: &RoomVersionId, field: &str, value: Value| {
        let mut event = message(version);
        event[field] = value;
        read(version, &event).is_ok()
    };
    let pair = json!([["$a:x", { "sha256": "h" }]]);
    let hash = |extra: &str| json!([format!("${}{extra}", &HASH[1..])]);
    for version in SUPPORTED {
        let number: u32 = version.as_str().parse().expect("a number");
        assert_eq!(
            with(&version, "prev_events", pair.clone()),
            number < 3,
            "{version}"
        );
        assert_eq!(
            with(&version, "auth_events", hash("/")),
            number == 3,
            "{version}"
        );
        assert_eq!(
            with(&version, "auth_events", hash("_")),
            number > 3,
            "{version}"
        );
        assert!(
            !with(&version, "auth_events", hash("AA")),
            "{version}: too long"
        );
        assert_eq!(
            with(&version, "room_id", json!("!a:x")),
            number < 12,
            "{version}"
        );
        assert_eq!(
            with(&version, "room_id", json!(format!("!{HASH}"))),
            number == 12,
            "{version}"
        );
        for id in ["", "$own", "own:x", "$own:é"] {
            let accepted = with(&version, "event_id", json!(id));
            assert_eq!(
                accepted,
                number > 2,
                "{version}: only a member without meaning since version 3"
            );
        }
    }
    let own = json!([["$own:x", { "sha256": "h" }]]);
    assert!(
        !with(&RoomVersionId::V1, "auth_events", own),
        "an event does not reference itself"
    );
}

#[test]
fn only_the_create_event_of_version_12_has_no_room() {
    for version in SUPPORTED {
        let is_12 = version == RoomVersionId::V12;
        let create = sent(&draft(&version, "m.room.create", &json!({})));
        let pdu = read(&version, &create).expect("an event");
        assert_eq!(
            pdu.room_id().as_str()[1..] == pdu.event_id().as_str()[1..],
            is_12
        );

        let mut without = create.clone();
        without
            .as_object_mut()
            .expect("an object")
            .remove("room_id");
        assert_eq!(read(&version, &without).is_ok(), is_12, "{version}");
        let mut with = create;
        with["room_id"] = json!("!room:x");
        assert_eq!(read(&version, &with).is_ok(), !is_12, "{version}");
    }
}

#[test]
fn json_is_strict_since_version_6() {
    for version in SUPPORTED {
        let is_strict = rules(&version)
            .expect("rules")
            .authorization
            .strict_canonical_json;
        for number in ["1.5", "-0", "9007199254740992", "1e2"] {
            let event = message(&version).to_string().replace(r#""hello""#, number);
            let result = Pdu::read(rules(&version).expect("rules"), &event);
            assert_eq!(result.is_err(), is_strict, "{version}: {number}");
        }
        let mut deep = message(&version);
        deep["depth"] = json!(1_u64 << 53);
        deep["origin_server_ts"] = json!(i64::MAX);
        assert_eq!(read(&version, &deep).is_err(), is_strict, "{version}");
        if let Ok(pdu) = read(&version, &deep) {
            assert_eq!(pdu.depth(), Depth(1 << 53));
            assert_eq!(pdu.origin_server_ts().0, UInt::MAX);
        }
        let twice = message(&version)
            .to_string()
            .replace(r#""body""#, r#""body":1,"body""#);
        let result = Pdu::read(rules(&version).expect("rules"), &twice);
        assert!(
            matches!(result, Err(FormatError::Json(JsonError::Repeated(_)))),
            "{version}"
        );
    }
}

#[test]
fn sizes_are_limited() {
    let version = RoomVersionId::V11;
    let overhead = message(&version).to_string().len() - "hello".len();
    let mut event = message(&version);
    event["content"]["body"] = json!("a".repeat(MAX_EVENT_BYTES - overhead));
    event["unsigned"] = json!({ "prev_content": "b".repeat(1_000) });
    assert!(
        read(&version, &event).is_ok(),
        "the limit is that of the canonical form"
    );
    event["content"]["body"] = json!("a".repeat(MAX_EVENT_BYTES - overhead + 1));
    assert!(matches!(
        read(&version, &event),
        Err(FormatError::TooLarge(65_537))
    ));
    event["unsigned"] = json!("b".repeat(MAX_TEXT_BYTES));
    assert!(matches!(
        read(&version, &event),
        Err(FormatError::TooLarge(_))
    ));

    let nested = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let text = message(&version).to_string().replace(r#""hello""#, &value);
        Pdu::read(rules(&version).expect("rules"), &text)
    };
    assert!(
        nested(MAX_NESTING).is_ok(),
        "as deep as the content of this server's events"
    );
    assert!(nested(MAX_NESTING + 1).is_err() && nested(30_000).is_err());
}

#[test]
fn redactions_name_their_target_where_the_version_has_it() {
    for version in SUPPORTED {
        let rules = rules(&version).expect("rules");
        let mut event = sent(&draft(
            &version,
            "m.room.redaction",
            &json!({ "redacts": "$content" }),
        ));
        event["redacts"] = json!("$top");
        let pdu = read(&version, &event).expect("an event");
        let expected = match rules.redaction.content_field_redacts {
            true => "$content",
            false => "$top",
        };
        assert_eq!(
            pdu.redacts().map(EventId::as_str),
            Some(expected),
            "{version}"
        );

        event["redacts"] = json!(1);
        event["content"]["redacts"] = json!("no id");
        assert_eq!(
            read(&version, &event).expect("an event").redacts(),
            None,
            "{version}"
        );
        let mut message = message(&version);
        message["redacts"] = json!("$top");
        message["content"]["redacts"] = json!("$content");
        assert_eq!(
            read(&version, &message).expect("an event").redacts(),
            None,
            "{version}"
        );
    }
}

/// Each would take minutes if anything were quadratic in it.
#[test]
fn hostile_texts_of_the_greatest_size_are_read_at_once() {
    let version = RoomVersionId::V1;
    let count = 60_000;
    let keys: Vec<_> = (0..count)
        .map(|number| format!(r#""{}":0,"#, count - number))
        .collect();
    let keys = keys.concat();
    let signatures: Vec<_> = (0..900)
        .map(|number| format!(r#""ed25519:{number}":"AAAA","#))
        .collect();
    let signatures = signatures.concat();
    for (from, to) in [
        (r#""hello""#, "[".repeat(MAX_TEXT_BYTES / 2)),
        (
            r#""hello""#,
            format!("[{}0]", "0,".repeat(MAX_TEXT_BYTES / 4)),
        ),
        (r#""hello""#, format!("\"{}\"", "\\u0000".repeat(80_000))),
        (
            r#""hello""#,
            format!("[{}{{}}]", r#"{"a":[]},"#.repeat(50_000)),
        ),
        (
            r#""body":"#,
            format!(r#"{}"body":"#, &keys[..keys.len().min(MAX_TEXT_BYTES / 2)]),
        ),
        (
            r#""auth_events":"#,
            format!(r#"{}"auth_events":"#, "\"a\":1,".repeat(60_000)),
        ),
        (r#""ed25519:a":"#, format!(r#"{signatures}"ed25519:a":"#)),
    ] {
        let text = message(&version).to_string().replacen(from, &to, 1);
        if let Ok(pdu) = Pdu::read(rules(&version).expect("rules"), &text) {
            let _ = pdu.verify(|_, id| super::keys(server_name!("x"), id));
        }
    }
}
