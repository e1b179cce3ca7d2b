//! Sending a request: from a request type of ruma to its response type, or with a body that streams.

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use ruma::{
    ServerName,
    api::{
        IncomingResponseExt as _, Metadata, OutgoingBody as _, OutgoingRequest,
        auth_scheme::{AuthScheme, NoAuthentication},
        error::FromHttpResponseError,
        federation::authentication::ServerSignatures,
        path_builder::{PathBuilder, SinglePath},
    },
};

use super::{AnswerKind, Federation, FederationError, RemoteError, Urgency, budget::Held};
use crate::{
    authentication::sign,
    client::{Body, ClientError, Limits, Outgoing},
    discovery::Destination,
};

/// Error bodies are bounded more tightly than answers.
const LARGEST_ERROR: u64 = 64 * 1024;

/// Whether requests of an authentication scheme are signed.
pub trait FederationScheme: AuthScheme {
    const IS_SIGNED: bool;
}

impl FederationScheme for ServerSignatures {
    const IS_SIGNED: bool = true;
}

impl FederationScheme for NoAuthentication {
    const IS_SIGNED: bool = false;
}

/// Paths that need no version of the other server.
pub trait FederationPath: PathBuilder {
    fn input() -> Self::Input<'static>;
}

impl FederationPath for SinglePath {
    fn input() -> Self::Input<'static> {}
}

/// A request that is ready to be sent.
struct Prepared {
    request: Request<Bytes>,
    is_signed: bool,
}

impl Federation {
    /// Asks another server. `kind` bounds the answer.
    pub async fn request<R>(
        &self,
        destination: &ServerName,
        request: R,
        kind: AnswerKind,
        urgency: Urgency,
    ) -> Result<R::IncomingResponse, FederationError>
    where
        R: OutgoingRequest
            + Metadata<Authentication: FederationScheme, PathBuilder: FederationPath>,
    {
        self.may_ask(destination, urgency).await?;
        let found = self.0.discovery.find(destination).await;
        let prepared = prepare(request, &found)?;
        let (head, answer) = self.exchange(destination, &found, prepared, kind).await?;
        let response = Response::from_parts(head, &answer.bytes[..]);
        R::IncomingResponse::try_from_http_response(response)
            .map_err(|error| malformed(destination, &error))
    }

    /// Sends a request whose response is read as it comes, such as media. `path` begins with a slash and has the query.
    pub async fn stream(
        &self,
        destination: &ServerName,
        path: &str,
        limits: Limits,
    ) -> Result<Response<Body>, FederationError> {
        self.may_ask(destination, Urgency::Now).await?;
        let found = self.0.discovery.find(destination).await;
        let request = Request::get(format!("{}{path}", found.base_url())).body(Bytes::new());
        let prepared = Prepared {
            request: request.map_err(|error| FederationError::Request(error.to_string()))?,
            is_signed: true,
        };
        let response = self.send(destination, &found, prepared, limits).await?;
        if response.status().is_success() {
            self.0.backoff.answered(destination).await?;
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let body = self
            .collect(destination, body.at_most(LARGEST_ERROR))
            .await?;
        Err(self
            .refused(destination, RemoteError::of(head.status, &body.bytes))
            .await?)
    }

    async fn may_ask(&self, server: &ServerName, urgency: Urgency) -> Result<(), FederationError> {
        if !self.0.policy.permits(server) {
            return Err(FederationError::NotAllowed(server.to_owned()));
        }
        if urgency == Urgency::Background
            && let Some(until) = self.0.backoff.retry_at(server).await?
        {
            return Err(FederationError::BackingOff {
                server: server.to_owned(),
                until,
            });
        }
        Ok(())
    }

    async fn exchange(
        &self,
        server: &ServerName,
        found: &Destination,
        prepared: Prepared,
        kind: AnswerKind,
    ) -> Result<(http::response::Parts, Held), FederationError> {
        let response = self.send(server, found, prepared, kind.limits()).await?;
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            let body = self.collect(server, body.at_most(LARGEST_ERROR)).await?;
            return Err(self
                .refused(server, RemoteError::of(head.status, &body.bytes))
                .await?);
        }
        let answer = self.collect(server, body).await?;
        self.0.backoff.answered(server).await?;
        Ok((head, answer))
    }

    async fn send(
        &self,
        server: &ServerName,
        found: &Destination,
        prepared: Prepared,
        limits: Limits,
    ) -> Result<Response<Body>, FederationError> {
        let mut request = found.addressed(prepared.request);
        if prepared.is_signed {
            let uri = request
                .uri()
                .path_and_query()
                .map_or("/", |path| path.as_str());
            let key = self.0.keys.current();
            let header = sign(&key, server, request.method(), uri, request.body())?;
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        let outgoing = Outgoing::new(request, found.route, limits);
        match self.0.client.send(outgoing).await {
            Ok(response) => Ok(response),
            Err(error) => Err(self.unreachable(server, error).await?),
        }
    }

    async fn collect(&self, server: &ServerName, body: Body) -> Result<Held, FederationError> {
        match self.0.budget.collect(body).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.unreachable(server, error).await?),
        }
    }

    /// The error of an exchange that came to no answer, which counts against the server if it is its fault.
    async fn unreachable(
        &self,
        server: &ServerName,
        error: ClientError,
    ) -> Result<FederationError, FederationError> {
        match error {
            ClientError::Busy => return Ok(FederationError::Busy),
            ClientError::InvalidUrl(_) => return Ok(FederationError::Request(error.to_string())),
            // It answers, if with too much.
            ClientError::TooLarge(_) => {}
            _ => self.0.backoff.failed(server).await?,
        }
        Ok(FederationError::Unreachable {
            server: server.to_owned(),
            error,
        })
    }

    async fn refused(
        &self,
        server: &ServerName,
        error: RemoteError,
    ) -> Result<FederationError, FederationError> {
        if error.is_of_server() {
            self.0.backoff.failed(server).await?;
        } else {
            self.0.backoff.answered(server).await?;
        }
        Ok(FederationError::Refused {
            server: server.to_owned(),
            error,
        })
    }
}

fn prepare<R>(request: R, found: &Destination) -> Result<Prepared, FederationError>
where
    R: OutgoingRequest + Metadata<Authentication: FederationScheme, PathBuilder: FederationPath>,
{
    let failed = |error: &dyn std::fmt::Display| FederationError::Request(error.to_string());
    let request = request
        .try_into_http_request_inner(&found.base_url(), R::PathBuilder::input())
        .map_err(|error| failed(&error))?;
    let (mut head, body) = request.into_parts();
    if let Some(content_type) = body.content_type()
        && !head.headers.contains_key(http::header::CONTENT_TYPE)
    {
        head.headers
            .insert(http::header::CONTENT_TYPE, content_type);
    }
    let body: Vec<u8> = body.try_into_buf().map_err(|error| failed(&error.into()))?;
    Ok(Prepared {
        request: Request::from_parts(head, body.into()),
        is_signed: R::Authentication::IS_SIGNED,
    })
}

fn malformed<E: std::fmt::Display>(
    server: &ServerName,
    error: &FromHttpResponseError<E>,
) -> FederationError {
    FederationError::Malformed {
        server: server.to_owned(),
        reason: error.to_string(),
    }
}
