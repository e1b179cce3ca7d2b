//! A public key of another server, and what it may check.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use database::Millis;
use ed25519_dalek::{Signature, VerifyingKey};
use ruma::room_version_rules::RoomVersionRules;

use crate::tables::ServerKeyRow;

/// However far in the future `valid_until_ts` is: a stolen key must not be valid for years.
pub(super) const LONGEST_VALIDITY: Duration = Duration::from_hours(7 * 24);

/// Public keys whose private keys are known to others than their servers: that of a deployment tool which gave the same
/// key to everybody (GHSA-qwcj-h6m8-vp6q), that of the examples in the specification's appendices ("Cryptographic Test
/// Vectors"), and that of an all-zero seed.
const KNOWN_PRIVATE_KEYS: [&str; 3] = [
    "l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og",
    "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI",
    "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik",
];

/// A key of another server.
#[derive(Clone, Debug)]
pub struct ServerKey {
    public: VerifyingKey,
    valid_until: Millis,
    expired: Option<Millis>,
}

impl ServerKey {
    pub(super) fn new(public: VerifyingKey, valid_until: Millis, expired: Option<Millis>) -> Self {
        Self {
            public,
            valid_until,
            expired,
        }
    }

    /// `None` where the stored key is not one that may be used.
    pub(super) fn of(row: &ServerKeyRow) -> Option<Self> {
        let public = public_key(&row.public)?;
        Some(Self::new(
            public,
            Millis(row.valid_until),
            row.expired.map(Millis),
        ))
    }

    /// Whether it may have signed an event with this `origin_server_ts`, in rooms whose version has a say in that.
    pub fn is_valid_for_event(&self, at: Millis, rules: &RoomVersionRules) -> bool {
        !rules.enforce_key_validity || self.covers(at)
    }

    /// Whether it may sign requests. Keys that were replaced only check events.
    pub fn is_valid_for_requests(&self, now: Millis) -> bool {
        self.expired.is_none() && now <= self.valid_until
    }

    /// The strict check: no weak keys, no malleable signatures.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.public.verify_strict(message, &signature).is_ok()
    }

    pub(super) fn covers(&self, at: Millis) -> bool {
        at <= self.expired.unwrap_or(self.valid_until)
    }

    /// Whether the server itself has ended the key, so that fetching it again changes nothing.
    pub fn is_expired(&self) -> bool {
        self.expired.is_some()
    }

    /// The public key itself.
    pub fn public(&self) -> [u8; 32] {
        self.public.to_bytes()
    }
}

/// `None` for what is not a point of the curve, for points of small order, with which anybody could sign, and for keys
/// whose private half is known to others.
pub(crate) fn public_key(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    let key = VerifyingKey::from_bytes(bytes).ok()?;
    let is_bad =
        key.is_weak() || KNOWN_PRIVATE_KEYS.contains(&STANDARD_NO_PAD.encode(bytes).as_str());
    (!is_bad).then_some(key)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use ruma::RoomVersionId;

    use super::*;

    #[test]
    fn keys_that_others_can_sign_with_are_refused() {
        let usual = SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes();
        assert!(public_key(&usual).is_some());
        let zero = SigningKey::from_bytes(&[0; 32]).verifying_key().to_bytes();
        assert!(public_key(&zero).is_none());
        for text in KNOWN_PRIVATE_KEYS {
            let bytes = STANDARD_NO_PAD.decode(text).expect("it is Base64");
            assert!(public_key(&bytes.try_into().expect("32 bytes")).is_none());
        }
        // The neutral element, and another point of small order.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert!(public_key(&neutral).is_none());
        assert!(public_key(&[0; 32]).is_none());
    }

    #[test]
    fn the_room_version_decides_whether_time_counts() {
        let public = SigningKey::from_bytes(&[9; 32]).verifying_key();
        let current = ServerKey::new(public, Millis(100), None);
        let expired = ServerKey::new(public, Millis(100), Some(Millis(50)));
        let old = RoomVersionId::V4.rules().expect("a known version");
        let new = RoomVersionId::V5.rules().expect("a known version");
        assert!(current.is_valid_for_event(Millis(100), &new));
        assert!(!current.is_valid_for_event(Millis(101), &new));
        assert!(current.is_valid_for_event(Millis(101), &old));
        assert!(expired.is_valid_for_event(Millis(50), &new));
        assert!(!expired.is_valid_for_event(Millis(51), &new));
        assert!(current.is_valid_for_requests(Millis(100)));
        assert!(!current.is_valid_for_requests(Millis(101)));
        assert!(!expired.is_valid_for_requests(Millis(1)));
    }
}
