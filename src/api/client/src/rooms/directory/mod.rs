//! Client-server API, "Room aliases" and "Published room directory".

mod alias;
mod aliases;
mod public_rooms;
mod visibility;

use edge::Routes;

use crate::ClientApi;

pub(super) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(alias::get)
        .add(alias::put)
        .add(alias::delete)
        .add(aliases::aliases)
        .add(visibility::get)
        .add(visibility::put)
        .add(public_rooms::get)
        .add(public_rooms::post)
}
