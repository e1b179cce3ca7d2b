//! `POST /keys/claim`: client-server API, "Key management".

use std::collections::BTreeMap;

use ::devices::{Devices, keys::Claim};
use edge::{ApiError, Call, Json, State};
use ruma::api::client::keys::claim_keys::v3::Request;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::coop::consume_budget;
use users::Users;

use super::check_count;

#[derive(Default, Serialize)]
pub(crate) struct Response {
    /// By user, device and key id. Devices without a key, and users without such devices, are left out.
    one_time_keys: BTreeMap<String, BTreeMap<String, BTreeMap<String, Box<RawValue>>>>,
    failures: BTreeMap<String, BTreeMap<String, String>>,
}

pub(crate) async fn claim(
    State(users): State<Users>,
    State(devices): State<Devices>,
    call: Call<Request>,
) -> Result<Json<Response>, ApiError> {
    let wanted = &call.request.one_time_keys;
    check_count(wanted.len() + wanted.values().map(BTreeMap::len).sum::<usize>())?;
    let db = users.snapshot().await?;
    let mut response = Response::default();
    let mut owners = Vec::new();
    let mut claims = Vec::new();
    for (owner, wanted) in call.request.one_time_keys {
        // Thousands of users are read from memory without waiting.
        consume_budget().await;
        if !users.is_local(&owner) {
            response
                .failures
                .entry(owner.server_name().to_string())
                .or_default();
            continue;
        }
        let Some(user) = users.number(&db, &owner).await? else {
            continue;
        };
        for (device, algorithm) in wanted {
            owners.push(owner.to_string());
            let algorithm = algorithm.as_str().to_owned();
            claims.push(Claim {
                user,
                device: device.to_string(),
                algorithm,
            });
        }
    }
    let keys = devices.claim_keys(&claims).await?;
    for ((owner, claim), key) in owners.into_iter().zip(claims).zip(keys) {
        let Some(key) = key else { continue };
        let json = RawValue::from_string(key.json).map_err(ApiError::internal)?;
        let devices = response.one_time_keys.entry(owner).or_default();
        devices
            .entry(claim.device)
            .or_default()
            .insert(key.id, json);
    }
    Ok(Json(response))
}
