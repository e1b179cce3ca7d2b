//! `POST /dehydrated_device/{deviceId}/events`: MSC3814, "Rehydrating a device".
//!
//! Nothing is deleted: whoever comes next, after a rehydration that broke off, finds all of it. The end is an empty list.

use ::devices::{dehydrated, to_device};
use database::{Position, Stamp};
use edge::{ApiError, Call, State};
use ruma::{
    api::client::dehydrated_device::get_events::unstable::{Request, Response},
    serde::Raw,
};
use users::Users;

use super::none;

/// As many as in one `/sync`.
const PAGE: usize = 100;

pub(crate) async fn events(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let user = call.caller.number;
    let db = users.snapshot().await?;
    let row = dehydrated::get(&db, user).await?.ok_or_else(none)?;
    if row.device != call.request.device_id.as_str() {
        return Err(ApiError::forbidden("This is not the dehydrated device"));
    }
    let after = match &call.request.next_batch {
        Some(token) => Some(parse(token).ok_or_else(bad_token)?),
        None => None,
    };
    let page = to_device::since(&db, user, &row.device, after, PAGE).await?;
    let last = page
        .last()
        .map(|(position, _)| *position)
        .or(after)
        .unwrap_or(Position::MIN);
    let events = page
        .into_iter()
        .map(|(_, event)| Raw::from_json_string(event));
    let events = events
        .collect::<Result<_, _>>()
        .map_err(ApiError::internal)?;
    let mut response = Response::new(events);
    response.next_batch = Some(write(last));
    Ok(response)
}

fn bad_token() -> ApiError {
    ApiError::invalid_param("This next_batch is not one of this server")
}

fn write(Position(Stamp(stamp), slot): Position) -> String {
    format!("d{stamp}_{slot}")
}

fn parse(token: &str) -> Option<Position> {
    let (stamp, slot) = token.strip_prefix('d')?.split_once('_')?;
    Some(Position(Stamp(stamp.parse().ok()?), slot.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_position() {
        for position in [Position::MIN, Position(Stamp(7), 3), Position::MAX] {
            assert_eq!(parse(&write(position)), Some(position));
        }
        assert_eq!(parse("7_3"), None);
        assert_eq!(parse("d7"), None);
    }
}
