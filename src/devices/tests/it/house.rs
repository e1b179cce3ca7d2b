//! Users with devices, whose keys are derived from a seed.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use database::{MockClock, Read, Snapshot, Stamp, Store, StoreError, Txn, UserNumber};
use devices::{
    Device, Devices, Limits,
    keys::{CrossSigningKey, DeviceKeys, KeyUpload, OneTimeKey, Reader, Usage, UserKeys},
};
use ed25519_dalek::{Signer, SigningKey};
use ruma::OwnedUserId;
use serde_json::{Value, json};

pub(crate) struct House {
    pub(crate) devices: Devices,
    pub(crate) store: Store,
    pub(crate) clock: Arc<MockClock>,
}

/// A user of the tests.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) number: UserNumber,
    pub(crate) id: OwnedUserId,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(Store::memory(), Limits::default())
    }

    pub(crate) fn with(store: Store, limits: Limits) -> Self {
        let clock = Arc::new(MockClock::default());
        let devices = Devices::new(store.clone(), clock.clone(), limits);
        Self {
            devices,
            store,
            clock,
        }
    }

    /// Users with one device each, `DEVICE`.
    pub(crate) async fn people<const N: usize>(&self, names: [&str; N]) -> [Person; N] {
        let mut number = 0;
        let people = names.map(|name| {
            number += 1;
            let id = OwnedUserId::try_from(format!("@{name}:house")).expect("a user id");
            Person {
                number: UserNumber(number),
                id,
            }
        });
        for person in &people {
            self.log_in(person, "DEVICE").await;
        }
        people
    }

    pub(crate) async fn log_in(&self, person: &Person, device: &str) {
        let user = person.number;
        self.change(move |txn| async move {
            let row = Device {
                display_name: Some(format!("{device}'s name")),
                created: 0,
            };
            devices::create(&txn, user, device, &row).await
        })
        .await;
    }

    pub(crate) async fn log_out(&self, person: &Person, device: &str) {
        let user = person.number;
        self.change(move |txn| async move { devices::delete(&txn, user, device).await })
            .await;
    }

    pub(crate) async fn change<F>(&self, body: impl Fn(Txn) -> F)
    where
        F: Future<Output = Result<(), StoreError>> + Send,
    {
        self.store
            .transact(body)
            .await
            .expect("the commit succeeds");
    }

    pub(crate) async fn db(&self) -> Snapshot {
        self.store.snapshot().await.expect("a snapshot")
    }

    pub(crate) async fn now(&self) -> Stamp {
        self.db().await.stamp()
    }

    /// Publishes the identity keys of a seed.
    pub(crate) async fn publish(&self, person: &Person, device: &str, seed: u8) {
        let upload = KeyUpload {
            device_keys: Some(device_keys(person, device, seed)),
            ..none()
        };
        self.upload(person, device, &upload).await;
    }

    pub(crate) async fn upload(&self, person: &Person, device: &str, upload: &KeyUpload) {
        self.devices
            .upload_keys(person.number, &person.id, device, upload)
            .await
            .expect("the upload is taken");
    }

    pub(crate) async fn query(&self, reader: &Person, owner: &Person) -> UserKeys {
        let reader = Reader {
            user: reader.number,
            user_id: reader.id.as_str(),
        };
        let owner = Reader {
            user: owner.number,
            user_id: owner.id.as_str(),
        };
        devices::keys::query(&self.db().await, reader, owner, &[])
            .await
            .expect("the query")
    }

    /// The number of rows of the user, in all tables.
    pub(crate) async fn is_clean(&self, person: &Person) -> bool {
        use devices::{keys, to_device};

        let (db, user) = (self.db().await, person.number);
        let empty = "the read succeeds";
        db.page(keys::DEVICE_KEYS.under(user), 1)
            .await
            .expect(empty)
            .is_empty()
            && db
                .page(keys::ONE_TIME_KEYS.under(user), 1)
                .await
                .expect(empty)
                .is_empty()
            && db
                .page(keys::ONE_TIME_KEY_IDS.under(user), 1)
                .await
                .expect(empty)
                .is_empty()
            && db
                .page(keys::CLAIMED_KEYS.under(user), 1)
                .await
                .expect(empty)
                .is_empty()
            && db
                .page(keys::KEY_COUNTS.under(user), 1)
                .await
                .expect(empty)
                .is_empty()
            && db
                .page(keys::FALLBACK_KEYS.under(user), 1)
                .await
                .expect(empty)
                .is_empty()
            && db
                .page(to_device::INBOX.under(user), 1)
                .await
                .expect(empty)
                .is_empty()
            && db
                .page(to_device::SENT_MESSAGES.under(user), 1)
                .await
                .expect(empty)
                .is_empty()
            && db
                .page(devices::DEVICES.under(user), 1)
                .await
                .expect(empty)
                .is_empty()
    }
}

pub(crate) fn none() -> KeyUpload {
    KeyUpload::default()
}

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The public key of a seed in unpadded Base64.
pub(crate) fn public(seed: u8) -> String {
    STANDARD_NO_PAD.encode(signing_key(seed).verifying_key().as_bytes())
}

/// Adds the signature of `seed`, named `by`, to a JSON object.
pub(crate) fn sign(mut object: Value, user: &Person, by: &str, seed: u8) -> Value {
    let mut signed = object.clone();
    let fields = signed.as_object_mut().expect("an object");
    fields.remove("signatures");
    fields.remove("unsigned");
    let canonical: ruma::CanonicalJsonValue = signed.try_into().expect("canonical JSON");
    let signature = signing_key(seed).sign(canonical.to_string().as_bytes());
    let signature = STANDARD_NO_PAD.encode(signature.to_bytes());
    object["signatures"][user.id.as_str()][format!("ed25519:{by}")] = signature.into();
    object
}

pub(crate) fn device_json(person: &Person, device: &str, seed: u8) -> Value {
    let keys = json!({
        "user_id": person.id,
        "device_id": device,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {
            format!("ed25519:{device}"): public(seed),
            format!("curve25519:{device}"): public(seed),
        },
    });
    sign(keys, person, device, seed)
}

pub(crate) fn device_keys(person: &Person, device: &str, seed: u8) -> DeviceKeys {
    let json = device_json(person, device, seed).to_string();
    DeviceKeys::parse(&json, &person.id, device).expect("good keys")
}

/// A cross-signing key that is not signed.
pub(crate) fn cross_json(person: &Person, usage: &str, seed: u8) -> Value {
    let key = public(seed);
    json!({ "user_id": person.id, "usage": [usage], "keys": { format!("ed25519:{key}"): key } })
}

pub(crate) fn cross_key(person: &Person, json: &Value, usage: Usage) -> CrossSigningKey {
    CrossSigningKey::parse(&json.to_string(), &person.id, usage).expect("a good key")
}

/// One-time keys with these names; the content is different for each.
pub(crate) fn one_time_keys(names: impl IntoIterator<Item = u32>) -> Vec<OneTimeKey> {
    let keys = names.into_iter().map(|name| {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&name.to_be_bytes());
        let json = json!({
            "key": STANDARD_NO_PAD.encode(bytes),
            "signatures": { "@a:house": { "ed25519:DEVICE": "unchecked" } },
        });
        let id = format!("signed_curve25519:{name}");
        OneTimeKey::parse(&id, &json.to_string()).expect("a good key")
    });
    keys.collect()
}
