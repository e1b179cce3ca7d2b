//! Accounts: client-server API, "Account registration and management".

mod availability;
mod deactivate;
mod fallback;
mod password;
mod register;
mod third_party;
mod token_validity;
mod whoami;

pub(crate) use password::refuse as refuse_login;
pub(crate) use register::{refuse as refuse_registration, refuse_name};

use edge::{Class, Routes, Rule};

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add_with(register::register, Rule::new().class(Class::Registration))
        .add(availability::availability)
        .add(token_validity::token_validity)
        .add(password::change)
        .add(deactivate::deactivate)
        .add(fallback::page)
        .add_with(
            fallback::submit,
            Rule::new().body_bytes(fallback::FORM_BYTES),
        )
        .add(whoami::whoami)
        .add(third_party::list_identifiers)
}
