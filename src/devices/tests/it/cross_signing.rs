//! Cross-signing keys and signatures: replacement, accepted signatures, visibility.

use devices::keys::{Authorization, CrossSigningUpload, KeyError, SignedKey, SignedObject, Usage};
use serde_json::{Value, json};

use crate::house::{House, Person, cross_json, cross_key, device_json, public, sign};

/// Seeds of alice's keys, by usage; bob's are ten higher.
const MASTER: u8 = 50;
const SELF_SIGNING: u8 = 51;
const USER_SIGNING: u8 = 52;

fn uploaded(person: &Person, base: u8) -> CrossSigningUpload {
    let by = public(base);
    let master = cross_json(person, "master", base);
    let own = sign(
        cross_json(person, "self_signing", base + 1),
        person,
        &by,
        base,
    );
    let others = sign(
        cross_json(person, "user_signing", base + 2),
        person,
        &by,
        base,
    );
    CrossSigningUpload {
        master: Some(cross_key(person, &master, Usage::Master)),
        self_signing: Some(cross_key(person, &own, Usage::SelfSigning)),
        user_signing: Some(cross_key(person, &others, Usage::UserSigning)),
    }
}

async fn upload(
    house: &House,
    person: &Person,
    upload: &CrossSigningUpload,
    authorization: Authorization,
) -> Result<(), KeyError> {
    let devices = &house.devices;
    devices
        .upload_cross_signing_keys(person.number, &person.id, upload, authorization)
        .await
}

/// Alice and bob with identity keys (seeds 1 and 2) and cross-signing keys.
async fn two_people(house: &House) -> [Person; 2] {
    let [alice, bob] = house.people(["alice", "bob"]).await;
    house.publish(&alice, "DEVICE", 1).await;
    house.publish(&bob, "DEVICE", 2).await;
    for (person, base) in [(&alice, MASTER), (&bob, MASTER + 10)] {
        let keys = uploaded(person, base);
        upload(house, person, &keys, Authorization::Missing)
            .await
            .expect("the first upload");
    }
    [alice, bob]
}

async fn vouch(
    house: &House,
    signer: &Person,
    owner: &Person,
    key: &str,
    json: &Value,
) -> Result<(), KeyError> {
    let object = SignedObject::parse(&json.to_string()).expect("an object");
    let keys = [SignedKey {
        owner: owner.number,
        key: key.to_owned(),
        object,
    }];
    let devices = &house.devices;
    let mut outcomes = devices
        .upload_signatures(signer.number, &signer.id, &keys)
        .await
        .expect("answered");
    outcomes.pop().expect("one outcome")
}

fn signature<'a>(key: Option<&'a Value>, user: &Person, by: &str) -> Option<&'a Value> {
    key?.get("signatures")?
        .get(user.id.as_str())?
        .get(format!("ed25519:{by}"))
}

fn parsed(json: Option<&String>) -> Option<Value> {
    json.map(|json| serde_json::from_str(json).expect("JSON"))
}

#[tokio::test]
async fn only_replacing_other_keys_needs_a_proof() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let (first, second) = (uploaded(&alice, MASTER), uploaded(&alice, 90));

    upload(&house, &alice, &first, Authorization::Missing)
        .await
        .expect("the first is free");
    upload(&house, &alice, &first, Authorization::Missing)
        .await
        .expect("nothing changes");
    let refused = upload(&house, &alice, &second, Authorization::Missing).await;

    assert!(matches!(refused, Err(KeyError::NotAuthorized)));
    upload(&house, &alice, &second, Authorization::Proved)
        .await
        .expect("proved");
    let master = parsed(house.query(&alice, &alice).await.master.as_ref()).expect("a key");
    assert_eq!(
        master["keys"],
        json!({ format!("ed25519:{}", public(90)): public(90) })
    );
}

