//! `GET /_matrix/key/v2/query/{serverName}`: server-server API, "Querying Keys Through Another Server".

use std::sync::Arc;

use database::{Clock, Millis};
use edge::{ApiError, Call, RawJson, State};
use federation::Federation;
use ruma::{
    OwnedServerName,
    api::{
        IncomingRequest, auth_scheme::NoAuthentication, error::DeserializationError,
        federation::discovery::get_remote_server_keys::v2::Response,
    },
    exports::serde_html_form,
    metadata,
};
use serde::Deserialize;

/// Ruma's own reads the system's clock where the moment is left out.
pub(super) struct Request {
    server_name: OwnedServerName,
    minimum_valid_until: Option<u64>,
}

#[derive(Deserialize)]
struct Query {
    minimum_valid_until_ts: Option<u64>,
}

metadata! {
    @for Request,
    method: GET,
    rate_limited: false,
    authentication: NoAuthentication,
    path: "/_matrix/key/v2/query/{server_name}",
}

impl IncomingRequest for Request {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let server_name = arguments.first().copied().unwrap_or_default();
        let query: Query = serde_html_form::from_str(request.uri().query().unwrap_or_default())?;
        Ok(Self {
            server_name: server_name.try_into()?,
            minimum_valid_until: query.minimum_valid_until_ts,
        })
    }
}

pub(super) async fn query(
    State(federation): State<Federation>,
    State(clock): State<Arc<dyn Clock>>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request {
        server_name,
        minimum_valid_until,
    } = call.request;
    let until = minimum_valid_until.map_or_else(|| clock.now(), Millis);
    let documents = federation
        .server_keys()
        .as_notary(vec![(server_name, until)])
        .await?;
    Ok(super::answer(&documents))
}
