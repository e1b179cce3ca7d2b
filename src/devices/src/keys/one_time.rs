//! Storing one-time and fallback keys.
//!
//! A one-time key is returned once, even if its owner uploads it again: ids of claimed keys are
//! stored for a while, so an upload that is repeated after a lost response does not restore a key
//! that was claimed in the meantime.

use database::{
    Read, StoreError, Txn, UserNumber,
    server_log::{self, Concern},
};
use sha2::{Digest as _, Sha256};

use super::{
    error::KeyError,
    shape::OneTimeKey,
    tables::{
        CLAIMED_KEYS, FALLBACK_KEYS, FallbackKeyRow, KEY_COUNTS, KeyCountsRow, ONE_TIME_KEY_IDS,
        ONE_TIME_KEYS, OneTimeKeyIdRow, OneTimeKeyRow,
    },
};
use crate::state::MOST_ALGORITHMS;

pub(super) async fn put_one_time_keys(
    txn: &Txn,
    user: UserNumber,
    device: &str,
    keys: &[OneTimeKey],
    most: u64,
) -> Result<KeyCountsRow, KeyError> {
    let mut counts = txn
        .get(KEY_COUNTS.at((user, device)))
        .await?
        .unwrap_or_default();
    let ids = keys
        .iter()
        .map(|key| ONE_TIME_KEY_IDS.at((user, device, &key.id)))
        .collect();
    let known = txn.get_many(ids).await?;
    let mut is_changed = false;
    for (key, known) in keys.iter().zip(known) {
        let digest: [u8; 32] = Sha256::digest(&key.json).into();
        match known {
            Some(known) if known.digest == digest => continue,
            Some(known) if !known.is_claimed => return Err(KeyError::IdInUse(key.id.clone())),
            Some(_) | None => {}
        }
        let row = OneTimeKeyRow {
            id: key.id.clone(),
            json: key.json.clone(),
        };
        txn.append(
            ONE_TIME_KEYS.end((user, device, key.algorithm())),
            txn.slot(),
            &row,
        );
        let id = OneTimeKeyIdRow {
            digest,
            is_claimed: false,
        };
        txn.put(ONE_TIME_KEY_IDS.at((user, device, &key.id)), &id);
        *counts
            .unclaimed
            .entry(key.algorithm().to_owned())
            .or_default() += 1;
        is_changed = true;
    }
    if is_changed {
        if counts.unclaimed.len() > MOST_ALGORITHMS || counts.unclaimed.values().sum::<u64>() > most
        {
            return Err(KeyError::TooLarge("one-time keys of one device"));
        }
        txn.put(KEY_COUNTS.at((user, device)), &counts);
        server_log::tell(txn, txn.slot(), Concern::User(user));
    }
    Ok(counts)
}

/// One key per algorithm. A new one replaces the old one and is unused.
pub(super) async fn put_fallback_keys(
    txn: &Txn,
    user: UserNumber,
    device: &str,
    keys: &[OneTimeKey],
) -> Result<(), KeyError> {
    for key in keys {
        let row = FALLBACK_KEYS.at((user, device, key.algorithm()));
        let old = txn.get(row.clone()).await?;
        if old.is_some_and(|old| old.id == key.id && old.json == key.json) {
            continue; // a repeated upload; it may have been used since
        }
        let new = FallbackKeyRow {
            id: key.id.clone(),
            json: key.json.clone(),
            is_used: false,
        };
        txn.put(row, &new);
        server_log::tell(txn, txn.slot(), Concern::User(user));
    }
    let stored = FALLBACK_KEYS.under((user, device));
    if keys.len() > 1 && txn.page(stored, MOST_ALGORITHMS + 1).await?.len() > MOST_ALGORITHMS {
        return Err(KeyError::TooLarge("fallback keys of one device"));
    }
    Ok(())
}

/// Claimed ids of a device that are stored.
const REMEMBERED: u64 = 1_000;

/// Stores the id of a claimed key, and deletes the oldest one.
pub(super) async fn remember_claim(
    txn: &Txn,
    user: UserNumber,
    device: &str,
    key: &OneTimeKeyRow,
    counts: &mut KeyCountsRow,
) -> Result<(), StoreError> {
    let id = OneTimeKeyIdRow {
        digest: Sha256::digest(&key.json).into(),
        is_claimed: true,
    };
    txn.put(ONE_TIME_KEY_IDS.at((user, device, &key.id)), &id);
    txn.append(CLAIMED_KEYS.end((user, device)), txn.slot(), &key.id);
    counts.claimed += 1;
    if counts.claimed <= REMEMBERED {
        return Ok(());
    }
    for ((_, _, position), id) in txn.page(CLAIMED_KEYS.under((user, device)), 1).await? {
        txn.delete(CLAIMED_KEYS.at((user, device, position)));
        counts.claimed -= 1;
        let row = ONE_TIME_KEY_IDS.at((user, device, &id));
        if txn
            .get(row.clone())
            .await?
            .is_some_and(|row| row.is_claimed)
        {
            txn.delete(row);
        }
    }
    Ok(())
}