#[tokio::test]
async fn adding_a_key_to_a_master_key_needs_a_proof() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let all = uploaded(&alice, MASTER);
    let master = CrossSigningUpload {
        master: all.master.clone(),
        ..CrossSigningUpload::default()
    };
    let own = CrossSigningUpload {
        self_signing: all.self_signing.clone(),
        ..CrossSigningUpload::default()
    };
    upload(&house, &alice, &master, Authorization::Missing)
        .await
        .expect("the first is free");

    let refused = upload(&house, &alice, &own, Authorization::Missing).await;

    assert!(matches!(refused, Err(KeyError::NotAuthorized)));
    upload(&house, &alice, &own, Authorization::Proved)
        .await
        .expect("proved");
    upload(&house, &alice, &own, Authorization::Missing)
        .await
        .expect("nothing changes");
}

#[tokio::test]
async fn the_master_key_must_vouch_for_the_others() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let good = uploaded(&alice, MASTER);
    let key = cross_json(&alice, "self_signing", SELF_SIGNING);
    let by_another = sign(key.clone(), &alice, &public(MASTER), 99);
    for bad in [key, by_another] {
        let self_signing = Some(cross_key(&alice, &bad, Usage::SelfSigning));
        let keys = CrossSigningUpload {
            self_signing,
            ..good.clone()
        };
        let refused = upload(&house, &alice, &keys, Authorization::Proved).await;
        assert!(matches!(refused, Err(KeyError::InvalidSignature)), "{bad}");
    }
    let orphan = CrossSigningUpload {
        master: None,
        ..good
    };
    let refused = upload(&house, &alice, &orphan, Authorization::Proved).await;
    assert!(matches!(refused, Err(KeyError::NoMasterKey)));
    assert_eq!(house.query(&alice, &alice).await.self_signing, None);
}

#[tokio::test]
async fn a_key_is_not_named_like_a_device() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    house.log_in(&alice, &public(SELF_SIGNING)).await;

    let refused = upload(
        &house,
        &alice,
        &uploaded(&alice, MASTER),
        Authorization::Missing,
    )
    .await;

    assert!(matches!(refused, Err(KeyError::KeyIdInUse)));
}

#[tokio::test]
async fn everyone_sees_what_the_self_signing_key_says_of_devices() {
    let house = House::new();
    let [alice, bob] = two_people(&house).await;
    let by = public(SELF_SIGNING);
    let json = sign(device_json(&alice, "DEVICE", 1), &alice, &by, SELF_SIGNING);

    vouch(&house, &alice, &alice, "DEVICE", &json)
        .await
        .expect("taken");

    let keys = house.query(&bob, &alice).await;
    let device = parsed(Some(&keys.devices[0].1));
    assert!(signature(device.as_ref(), &alice, &by).is_some());
    assert!(
        signature(device.as_ref(), &alice, "DEVICE").is_some(),
        "its own is still there"
    );
    let name = &device.expect("a device")["unsigned"]["device_display_name"];
    assert_eq!(name, "DEVICE's name");
}

#[tokio::test]
async fn everyone_sees_what_a_device_says_of_its_master_key() {
    let house = House::new();
    let [alice, bob] = two_people(&house).await;
    let json = sign(cross_json(&alice, "master", MASTER), &alice, "DEVICE", 1);

    vouch(&house, &alice, &alice, &public(MASTER), &json)
        .await
        .expect("taken");

    let master = parsed(house.query(&bob, &alice).await.master.as_ref());
    assert!(signature(master.as_ref(), &alice, "DEVICE").is_some());
}

#[tokio::test]
async fn only_the_signer_sees_what_a_user_signing_key_says() {
    let house = House::new();
    let [alice, bob] = two_people(&house).await;
    let by = public(USER_SIGNING);
    let json = sign(
        cross_json(&bob, "master", MASTER + 10),
        &alice,
        &by,
        USER_SIGNING,
    );

    vouch(&house, &alice, &bob, &public(MASTER + 10), &json)
        .await
        .expect("taken");

    let seen = parsed(house.query(&alice, &bob).await.master.as_ref());
    assert!(signature(seen.as_ref(), &alice, &by).is_some());
    let hidden = parsed(house.query(&bob, &bob).await.master.as_ref());
    assert!(signature(hidden.as_ref(), &alice, &by).is_none());
    assert!(house.query(&alice, &bob).await.user_signing.is_none());
    assert!(house.query(&bob, &bob).await.user_signing.is_some());
}

