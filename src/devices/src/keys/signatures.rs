//! `/keys/signatures/upload`: signatures on published keys.
//!
//! Accepts only signatures of a user's self-signing key on their own devices, of a user's own
//! devices on their master key, and of a user's user-signing key on another user's master key. Each
//! is verified against the published keys before it is stored.

use database::{Read, StoreError, Txn, UserNumber};
use ruma::UserId;

use super::{
    error::KeyError,
    shape::{ED25519, SignedObject, Usage},
    signing::is_signed,
    tables::{CROSS_SIGNING_KEYS, CrossSigningKeyRow, DEVICE_KEYS, KEY_SIGNATURES},
};
use crate::{device_lists, handle::Devices};

/// One key with new signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedKey {
    /// The owner of the key.
    pub owner: UserNumber,
    /// Device id or public master key.
    pub key: String,
    pub object: SignedObject,
}

/// A signature that was verified.
struct Verified {
    by: String,
    signature: String,
}

impl Devices {
    /// Stores valid signatures. Returns the result for each key, in order.
    pub async fn upload_signatures(
        &self,
        signer: UserNumber,
        signer_id: &UserId,
        keys: &[SignedKey],
    ) -> Result<Vec<Result<(), KeyError>>, StoreError> {
        let body = move |txn: Txn| async move {
            let mut outcomes = Vec::with_capacity(keys.len());
            for key in keys {
                outcomes.push(match add(&txn, signer, signer_id, key).await {
                    Err(KeyError::Store(error)) => return Err(error),
                    outcome => outcome,
                });
            }
            Ok(outcomes)
        };
        Ok(self.0.store.transact(body).await?.0)
    }
}

async fn add(
    txn: &Txn,
    signer: UserNumber,
    signer_id: &UserId,
    key: &SignedKey,
) -> Result<(), KeyError> {
    let verified = if key.owner == signer {
        verify_own(txn, signer, signer_id, key).await?
    } else {
        verify_others(txn, signer, signer_id, key).await?
    };
    let mut is_changed = false;
    for Verified { by, signature } in verified {
        let row = KEY_SIGNATURES.at((key.owner, signer, &key.key, &by));
        if txn.get(row.clone()).await?.as_ref() != Some(&signature) {
            txn.put(row, &signature);
            is_changed = true;
        }
    }
    if is_changed && key.owner == signer {
        device_lists::change(txn, signer).await?;
    } else if is_changed {
        device_lists::sign(txn, signer, key.owner).await?;
    }
    Ok(())
}

/// A device by the self-signing key, or the master key by devices.
async fn verify_own(
    txn: &Txn,
    user: UserNumber,
    user_id: &UserId,
    key: &SignedKey,
) -> Result<Vec<Verified>, KeyError> {
    if let Some(device) = txn.get(DEVICE_KEYS.at((user, &key.key))).await? {
        if device.signed != key.object.signed {
            return Err(KeyError::UnknownKey);
        }
        let signing = require(txn, user, Usage::SelfSigning).await?;
        return Ok(vec![verify(key, user_id, &signing.public_key)?]);
    }
    require_master(txn, key).await?;
    let mut verified = Vec::new();
    for (by, signature) in key.object.signatures_of(user_id.as_str()) {
        let device = by.strip_prefix("ed25519:").unwrap_or_default();
        let Some(device) = txn.get(DEVICE_KEYS.at((user, device))).await? else {
            continue;
        };
        if !is_signed(&key.object.signed, &device.ed25519, &signature) {
            return Err(KeyError::InvalidSignature);
        }
        verified.push(Verified { by, signature });
    }
    if verified.is_empty() {
        Err(KeyError::InvalidSignature)
    } else {
        Ok(verified)
    }
}

/// Another user's master key by the user-signing key.
async fn verify_others(
    txn: &Txn,
    signer: UserNumber,
    signer_id: &UserId,
    key: &SignedKey,
) -> Result<Vec<Verified>, KeyError> {
    require_master(txn, key).await?;
    let signing = require(txn, signer, Usage::UserSigning).await?;
    Ok(vec![verify(key, signer_id, &signing.public_key)?])
}

fn verify(key: &SignedKey, signer_id: &UserId, public_key: &str) -> Result<Verified, KeyError> {
    let by = format!("{ED25519}:{public_key}");
    let signatures = key.object.signatures.get(signer_id.as_str());
    let signature = signatures.and_then(|signatures| signatures.get(&by));
    match signature {
        Some(signature) if is_signed(&key.object.signed, public_key, signature) => Ok(Verified {
            by,
            signature: signature.clone(),
        }),
        Some(_) | None => Err(KeyError::InvalidSignature),
    }
}

/// The signed object is the published master key of its owner.
async fn require_master(txn: &Txn, key: &SignedKey) -> Result<(), KeyError> {
    let master = CROSS_SIGNING_KEYS.at((key.owner, Usage::Master as u8));
    match txn.get(master).await? {
        Some(master) if master.public_key == key.key && master.signed == key.object.signed => {
            Ok(())
        }
        Some(_) | None => Err(KeyError::UnknownKey),
    }
}

async fn require(
    txn: &Txn,
    user: UserNumber,
    usage: Usage,
) -> Result<CrossSigningKeyRow, KeyError> {
    let key = txn.get(CROSS_SIGNING_KEYS.at((user, usage as u8))).await?;
    key.ok_or(KeyError::InvalidSignature)
}
