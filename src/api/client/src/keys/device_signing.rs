//! `POST /keys/device_signing/upload`: client-server API, "Cross-signing".
//!
//! The password is asked for only where other keys are replaced or added to: not for the first upload, nor for one that
//! changes nothing.

use ::devices::{
    Devices,
    keys::{Authorization, CrossSigningKey, CrossSigningUpload, KeyError, Usage},
};
use edge::{ApiError, Call, State, User};
use ruma::{
    api::client::keys::upload_signing_keys::v3::{Request, Response},
    encryption,
    serde::Raw,
};
use users::{Operation, PASSWORD_FLOWS, Users};

use crate::{interactive, keys::refuse};

pub(crate) async fn upload(
    State(users): State<Users>,
    State(devices): State<Devices>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    interactive::charge(&call, call.request.auth.as_ref())?;
    let Call {
        caller, request, ..
    } = call;
    let key =
        |key: &Option<Raw<encryption::CrossSigningKey>>, usage| parse(&caller, key.as_ref(), usage);
    let upload = CrossSigningUpload {
        master: key(&request.master_key, Usage::Master)?,
        self_signing: key(&request.self_signing_key, Usage::SelfSigning)?,
        user_signing: key(&request.user_signing_key, Usage::UserSigning)?,
    };
    let (user, user_id) = (caller.number, &caller.user_id);
    let stored = devices
        .upload_cross_signing_keys(user, user_id, &upload, Authorization::Missing)
        .await;
    match stored {
        Err(KeyError::NotAuthorized) => {}
        outcome => return outcome.map(|()| Response::new()).map_err(refuse),
    }
    let given = [&upload.master, &upload.self_signing, &upload.user_signing];
    let names = given.map(|key| key.as_ref().map_or("", CrossSigningKey::public_key));
    let operation = Operation::new("device_signing_upload", Some(user), &names);
    let attempt = interactive::attempt(request.auth);
    users
        .authorize(operation, Some(user), PASSWORD_FLOWS, attempt)
        .await
        .map_err(interactive::refuse)?;
    devices
        .upload_cross_signing_keys(user, user_id, &upload, Authorization::Proved)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}

fn parse(
    caller: &User,
    key: Option<&Raw<encryption::CrossSigningKey>>,
    usage: Usage,
) -> Result<Option<CrossSigningKey>, ApiError> {
    let Some(key) = key else { return Ok(None) };
    CrossSigningKey::parse(key.json().get(), &caller.user_id, usage)
        .map(Some)
        .map_err(refuse)
}
