//! `/keys/query`: the keys of a user, with the signatures that the reader may see ("Key and
//! signature security").
//!
//! Stored text is spliced, not parsed: a query for a room of thousands copies bytes.

use std::collections::{BTreeMap, HashMap};

use database::{Read, StoreError, UserNumber};

use super::{
    shape::Usage,
    tables::{CROSS_SIGNING_KEYS, CrossSigningKeyRow, DEVICE_KEYS, DeviceKeysRow, KEY_SIGNATURES},
};
use crate::tables::DEVICES;

/// A user who reads keys, or whose keys are read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub user: UserNumber,
    pub user_id: &'a str,
}

/// All keys of a user that a reader may see, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserKeys {
    /// Identity keys by device id.
    pub devices: Vec<(String, String)>,
    pub master: Option<String>,
    pub self_signing: Option<String>,
    /// Visible to its owner only.
    pub user_signing: Option<String>,
}

/// Signatures that were uploaded after the key, by signed key: (user id, signing key, signature).
type Added<'a> = HashMap<String, Vec<(&'a str, String, String)>>;

/// Whether a user has a cross-signing key of this id.
pub(crate) async fn is_cross_signing_key(
    db: &impl Read,
    user: UserNumber,
    id: &str,
) -> Result<bool, StoreError> {
    let keys = db.page(CROSS_SIGNING_KEYS.under(user), 3).await?;
    Ok(keys.iter().any(|(_, key)| key.public_key == id))
}

/// The keys of `owner` as `reader` sees them: of these devices, or of all if the list is empty.
pub async fn query(
    db: &impl Read,
    reader: Reader<'_>,
    owner: Reader<'_>,
    devices: &[&str],
) -> Result<UserKeys, StoreError> {
    let mut keys = UserKeys::default();
    let added = added(db, reader, owner).await?;
    for (device, row, name) in device_rows(db, owner.user, devices).await? {
        let json = device_json(owner.user_id, &row, added.get(&device), name.as_deref());
        keys.devices.push((device, json));
    }
    for ((_, usage), row) in db.page(CROSS_SIGNING_KEYS.under(owner.user), 3).await? {
        let json = cross_signing_json(owner.user_id, &row, added.get(&row.public_key));
        if usage == Usage::Master as u8 {
            keys.master = Some(json);
        } else if usage == Usage::SelfSigning as u8 {
            keys.self_signing = Some(json);
        } else if reader.user == owner.user {
            keys.user_signing = Some(json);
        }
    }
    Ok(keys)
}

/// The owner's signatures are visible to everyone, those of others only to the signer.
async fn added<'a>(
    db: &impl Read,
    reader: Reader<'a>,
    owner: Reader<'a>,
) -> Result<Added<'a>, StoreError> {
    let mut added = Added::new();
    let mut signers = vec![owner];
    if reader.user != owner.user {
        signers.push(reader);
    }
    for signer in signers {
        let rows = KEY_SIGNATURES.under((owner.user, signer.user));
        for ((_, _, key, by), signature) in db.page(rows, usize::MAX).await? {
            added
                .entry(key)
                .or_default()
                .push((signer.user_id, by, signature));
        }
    }
    Ok(added)
}

async fn device_rows(
    db: &impl Read,
    owner: UserNumber,
    devices: &[&str],
) -> Result<Vec<(String, DeviceKeysRow, Option<String>)>, StoreError> {
    let rows: Vec<(String, DeviceKeysRow)> = if devices.is_empty() {
        let all = db.page(DEVICE_KEYS.under(owner), usize::MAX).await?;
        all.into_iter()
            .map(|((_, device), row)| (device, row))
            .collect()
    } else {
        let asked = devices
            .iter()
            .map(|device| DEVICE_KEYS.at((owner, device)))
            .collect();
        let found = devices.iter().zip(db.get_many(asked).await?);
        found
            .filter_map(|(device, row)| Some(((*device).to_owned(), row?)))
            .collect()
    };
    let named = rows
        .iter()
        .map(|(device, _)| DEVICES.at((owner, device)))
        .collect();
    let named = db.get_many(named).await?;
    let rows = rows.into_iter().zip(named);
    Ok(rows
        .map(|((id, row), device)| (id, row, device.and_then(|device| device.display_name)))
        .collect())
}

fn device_json(
    owner: &str,
    row: &DeviceKeysRow,
    added: Option<&Vec<(&str, String, String)>>,
    name: Option<&str>,
) -> String {
    let signatures = merged(owner, &row.signatures, added);
    let mut json = open(&row.signed);
    json.push_str(",\"signatures\":");
    json.push_str(&signatures);
    if let Some(name) = name {
        json.push_str(",\"unsigned\":{\"device_display_name\":");
        json.push_str(&quoted(name));
        json.push('}');
    }
    json.push('}');
    json
}

fn cross_signing_json(
    owner: &str,
    row: &CrossSigningKeyRow,
    added: Option<&Vec<(&str, String, String)>>,
) -> String {
    let signatures = merged(owner, &row.signatures, added);
    let mut json = open(&row.signed);
    if signatures != "{}" {
        json.push_str(",\"signatures\":");
        json.push_str(&signatures);
    }
    json.push('}');
    json
}

fn merged(
    owner: &str,
    own: &BTreeMap<String, String>,
    added: Option<&Vec<(&str, String, String)>>,
) -> String {
    let mut users: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (by, signature) in own {
        users.entry(owner).or_default().insert(by, signature);
    }
    for (user, by, signature) in added.into_iter().flatten() {
        users.entry(user).or_default().insert(by, signature);
    }
    serde_json::to_string(&users).expect("maps of strings always serialize")
}

/// The object without its closing brace. It is never empty, because it names its owner.
fn open(signed: &str) -> String {
    let mut json = String::with_capacity(signed.len() + 256);
    json.push_str(signed.strip_suffix('}').unwrap_or(signed));
    json
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("strings always serialize")
}
