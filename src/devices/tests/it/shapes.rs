//! Accepted and refused formats of keys.

use devices::keys::{CrossSigningKey, DeviceKeys, KeyError, OneTimeKey, Usage};
use serde_json::{Value, json};

use crate::house::{House, cross_json, device_json, public};

#[tokio::test]
async fn device_keys_have_all_fields_and_the_right_owner() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let good = device_json(&alice, "DEVICE", 1);
    let parse = |json: &Value| DeviceKeys::parse(&json.to_string(), &alice.id, "DEVICE");
    assert!(parse(&good).is_ok());

    for field in ["user_id", "device_id", "algorithms", "keys", "signatures"] {
        let mut json = good.clone();
        json.as_object_mut().expect("an object").remove(field);
        assert!(
            matches!(parse(&json), Err(KeyError::Shape(_))),
            "without {field}"
        );
        json[field] = json!(5);
        assert!(
            matches!(parse(&json), Err(KeyError::Shape(_))),
            "{field} is a number"
        );
    }
    let text = good.to_string();
    assert!(matches!(
        DeviceKeys::parse(&text, &bob.id, "DEVICE"),
        Err(KeyError::WrongOwner)
    ));
    assert!(matches!(
        DeviceKeys::parse(&text, &alice.id, "OTHER"),
        Err(KeyError::WrongOwner)
    ));
}

#[tokio::test]
async fn device_keys_are_not_asked_to_sign_themselves() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let mut json = device_json(&alice, "DEVICE", 1);
    json["signatures"] = json!({});

    assert!(DeviceKeys::parse(&json.to_string(), &alice.id, "DEVICE").is_ok());
}

#[tokio::test]
async fn keys_are_32_bytes_in_unpadded_base64() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let padded = format!("{}=", public(1));
    let short = public(1)[..40].to_owned();
    for bad in ["", "****", &padded, &short] {
        let mut json = device_json(&alice, "DEVICE", 1);
        json["keys"]["curve25519:DEVICE"] = bad.into();
        let parsed = DeviceKeys::parse(&json.to_string(), &alice.id, "DEVICE");
        assert!(matches!(parsed, Err(KeyError::Shape(_))), "{bad}");

        let json = json!({ "key": bad, "signatures": {} }).to_string();
        let parsed = OneTimeKey::parse("signed_curve25519:a", &json);
        assert!(matches!(parsed, Err(KeyError::Shape(_))), "{bad}");

        let parsed = OneTimeKey::parse("curve25519:a", &json!(bad).to_string());
        assert!(matches!(parsed, Err(KeyError::Shape(_))), "{bad}");
    }
}

#[test]
fn a_signed_key_is_an_object_with_signatures() {
    let key = public(1);
    let refused = [
        ("signed_curve25519:a", json!(key)),
        ("signed_curve25519:a", json!({ "key": key })),
        ("signed_curve25519:a", json!({ "signatures": {} })),
        (
            "signed_curve25519:a",
            json!({ "key": key, "signatures": { "@a:b": 1 } }),
        ),
        (
            "signed_curve25519:a",
            json!({ "key": key, "signatures": {}, "fallback": 1 }),
        ),
        ("curve25519:a", json!({ "key": key, "signatures": {} })),
        ("other:a", json!(true)),
        ("signed_curve25519", json!({ "key": key, "signatures": {} })),
        (
            "signed_curve25519:",
            json!({ "key": key, "signatures": {} }),
        ),
    ];
    for (id, json) in refused {
        assert!(
            OneTimeKey::parse(id, &json.to_string()).is_err(),
            "{id} {json}"
        );
    }
    let taken = [
        (
            "signed_curve25519:a",
            json!({ "key": key, "signatures": {}, "fallback": true }),
        ),
        ("curve25519:a", json!(key)),
        ("other:a", json!("anything")),
    ];
    for (id, json) in taken {
        assert!(
            OneTimeKey::parse(id, &json.to_string()).is_ok(),
            "{id} {json}"
        );
    }
}

#[tokio::test]
async fn a_cross_signing_key_is_one_key_named_by_itself() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let good = cross_json(&alice, "master", 1);
    let parse = |json: &Value| CrossSigningKey::parse(&json.to_string(), &alice.id, Usage::Master);
    assert!(parse(&good).is_ok());

    let mut two = good.clone();
    two["keys"][format!("ed25519:{}", public(2))] = public(2).into();
    let mut misnamed = good.clone();
    misnamed["keys"] = json!({ "ed25519:name": public(1) });
    let mut not_a_key = good.clone();
    not_a_key["keys"] = json!({ "ed25519:key": "key" });
    for bad in [
        two,
        misnamed,
        not_a_key,
        cross_json(&alice, "self_signing", 1),
    ] {
        assert!(matches!(parse(&bad), Err(KeyError::Shape(_))), "{bad}");
    }
    assert!(matches!(
        parse(&cross_json(&bob, "master", 1)),
        Err(KeyError::WrongOwner)
    ));
}
