//! `POST /keys/signatures/upload`: client-server API, "Cross-signing". Each signature stands or falls by itself.

use std::collections::BTreeMap;

use ::devices::{
    Devices,
    keys::{KeyError, SignedKey, SignedObject},
};
use edge::{ApiError, Call, Json, State};
use ruma::{OwnedUserId, api::client::keys::upload_signatures::v3::Request};
use serde::Serialize;
use tokio::task::yield_now;
use users::Users;

#[derive(Default, Serialize)]
pub(crate) struct Response {
    /// By user and signed key.
    failures: BTreeMap<OwnedUserId, BTreeMap<String, Failure>>,
}

#[derive(Serialize)]
struct Failure {
    errcode: &'static str,
    error: String,
}

/// A limit on what one transaction verifies.
const MAX_KEYS: usize = 1_000;

pub(crate) async fn upload(
    State(users): State<Users>,
    State(devices): State<Devices>,
    call: Call<Request>,
) -> Result<Json<Response>, ApiError> {
    let Call {
        caller, request, ..
    } = call;
    let count: usize = request
        .signed_keys
        .values()
        .map(|keys| keys.iter().count())
        .sum();
    if count > MAX_KEYS {
        return Err(ApiError::too_large("Too many signatures at once"));
    }
    let db = users.snapshot().await?;
    let mut response = Response::default();
    let mut owners = Vec::new();
    let mut keys = Vec::new();
    for (owner_id, signed) in &request.signed_keys {
        let owner = users.number(&db, owner_id).await?;
        for (key, json) in signed {
            // A thousand keys of 16 KiB each take longer than one turn on a worker.
            yield_now().await;
            match (owner, SignedObject::parse(json.get())) {
                (Some(owner), Ok(object)) => {
                    owners.push(owner_id);
                    keys.push(SignedKey {
                        owner,
                        key: key.to_owned(),
                        object,
                    });
                }
                (None, Ok(_)) => response.add(owner_id, key, KeyError::UnknownKey)?,
                (_, Err(error)) => response.add(owner_id, key, error)?,
            }
        }
    }
    let outcomes = devices
        .upload_signatures(caller.number, &caller.user_id, &keys)
        .await?;
    for ((owner_id, key), outcome) in owners.into_iter().zip(&keys).zip(outcomes) {
        if let Err(error) = outcome {
            response.add(owner_id, &key.key, error)?;
        }
    }
    Ok(Json(response))
}

impl Response {
    fn add(&mut self, owner: &OwnedUserId, key: &str, error: KeyError) -> Result<(), ApiError> {
        let errcode = match &error {
            KeyError::InvalidSignature => "M_INVALID_SIGNATURE",
            KeyError::UnknownKey => "M_NOT_FOUND",
            KeyError::Shape(_) => "M_BAD_JSON",
            _ => return Err(super::refuse(error)),
        };
        let failure = Failure {
            errcode,
            error: error.to_string(),
        };
        self.failures
            .entry(owner.clone())
            .or_default()
            .insert(key.to_owned(), failure);
        Ok(())
    }
}
