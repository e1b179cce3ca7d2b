//! Client-server API, "Sending events to a room" and "Getting events for a room".

mod context;
mod event;
mod messages;
mod redact;
mod send;

use edge::{ApiError, Class, Routes, Rule, User};
use rooms_history::{AnyToken, EventFilter, Reader};
use ruma::api::client::filter::RoomEventFilter;

use super::DELAY;
use crate::ClientApi;

pub(super) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let messages = Rule::new().class(Class::Message);
    routes
        .add_with(
            send::send,
            messages.requires_body().refuses_parameter(DELAY),
        )
        .add_with(redact::redact, messages)
        .add(event::event)
        .add(context::context)
        .add(messages::messages)
}

fn reader(user: &User) -> Reader {
    Reader {
        user: user.number,
        device: user.device_id.clone(),
    }
}

/// A filter in a query parameter; with MSC3874, which ruma does not know.
fn filter(text: Option<&str>) -> Result<EventFilter, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(EventFilter::default());
    };
    let filter: RoomEventFilter = serde_json::from_str(text).map_err(ApiError::invalid_param)?;
    let relations = serde_json::from_str(text).map_err(ApiError::invalid_param)?;
    Ok(EventFilter::from(&filter).with_relations(relations))
}

/// A token in a query parameter. Some clients send an empty one for none.
pub(super) fn token(text: Option<&str>) -> Result<Option<AnyToken>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(ApiError::invalid_param)
}
