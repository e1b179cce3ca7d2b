//! `POST /keys/upload`: client-server API, "Uploading keys".

use std::collections::BTreeMap;

use ::devices::{
    Devices,
    keys::{DeviceKeys, KeyError, KeyUpload, OneTimeKey},
};
use edge::{ApiError, Call, Json, State};
use http::StatusCode;
use ruma::{
    OwnedOneTimeKeyId, api::client::keys::upload_keys::v3::Request, encryption, serde::Raw,
};
use serde::Serialize;

use super::check_count;

#[derive(Serialize)]
pub(crate) struct Response {
    one_time_key_counts: BTreeMap<String, u64>,
}

pub(crate) async fn upload(
    State(devices): State<Devices>,
    call: Call<Request>,
) -> Result<Json<Response>, ApiError> {
    let Call {
        caller, request, ..
    } = call;
    let device = caller.device_id.as_str();
    let device_keys = request
        .device_keys
        .map(|keys| DeviceKeys::parse(keys.json().get(), &caller.user_id, device))
        .transpose()
        .map_err(refuse)?;
    let upload = KeyUpload {
        device_keys,
        one_time_keys: one_time_keys(&request.one_time_keys)?,
        fallback_keys: one_time_keys(&request.fallback_keys)?,
    };
    let counts = devices
        .upload_keys(caller.number, &caller.user_id, device, &upload)
        .await;
    let one_time_key_counts = counts.map_err(refuse)?;
    Ok(Json(Response {
        one_time_key_counts,
    }))
}

/// All of them in good shape, or none.
pub(crate) fn one_time_keys(
    keys: &BTreeMap<OwnedOneTimeKeyId, Raw<encryption::OneTimeKey>>,
) -> Result<Vec<OneTimeKey>, ApiError> {
    check_count(keys.len())?;
    let keys = keys
        .iter()
        .map(|(id, key)| OneTimeKey::parse(id.as_str(), key.json().get()));
    keys.collect::<Result<_, _>>().map_err(refuse)
}

pub(crate) fn refuse(error: KeyError) -> ApiError {
    let invalid = StatusCode::BAD_REQUEST;
    match error {
        KeyError::Shape(_) => ApiError::bad_json(error),
        KeyError::NoDevice => ApiError::unknown_token(false),
        KeyError::WrongOwner | KeyError::IdInUse(_) => ApiError::invalid_param(error),
        KeyError::TooLarge(_) => ApiError::too_large(error),
        KeyError::KeyIdInUse | KeyError::NotAuthorized => ApiError::forbidden(error),
        KeyError::NoMasterKey => ApiError::missing_param(error),
        KeyError::InvalidSignature => ApiError::new(invalid, "M_INVALID_SIGNATURE", error),
        KeyError::UnknownKey => ApiError::not_found(error),
        KeyError::Store(error) => error.into(),
    }
}
