//! Push rules: client-server API, "Push Rules".

mod actions;
mod all;
mod enabled;
mod rule;

use edge::{ApiError, Routes};
use http::StatusCode;
use users::PushRuleError;

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let routes = routes.add(all::all).add(all::global);
    let routes = routes.add(rule::get).add(rule::set).add(rule::delete);
    let routes = routes.add(enabled::get_enabled).add(enabled::set_enabled);
    routes.add(actions::get_actions).add(actions::set_actions)
}

fn not_found() -> ApiError {
    ApiError::not_found(PushRuleError::NotFound)
}

fn refuse(error: PushRuleError) -> ApiError {
    match error {
        PushRuleError::NotFound => not_found(),
        PushRuleError::Invalid(reason) => ApiError::invalid_param(reason),
        PushRuleError::TooLarge => {
            ApiError::new(StatusCode::BAD_REQUEST, "M_RESOURCE_LIMIT_EXCEEDED", error)
        }
        PushRuleError::Store(error) => error.into(),
    }
}
