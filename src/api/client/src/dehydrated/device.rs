//! `GET`, `PUT`, `DELETE /dehydrated_device`: MSC3814, "Dehydrating a device" and "Rehydrating a device".

use ::devices::{
    Devices,
    dehydrated::{self, NewDehydrated},
    keys::{DeviceKeys, KeyUpload},
};
use edge::{ApiError, Call, State};
use ruma::{
    api::client::dehydrated_device::{
        delete_dehydrated_device, get_dehydrated_device, put_dehydrated_device,
    },
    serde::Raw,
};
use users::Users;

use super::none;
use crate::keys::{one_time_keys, refuse};

/// The longest device id.
const LONGEST: usize = 255;

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<get_dehydrated_device::unstable::Request>,
) -> Result<get_dehydrated_device::unstable::Response, ApiError> {
    let db = users.snapshot().await?;
    let row = dehydrated::get(&db, call.caller.number)
        .await?
        .ok_or_else(none)?;
    let data = Raw::from_json_string(row.data).map_err(ApiError::internal)?;
    Ok(get_dehydrated_device::unstable::Response::new(
        row.device.into(),
        data,
    ))
}

pub(crate) async fn put(
    State(devices): State<Devices>,
    call: Call<put_dehydrated_device::unstable::Request>,
) -> Result<put_dehydrated_device::unstable::Response, ApiError> {
    let put_dehydrated_device::unstable::Request {
        device_id,
        initial_device_display_name,
        device_data,
        device_keys,
        one_time_keys: one_time,
        fallback_keys: fallback,
        ..
    } = call.request;
    let (user, user_id) = (call.caller.number, &call.caller.user_id);
    let device = device_id.as_str();
    if device.is_empty() || device.len() > LONGEST {
        return Err(ApiError::invalid_param("This is no device id"));
    }
    if !device_data.json().get().starts_with('{') {
        return Err(ApiError::bad_json("device_data must be an object"));
    }
    let device_keys = DeviceKeys::parse(device_keys.json().get(), user_id, device);
    let keys = KeyUpload {
        device_keys: Some(device_keys.map_err(refuse)?),
        one_time_keys: one_time_keys(&one_time)?,
        fallback_keys: one_time_keys(&fallback)?,
    };
    let new = NewDehydrated {
        device,
        data: device_data.json().get(),
        display_name: initial_device_display_name,
        keys: &keys,
    };
    devices
        .dehydrate(user, user_id, &new)
        .await
        .map_err(refuse)?;
    Ok(put_dehydrated_device::unstable::Response::new(device_id))
}

pub(crate) async fn delete(
    State(devices): State<Devices>,
    call: Call<delete_dehydrated_device::unstable::Request>,
) -> Result<delete_dehydrated_device::unstable::Response, ApiError> {
    let device = devices
        .delete_dehydrated(call.caller.number)
        .await?
        .ok_or_else(none)?;
    Ok(delete_dehydrated_device::unstable::Response::new(
        device.into(),
    ))
}
