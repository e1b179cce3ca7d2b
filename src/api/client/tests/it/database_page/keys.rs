//! Keys of devices and people, made from seeds.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use ruma::CanonicalJsonValue;
use serde_json::{Value, json};

use crate::person::User;

/// A key pair with the name that its signatures bear.
pub(crate) struct Signing {
    key: SigningKey,
}

impl Signing {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            key: SigningKey::from_bytes(&[seed; 32]),
        }
    }

    /// In unpadded Base64.
    pub(crate) fn public(&self) -> String {
        STANDARD_NO_PAD.encode(self.key.verifying_key().as_bytes())
    }

    /// Adds this key's signature, under `name`, to an object.
    pub(crate) fn sign(&self, mut object: Value, user: &User, name: &str) -> Value {
        let mut signed = object.clone();
        let fields = signed.as_object_mut().expect("an object");
        fields.remove("signatures");
        let canonical: CanonicalJsonValue = signed.try_into().expect("canonical JSON");
        let signature = self.key.sign(canonical.to_string().as_bytes());
        object["signatures"][&user.user_id][format!("ed25519:{name}")] =
            STANDARD_NO_PAD.encode(signature.to_bytes()).into();
        object
    }
}

/// The identity keys of a device.
pub(crate) fn device_keys(user: &User, device: &str, seed: u8) -> Value {
    let signing = Signing::new(seed);
    let keys = json!({
        "user_id": user.user_id,
        "device_id": device,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {
            format!("ed25519:{device}"): signing.public(),
            format!("curve25519:{device}"): signing.public(),
        },
    });
    signing.sign(keys, user, device)
}

/// A one-time or fallback key.
pub(super) fn signed_curve(user: &User, seed: u8) -> Value {
    let signing = Signing::new(seed);
    signing.sign(json!({ "key": signing.public() }), user, &user.device_id)
}

/// The three cross-signing keys as `/keys/device_signing/upload` takes them, of the seeds from `seed`.
pub(crate) fn cross_signing(user: &User, seed: u8) -> Value {
    let master = Signing::new(seed);
    let key = |usage: &str, seed: u8| {
        let public = Signing::new(seed).public();
        json!({
            "user_id": user.user_id,
            "usage": [usage],
            "keys": { format!("ed25519:{public}"): public },
        })
    };
    let signed = |usage, seed| master.sign(key(usage, seed), user, &master.public());
    json!({
        "master_key": key("master", seed),
        "self_signing_key": signed("self_signing", seed + 1),
        "user_signing_key": signed("user_signing", seed + 2),
    })
}
