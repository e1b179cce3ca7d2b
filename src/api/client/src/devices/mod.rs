//! Devices: client-server API, "Device Management".

mod delete;
mod get;
mod list;
mod rename;

use edge::{ApiError, Routes};
use ruma::{MilliSecondsSinceUnixEpoch, UInt, api::client::device::Device};

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(list::list_devices)
        .add(get::get)
        .add(rename::rename)
        .add(delete::delete)
        .add(delete::delete_many)
}

/// A device as its owner sees it.
fn shown(entry: ::devices::DeviceEntry) -> Device {
    let mut device = Device::new(entry.id.into());
    device.display_name = entry.device.display_name;
    if let Some(seen) = entry.last_seen {
        device.last_seen_ip = Some(seen.ip);
        device.last_seen_ts = UInt::new(seen.ts).map(MilliSecondsSinceUnixEpoch);
    }
    device
}

fn unknown() -> ApiError {
    ApiError::not_found("No such device")
}
