//! The client-server API: one folder per module of the spec, one endpoint per file.
//!
//! [`routes`] is the list of all endpoints; each folder's `list` names its own. [`ClientApi`] is what their handlers may ask for.

mod account;
mod account_data;
mod admin_register;
mod dehydrated;
mod devices;
mod filters;
mod interactive;
mod key_backup;
mod keys;
mod media;
mod online;
mod openid;
mod path;
mod presence;
mod profile;
mod push_rules;
mod rooms;
mod server;
mod session;
mod sync;
mod third_party_networks;
mod to_device;
mod user_directory;
mod voip;

use edge::{FromRef, Routes};

pub use crate::{
    admin_register::AdminRegister,
    server::{ServerInfo, Support},
    voip::{Turn, TurnKey},
};

/// The parts of the house that endpoints call. Handles, all of them.
#[derive(Clone)]
pub struct ClientApi {
    pub users: ::users::Users,
    pub devices: ::devices::Devices,
    pub rooms: rooms_store::RoomStore,
    pub history: rooms_history::History,
    pub writer: rooms_writer::RoomWriter,
    pub directory: rooms_directory::RoomDirectory,
    pub remote: rooms_remote::RemoteRooms,
    pub media: ::media::Media,
    pub previews: ::media::Previews,
    pub push: ::push::Push,
    pub presence: ::presence::Presence,
    pub sync: ::sync::Sync,
    pub server: ServerInfo,
    pub admin_register: AdminRegister,
    /// `None` where the operator has no TURN servers.
    pub turn: Option<Turn>,
}

/// Every endpoint of the API.
pub fn routes(api: ClientApi) -> Routes<ClientApi> {
    let routes = Routes::new(api);
    let routes = server::list(routes);
    let routes = account::list(routes);
    let routes = session::list(routes);
    let routes = devices::list(routes);
    let routes = keys::list(routes);
    let routes = key_backup::list(routes);
    let routes = to_device::list(routes);
    let routes = dehydrated::list(routes);
    let routes = profile::list(routes);
    let routes = account_data::list(routes);
    let routes = filters::list(routes);
    let routes = push_rules::list(routes);
    let routes = rooms::list(routes);
    let routes = sync::list(routes);
    let routes = presence::list(routes);
    let routes = online::list(routes);
    let routes = user_directory::list(routes);
    let routes = voip::list(routes);
    let routes = media::list(routes);
    let routes = openid::list(routes);
    let routes = third_party_networks::list(routes);
    admin_register::list(routes)
}

/// Says where each part is: `State(rooms): State<RoomStore>`.
macro_rules! part {
    ($field:ident: $part:ty) => {
        impl FromRef<ClientApi> for $part {
            fn from_ref(api: &ClientApi) -> Self {
                api.$field.clone()
            }
        }
    };
}

part!(users: ::users::Users);
part!(devices: ::devices::Devices);
part!(rooms: rooms_store::RoomStore);
part!(history: rooms_history::History);
part!(writer: rooms_writer::RoomWriter);
part!(directory: rooms_directory::RoomDirectory);
part!(remote: rooms_remote::RemoteRooms);
part!(media: ::media::Media);
part!(previews: ::media::Previews);
part!(push: ::push::Push);
part!(presence: ::presence::Presence);
part!(sync: ::sync::Sync);
part!(server: ServerInfo);
part!(admin_register: AdminRegister);
part!(turn: Option<Turn>);
