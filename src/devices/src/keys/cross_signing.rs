//! `/keys/device_signing/upload`: the three keys with which users sign
//! devices and each other.

use std::collections::BTreeMap;

use database::{Read, StoreError, Txn, UserNumber};
use ruma::UserId;

use super::{
    error::KeyError,
    shape::{CrossSigningKey, ED25519, Usage},
    signing::is_signed,
    tables::{CROSS_SIGNING_KEYS, CrossSigningKeyRow, DEVICE_KEYS, KEY_SIGNATURES},
};
use crate::{device_lists, handle::Devices, tables::DEVICES};

/// Cross-signing keys that are published at once.
#[derive(Clone, Debug, Default)]
pub struct CrossSigningUpload {
    pub master: Option<CrossSigningKey>,
    pub self_signing: Option<CrossSigningKey>,
    pub user_signing: Option<CrossSigningKey>,
}

/// Whether the user has authenticated to replace keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    Missing,
    Proved,
}

/// The stored keys, by usage.
type Stored = BTreeMap<u8, CrossSigningKeyRow>;

impl Devices {
    /// Uploading the stored keys again has no effect and needs no authentication. The first upload
    /// of a user needs none either: authentication would not stop an attacker who is the first
    /// (MSC3967).
    pub async fn upload_cross_signing_keys(
        &self,
        user: UserNumber,
        user_id: &UserId,
        upload: &CrossSigningUpload,
        authorization: Authorization,
    ) -> Result<(), KeyError> {
        let given = upload.keys();
        if given
            .iter()
            .any(|(_, key)| key.object.bytes() > self.0.limits.key_bytes)
        {
            return Err(KeyError::TooLarge("key object"));
        }
        let given = &given;
        let body = move |txn: Txn| async move {
            let stored = txn.page(CROSS_SIGNING_KEYS.under(user), 3).await?;
            let stored: Stored = stored
                .into_iter()
                .map(|((_, usage), key)| (usage, key))
                .collect();
            let has_master = stored.contains_key(&(Usage::Master as u8));
            if has_master
                && given
                    .iter()
                    .all(|(usage, key)| is_stored(&stored, *usage, key))
            {
                return Ok(());
            }
            check(&txn, user, user_id, given, &stored).await?;
            if has_master && authorization == Authorization::Missing {
                return Err(KeyError::NotAuthorized);
            }
            put(&txn, user, user_id, given, &stored).await
        };
        self.0.store.transact(body).await.map(|((), _)| ())
    }
}

impl CrossSigningUpload {
    fn keys(&self) -> Vec<(Usage, &CrossSigningKey)> {
        let keys = [
            (Usage::Master, &self.master),
            (Usage::SelfSigning, &self.self_signing),
            (Usage::UserSigning, &self.user_signing),
        ];
        keys.into_iter()
            .filter_map(|(usage, key)| Some((usage, key.as_ref()?)))
            .collect()
    }
}

fn is_stored(stored: &Stored, usage: Usage, key: &CrossSigningKey) -> bool {
    stored
        .get(&(usage as u8))
        .is_some_and(|row| row.signed == key.object.signed)
}

/// The master key must have signed the others, and no key may be named like a device.
async fn check(
    txn: &Txn,
    user: UserNumber,
    user_id: &UserId,
    given: &[(Usage, &CrossSigningKey)],
    stored: &Stored,
) -> Result<(), KeyError> {
    let new_master = given.iter().find(|(usage, _)| *usage == Usage::Master);
    let master = match new_master {
        Some((_, key)) => &key.public_key,
        None => match stored.get(&(Usage::Master as u8)) {
            Some(row) => &row.public_key,
            None => return Err(KeyError::NoMasterKey),
        },
    };
    let by = format!("{ED25519}:{master}");
    for (usage, key) in given {
        if txn.exists(DEVICES.at((user, &key.public_key))).await? {
            return Err(KeyError::KeyIdInUse);
        }
        if *usage == Usage::Master {
            continue;
        }
        let signatures = key.object.signatures.get(user_id.as_str());
        let signature = signatures.and_then(|signatures| signatures.get(&by));
        if !signature.is_some_and(|signature| is_signed(&key.object.signed, master, signature)) {
            return Err(KeyError::InvalidSignature);
        }
    }
    Ok(())
}

async fn put(
    txn: &Txn,
    user: UserNumber,
    user_id: &UserId,
    given: &[(Usage, &CrossSigningKey)],
    stored: &Stored,
) -> Result<(), KeyError> {
    for (usage, key) in given {
        if is_stored(stored, *usage, key) {
            continue;
        }
        match usage {
            Usage::Master => {
                // Signatures on and by the old identity are void.
                txn.clear(KEY_SIGNATURES.under(user));
                txn.clear(CROSS_SIGNING_KEYS.under(user));
                let kept = given
                    .iter()
                    .filter(|(usage, key)| is_stored(stored, *usage, key));
                for (usage, key) in kept {
                    put_row(txn, user, user_id, *usage, key).await?;
                }
            }
            Usage::SelfSigning => {
                if let Some(old) = stored.get(&(Usage::SelfSigning as u8)) {
                    drop_signatures_by(txn, user, &old.public_key).await?;
                }
            }
            Usage::UserSigning => {}
        }
        put_row(txn, user, user_id, *usage, key).await?;
    }
    device_lists::change(txn, user).await?;
    Ok(())
}

/// Keeps the valid signatures in the upload: those of the master key on the others, and those of
/// the user's devices on the master key.
async fn put_row(
    txn: &Txn,
    user: UserNumber,
    user_id: &UserId,
    usage: Usage,
    key: &CrossSigningKey,
) -> Result<(), StoreError> {
    let mut signatures = key.object.signatures_of(user_id.as_str());
    if usage == Usage::Master {
        let mut good = BTreeMap::new();
        for (by, signature) in signatures {
            let device = by.strip_prefix("ed25519:").unwrap_or_default();
            let Some(keys) = txn.get(DEVICE_KEYS.at((user, device))).await? else {
                continue;
            };
            if is_signed(&key.object.signed, &keys.ed25519, &signature) {
                good.insert(by, signature);
            }
        }
        signatures = good;
    }
    let row = CrossSigningKeyRow {
        signed: key.object.signed.clone(),
        public_key: key.public_key.clone(),
        signatures,
    };
    txn.put(CROSS_SIGNING_KEYS.at((user, usage as u8)), &row);
    Ok(())
}

/// Deletes signatures of an old self-signing key on devices.
async fn drop_signatures_by(
    txn: &Txn,
    user: UserNumber,
    public_key: &str,
) -> Result<(), StoreError> {
    let by = format!("{ED25519}:{public_key}");
    let own = txn
        .page(KEY_SIGNATURES.under((user, user)), usize::MAX)
        .await?;
    for ((_, _, key, signed_by), _) in own {
        if signed_by == by {
            txn.delete(KEY_SIGNATURES.at((user, user, &key, &signed_by)));
        }
    }
    Ok(())
}
