//! `POST` and `GET /dehydrated_device/{deviceId}/events`: MSC3814, "Rehydrating a device".
//!
//! Nothing is deleted, so that an interrupted rehydration can start again. With POST the end is an
//! empty list; with GET, which takes the token as `from`, it is an absent `next_batch`.

use ::devices::{dehydrated, to_device};
use database::{Position, Stamp};
use edge::{ApiError, Call, State, User, own_request};
use ruma::{
    DeviceId, OwnedDeviceId,
    api::{
        auth_scheme::AccessToken,
        client::dehydrated_device::get_events::unstable::{Request, Response},
    },
    metadata,
    serde::Raw,
};
use serde::Deserialize;
use users::Users;

use super::none;

/// As many as in one `/sync`.
const PAGE: usize = 100;

/// Own request type: ruma defines only POST.
pub(crate) struct GetRequest {
    device_id: OwnedDeviceId,
    from: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct Query {
    from: Option<String>,
    limit: Option<usize>,
}

metadata! {
    @for GetRequest,
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        unstable => "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events",
    }
}

own_request!(GetRequest => Response, |input| {
    let (device_id,) = input.path()?;
    let Query { from, limit } = input.query()?;
    Ok(GetRequest {
        device_id,
        from,
        limit,
    })
});

pub(crate) async fn events(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request {
        device_id,
        next_batch,
        ..
    } = call.request;
    let (response, _) = page(&users, &call.caller, &device_id, next_batch, PAGE).await?;
    Ok(response)
}

pub(crate) async fn get_events(
    State(users): State<Users>,
    call: Call<GetRequest>,
) -> Result<Response, ApiError> {
    let GetRequest {
        device_id,
        from,
        limit,
    } = call.request;
    let limit = limit.unwrap_or(PAGE).clamp(1, PAGE);
    let (mut response, is_last) = page(&users, &call.caller, &device_id, from, limit).await?;
    if is_last {
        response.next_batch = None;
    }
    Ok(response)
}

/// A page of events, and whether it is the last.
async fn page(
    users: &Users,
    caller: &User,
    device_id: &DeviceId,
    from: Option<String>,
    limit: usize,
) -> Result<(Response, bool), ApiError> {
    let user = caller.number;
    let db = users.snapshot().await?;
    let row = dehydrated::get(&db, user).await?.ok_or_else(none)?;
    if row.device != device_id.as_str() {
        return Err(ApiError::forbidden("This is not the dehydrated device"));
    }
    let after = match &from {
        Some(token) => Some(parse(token).ok_or_else(bad_token)?),
        None => None,
    };
    // One more than asked for shows whether there is a next page.
    let mut page = to_device::since(&db, user, &row.device, after, limit + 1).await?;
    let is_last = page.len() <= limit;
    page.truncate(limit);
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
    Ok((response, is_last))
}

fn bad_token() -> ApiError {
    ApiError::invalid_param("This token is not one of this server")
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