#[tokio::test]
async fn signatures_outside_the_allowed_relations_are_refused() {
    let house = House::new();
    let [alice, bob] = two_people(&house).await;
    let alices = device_json(&alice, "DEVICE", 1);
    let bobs = device_json(&bob, "DEVICE", 2);
    let bobs_master = cross_json(&bob, "master", MASTER + 10);
    let (own, others) = (public(SELF_SIGNING), public(USER_SIGNING));
    let bobs_name = public(MASTER + 10);
    let table = [
        // A device by the user-signing key, or by the master key.
        (
            &alice,
            "DEVICE",
            sign(alices.clone(), &alice, &others, USER_SIGNING),
        ),
        (
            &alice,
            "DEVICE",
            sign(alices.clone(), &alice, &public(MASTER), MASTER),
        ),
        // Another user's device.
        (&bob, "DEVICE", sign(bobs, &alice, &others, USER_SIGNING)),
        // Another user's master key by the self-signing key, or by a device.
        (
            &bob,
            &bobs_name,
            sign(bobs_master.clone(), &alice, &own, SELF_SIGNING),
        ),
        (
            &bob,
            &bobs_name,
            sign(bobs_master.clone(), &alice, "DEVICE", 1),
        ),
        // The right name, but not the right key.
        (
            &bob,
            &bobs_name,
            sign(bobs_master.clone(), &alice, &others, 99),
        ),
        (&alice, "DEVICE", sign(alices.clone(), &alice, &own, 99)),
        // In another user's name.
        (&bob, &bobs_name, sign(bobs_master, &bob, "DEVICE", 2)),
        // Unknown keys, and known ones that were changed.
        (
            &alice,
            "OTHER",
            sign(alices.clone(), &alice, &own, SELF_SIGNING),
        ),
        (
            &alice,
            "DEVICE",
            sign(device_json(&alice, "DEVICE", 9), &alice, &own, SELF_SIGNING),
        ),
    ];
    let before = house.now().await;
    for (at, (owner, key, json)) in table.into_iter().enumerate() {
        let refused = vouch(&house, &alice, owner, key, &json).await;
        let is_refused = matches!(
            refused,
            Err(KeyError::InvalidSignature | KeyError::UnknownKey)
        );
        assert!(is_refused, "case {at}: {refused:?}");
    }
    assert_eq!(house.now().await, before, "nothing was written");
}

#[tokio::test]
async fn a_new_master_key_ends_what_was_said_of_the_old() {
    let house = House::new();
    let [alice, bob] = two_people(&house).await;
    let by = public(SELF_SIGNING);
    let json = sign(device_json(&alice, "DEVICE", 1), &alice, &by, SELF_SIGNING);
    vouch(&house, &alice, &alice, "DEVICE", &json)
        .await
        .expect("taken");
    let master = uploaded(&alice, 90).master;
    let only_master = CrossSigningUpload {
        master,
        ..CrossSigningUpload::default()
    };

    upload(&house, &alice, &only_master, Authorization::Proved)
        .await
        .expect("proved");

    let keys = house.query(&bob, &alice).await;
    let device = parsed(Some(&keys.devices[0].1));
    assert!(signature(device.as_ref(), &alice, &by).is_none());
    assert_eq!(keys.self_signing, None);
}

#[tokio::test]
async fn new_identity_keys_end_what_was_said_of_the_old() {
    let house = House::new();
    let [alice, bob] = two_people(&house).await;
    let by = public(SELF_SIGNING);
    let json = sign(device_json(&alice, "DEVICE", 1), &alice, &by, SELF_SIGNING);
    vouch(&house, &alice, &alice, "DEVICE", &json)
        .await
        .expect("taken");
    let json = sign(cross_json(&alice, "master", MASTER), &alice, "DEVICE", 1);
    vouch(&house, &alice, &alice, &public(MASTER), &json)
        .await
        .expect("taken");

    house.publish(&alice, "DEVICE", 3).await;

    let keys = house.query(&bob, &alice).await;
    assert!(signature(parsed(Some(&keys.devices[0].1)).as_ref(), &alice, &by).is_none());
    assert!(signature(parsed(keys.master.as_ref()).as_ref(), &alice, "DEVICE").is_none());
}
