//! Who asks: decided by the authentication that ruma's request type names ("Client authentication" of the spec).

use std::{borrow::Cow, future::Future};

use http::{header::AUTHORIZATION, request::Parts};
use percent_encoding::percent_decode_str;
use ruma::api::auth_scheme::{
    AccessToken, AccessTokenOptional, AppserviceTokenOptional, AuthScheme, NoAccessToken,
    NoAuthentication,
};

pub use users::Authenticated as User;
use users::TokenError;

use crate::{ApiError, Gate};

/// Nobody in particular: the endpoint asks for no token and looks at none.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

/// What the edge itself wants to know of a caller: whom to charge and to name in the request log.
pub trait Caller: Send {
    fn user(&self) -> Option<&User>;

    /// Checks what only the whole request can prove: for other servers, who sign their requests.
    fn confirm(&self, head: &Parts, body: &[u8]) -> Result<(), ApiError> {
        let _ = (head, body);
        Ok(())
    }
}

impl Caller for Anonymous {
    fn user(&self) -> Option<&User> {
        None
    }
}

impl Caller for User {
    fn user(&self) -> Option<&User> {
        Some(self)
    }
}

impl Caller for Option<User> {
    fn user(&self) -> Option<&User> {
        self.as_ref()
    }
}

/// An authentication scheme of ruma and the caller that it yields. A handler cannot ask for a caller that its request
/// type does not give.
pub trait Scheme: AuthScheme {
    type Caller: Caller;

    fn identify(
        gate: &Gate,
        parts: &Parts,
    ) -> impl Future<Output = Result<Self::Caller, ApiError>> + Send;
}

impl Scheme for NoAuthentication {
    type Caller = Anonymous;

    async fn identify(_gate: &Gate, _parts: &Parts) -> Result<Anonymous, ApiError> {
        Ok(Anonymous)
    }
}

impl Scheme for NoAccessToken {
    type Caller = Anonymous;

    async fn identify(_gate: &Gate, _parts: &Parts) -> Result<Anonymous, ApiError> {
        Ok(Anonymous)
    }
}

/// Application services do not exist yet, so nobody has such a token.
impl Scheme for AppserviceTokenOptional {
    type Caller = Anonymous;

    async fn identify(_gate: &Gate, _parts: &Parts) -> Result<Anonymous, ApiError> {
        Ok(Anonymous)
    }
}

impl Scheme for AccessToken {
    type Caller = User;

    async fn identify(gate: &Gate, parts: &Parts) -> Result<User, ApiError> {
        let token = token(parts).ok_or_else(ApiError::missing_token)?;
        authenticate(gate, &token).await
    }
}

impl Scheme for AccessTokenOptional {
    type Caller = Option<User>;

    async fn identify(gate: &Gate, parts: &Parts) -> Result<Option<User>, ApiError> {
        match token(parts) {
            Some(token) => Ok(Some(authenticate(gate, &token).await?)),
            None => Ok(None),
        }
    }
}

async fn authenticate(gate: &Gate, token: &str) -> Result<User, ApiError> {
    gate.users
        .authenticate(token)
        .await
        .map_err(|error| match error {
            TokenError::Unknown => ApiError::unknown_token(false),
            TokenError::Expired => ApiError::unknown_token(true),
            TokenError::Store(error) => error.into(),
        })
}

/// From the `Authorization` header, else from the query (deprecated, and still used by old clients).
fn token(parts: &Parts) -> Option<Cow<'_, str>> {
    if let Some(value) = parts.headers.get(AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let token = token.trim();
        return (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.into());
    }
    let pairs = parts
        .uri
        .query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    let (_, token) = pairs
        .into_iter()
        .find(|(name, _)| *name == "access_token")?;
    let token = percent_decode_str(token).decode_utf8().ok()?;
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, header: Option<&str>) -> Parts {
        let mut request = http::Request::builder().uri(uri);
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        request.body(()).expect("a valid request").into_parts().0
    }

    #[test]
    fn a_token_comes_from_the_header_or_else_from_the_query() {
        assert_eq!(
            token(&parts("/", Some("Bearer abc"))).as_deref(),
            Some("abc")
        );
        assert_eq!(
            token(&parts("/", Some("bearer abc"))).as_deref(),
            Some("abc")
        );
        assert_eq!(
            token(&parts("/?a=1&access_token=x%2By", None)).as_deref(),
            Some("x+y")
        );
    }

    #[test]
    fn another_scheme_or_an_empty_token_is_no_token() {
        assert_eq!(token(&parts("/", Some("Basic abc"))), None);
        assert_eq!(token(&parts("/", Some("Bearer "))), None);
        assert_eq!(token(&parts("/?access_token=", None)), None);
        assert_eq!(token(&parts("/", None)), None);
    }
}
