//! The seam below the client: one HTTP exchange, without bounds.

use bytes::Bytes;
use database::engine::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;

use super::ClientError;

/// The body of a response as it arrives.
pub type RawBody = UnsyncBoxBody<Bytes, ClientError>;

/// How the host of a URI becomes addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The addresses of the host, at the port of the URI or of its scheme.
    Host,
    /// What the SRV records of the host name, else the host itself at port 8448 (server-server API,
    /// "Resolving server names"). The URI has no port. The certificate must still be the host's.
    Services,
}

/// Carries one exchange. Dropping the future gives the exchange up.
pub trait Transport: Send + Sync {
    fn exchange(
        &self,
        request: Request<Bytes>,
        route: Route,
    ) -> BoxFuture<'_, Result<Response<RawBody>, ClientError>>;
}
