//! Verifies signatures of users: appendices of the spec, "Signing JSON".

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};

use super::shape::key_bytes;

/// Whether `signature` is one of `public_key` over `signed` (canonical JSON without `signatures`
/// and `unsigned`). An invalid key verifies nothing.
pub(crate) fn is_signed(signed: &str, public_key: &str, signature: &str) -> bool {
    let Some(key) = key_bytes(public_key) else {
        return false;
    };
    let Ok(key) = VerifyingKey::from_bytes(&key) else {
        return false;
    };
    let Ok(signature) = STANDARD_NO_PAD.decode(signature.trim_end_matches('=')) else {
        return false;
    };
    let Ok(signature) = Signature::from_slice(&signature) else {
        return false;
    };
    key.verify_strict(signed.as_bytes(), &signature).is_ok()
}
