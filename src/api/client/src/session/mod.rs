//! Sessions: client-server API, "Login" and "Refreshing access tokens".

mod flows;
mod login;
mod logout;
mod refresh;

use edge::{Class, Routes, Rule};

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(flows::flows)
        .add_with(login::login, Rule::new().class(Class::Login))
        .add(refresh::refresh)
        .add(logout::logout)
        .add(logout::logout_all)
}
