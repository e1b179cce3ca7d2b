//! Who must have signed an event, and what a wrong content hash leaves of it.

use super::*;

#[test]
fn a_wrong_content_hash_leaves_the_redacted_event() {
    for version in SUPPORTED {
        let mut event = message(&version);
        let id = read(&version, &event)
            .expect("an event")
            .event_id()
            .to_owned();
        event["content"]["body"] = json!("forged");
        let pdu = read(&version, &event).expect("an event");
        assert_eq!(pdu.event_id(), id, "the id does not cover the body");
        let pdu = pdu.verify(keys).expect("a signature");
        assert!(
            pdu.is_redacted() && !pdu.json().contains("forged"),
            "{version}"
        );
        assert_eq!(pdu.event_id(), id);

        event["content"] = json!({});
        let pdu = read(&version, &event).expect("an event").verify(keys);
        assert!(
            pdu.expect("the signature of the redacted event")
                .is_redacted()
        );
        event["hashes"]["sha256"] = json!("!");
        let pdu = read(&version, &event).expect("an event");
        assert!(
            matches!(pdu.verify(keys), Err(SignatureError::Wrong { .. })),
            "signatures cover the hash"
        );
    }
}

#[test]
fn signature_errors_tell_wrong_from_missing() {
    let version = RoomVersionId::V11;
    let server = server_name!("x").to_owned();
    let event = message(&version);
    let read = |event: &Value| read(&version, event).expect("an event");

    let unknown = read(&event).verify(|_, _| None).expect_err("no key");
    let ids = vec!["ed25519:a".to_owned()];
    assert_eq!(
        unknown,
        SignatureError::MissingKeys(vec![(server.clone(), ids)])
    );

    let wrong = read(&event)
        .verify(|_, _| Some(SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes()));
    let key_id = "ed25519:a".to_owned();
    assert_eq!(
        wrong.expect_err("another key"),
        SignatureError::Wrong {
            server: server.clone(),
            key_id
        }
    );

    for signatures in [
        json!({}),
        json!({ "y": event["signatures"]["x"] }),
        json!({ "x": {} }),
        json!({ "x": 1 }),
        json!({ "x": { "rsa:a": "b" } }),
    ] {
        let mut event = event.clone();
        event["signatures"] = signatures;
        let error = read(&event).verify(keys).expect_err("no signature");
        assert_eq!(error, SignatureError::Unsigned(server.clone()));
    }
    for signature in [json!(1), json!(""), json!("AAAA"), json!("*")] {
        let mut event = event.clone();
        event["signatures"]["x"]["ed25519:a"] = signature;
        let error = read(&event).verify(keys).expect_err("a wrong signature");
        assert!(matches!(error, SignatureError::Wrong { .. }), "{error}");
    }
    let mut more = event.clone();
    more["signatures"]["x"]["ed25519:unknown"] = json!("AAAA");
    assert!(
        read(&more).verify(keys).is_ok(),
        "signatures by unknown keys are skipped"
    );
    assert!(
        read(&more)
            .verify(|_, id| keys(server_name!("x"), id).or(Some([0; 32])))
            .is_err()
    );
}

#[test]
fn a_weak_key_signs_nothing() {
    let mut event = message(&RoomVersionId::V11);
    // The neutral point as key and as nonce: a lax check accepts such a signature for any message.
    let mut point = [0; 32];
    point[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    event["signatures"]["x"] = json!({ "ed25519:a": STANDARD_NO_PAD.encode(signature) });
    let pdu = read(&RoomVersionId::V11, &event).expect("an event");
    assert!(matches!(
        pdu.verify(|_, _| Some(point)),
        Err(SignatureError::Wrong { .. })
    ));
}

#[test]
fn the_server_of_the_event_id_signs_in_versions_1_and_2() {
    for version in [RoomVersionId::V1, RoomVersionId::V2] {
        let mut event = message(&version);
        event["event_id"] = json!("$own:other");
        sign_again(&version, &mut event, &[server_name!("x")]);
        let pdu = read(&version, &event).expect("an event");
        assert_eq!(pdu.signers(), [server_name!("x"), server_name!("other")]);
        let error = pdu.verify(keys).expect_err("one signature is missing");
        assert_eq!(
            error,
            SignatureError::Unsigned(server_name!("other").to_owned())
        );

        add_signatures(&version, &mut event, &[server_name!("other")]);
        let pdu = read(&version, &event).expect("an event");
        assert!(pdu.verify(keys).is_ok());
    }
}

#[test]
fn who_authorizes_a_restricted_join_signs_since_version_8() {
    let content = json!({ "membership": "join", "join_authorised_via_users_server": "@mod:z" });
    for version in SUPPORTED {
        let is_required = rules(&version)
            .expect("rules")
            .authorization
            .restricted_join_rule;
        let mut event = member(&version, &content);
        let pdu = read(&version, &event).expect("an event");
        assert_eq!(
            pdu.signers().contains(&server_name!("z").to_owned()),
            is_required
        );
        assert_eq!(pdu.verify(keys).is_err(), is_required, "{version}");
        add_signatures(&version, &mut event, &[server_name!("z")]);
        let pdu = read(&version, &event).expect("an event");
        assert!(
            !pdu.verify(keys).expect("both signatures").is_redacted(),
            "{version}"
        );

        let nobody = json!({ "membership": "join", "join_authorised_via_users_server": 1 });
        assert_eq!(
            read(&version, &member(&version, &nobody)).is_err(),
            is_required,
            "{version}"
        );
    }
}

#[test]
fn the_invite_of_a_third_party_invite_needs_no_signature_of_its_sender() {
    let content =
        json!({ "membership": "invite", "third_party_invite": { "signed": { "token": "t" } } });
    for version in SUPPORTED {
        let is_old = rules(&version)
            .expect("rules")
            .event_format
            .require_event_id;
        let mut event = member(&version, &content);
        sign_again(&version, &mut event, &[]);
        let pdu = read(&version, &event).expect("an event");
        assert_eq!(pdu.signers().len(), usize::from(is_old), "{version}");
        assert_eq!(pdu.verify(keys).is_ok(), !is_old, "{version}");
    }
}

/// Without the invite, which a redaction removes, the event is an ordinary invite that its sender never made.
#[test]
fn a_third_party_invite_with_a_wrong_hash_does_not_evade_signatures() {
    let content = json!({ "membership": "invite", "third_party_invite": { "signed": {} } });
    for version in SUPPORTED {
        let keeps = rules(&version)
            .expect("rules")
            .redaction
            .keep_room_member_third_party_invite_signed;
        let mut event = member(&version, &content);
        event["signatures"] = json!({});
        event["hashes"] = json!({ "sha256": HASH });
        let result = read(&version, &event).expect("an event").verify(keys);
        match result {
            Ok(pdu) => assert!(
                keeps && pdu.json().contains("third_party_invite"),
                "{version}"
            ),
            Err(error) => assert!(!keeps, "{version}: {error}"),
        }
    }
}
