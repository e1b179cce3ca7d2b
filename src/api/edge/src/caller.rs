//! The caller of an endpoint, by the authentication scheme that ruma's request type names
//! ("Client authentication" of the spec).

use std::{borrow::Cow, future::Future};

use http::{header::AUTHORIZATION, request::Parts};
use percent_encoding::percent_decode_str;
use ruma::api::auth_scheme::{
    AccessToken, AccessTokenOptional, AppserviceTokenOptional, AuthScheme, NoAccessToken,
    NoAuthentication,
};

pub use users::Authenticated as User;
use users::TokenError;

use crate::{ApiError, EdgeContext};

/// No user: the endpoint asks for no token and ignores any.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

/// A caller, as limits and the request log see it.
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

/// An authentication scheme of ruma and the caller that it yields. A handler cannot ask for a
/// caller that its request type does not give.
pub trait Scheme: AuthScheme {
    type Caller: Caller;

    fn identify(
        context: &EdgeContext,
        parts: &Parts,
    ) -> impl Future<Output = Result<Self::Caller, ApiError>> + Send;
}

impl Scheme for NoAuthentication {
    type Caller = Anonymous;

    async fn identify(_context: &EdgeContext, _parts: &Parts) -> Result<Anonymous, ApiError> {
        Ok(Anonymous)
    }
}

impl Scheme for NoAccessToken {
    type Caller = Anonymous;

    async fn identify(_context: &EdgeContext, _parts: &Parts) -> Result<Anonymous, ApiError> {
        Ok(Anonymous)
    }
}

/// Application services do not exist yet, so there are no such tokens.
impl Scheme for AppserviceTokenOptional {
    type Caller = Anonymous;

    async fn identify(_context: &EdgeContext, _parts: &Parts) -> Result<Anonymous, ApiError> {
        Ok(Anonymous)
    }
}

impl Scheme for AccessToken {
    type Caller = User;

    async fn identify(context: &EdgeContext, parts: &Parts) -> Result<User, ApiError> {
        let token = token(context, parts).ok_or_else(ApiError::missing_token)?;
        authenticate(context, &token).await
    }
}

impl Scheme for AccessTokenOptional {
    type Caller = Option<User>;

    async fn identify(context: &EdgeContext, parts: &Parts) -> Result<Option<User>, ApiError> {
        match token(context, parts) {
            Some(token) => Ok(Some(authenticate(context, &token).await?)),
            None => Ok(None),
        }
    }
}

async fn authenticate(context: &EdgeContext, token: &str) -> Result<User, ApiError> {
    context
        .users
        .authenticate(token)
        .await
        .map_err(|error| match error {
            TokenError::Unknown => ApiError::unknown_token(false),
            TokenError::Expired => ApiError::unknown_token(true),
            TokenError::Store(error) => error.into(),
        })
}

fn token<'a>(context: &EdgeContext, parts: &'a Parts) -> Option<Cow<'a, str>> {
    if parts.headers.contains_key(AUTHORIZATION) {
        return header_token(parts);
    }
    context.query_access_tokens.then(|| query_token(parts))?
}

fn header_token(parts: &Parts) -> Option<Cow<'_, str>> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.into())
}

/// Deprecated by the spec, and still sent by some clients.
fn query_token(parts: &Parts) -> Option<Cow<'_, str>> {
    let pairs = parts.uri.query()?.split('&');
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    let (_, token) = pairs.find(|(name, _)| *name == "access_token")?;
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
    fn a_token_comes_from_the_header_or_the_query() {
        let parts_of = |header| parts("/", Some(header));
        assert_eq!(
            header_token(&parts_of("Bearer abc")).as_deref(),
            Some("abc")
        );
        assert_eq!(
            header_token(&parts_of("bearer abc")).as_deref(),
            Some("abc")
        );
        let parts = parts("/?a=1&access_token=x%2By", None);
        assert_eq!(query_token(&parts).as_deref(), Some("x+y"));
    }

    #[test]
    fn another_scheme_or_an_empty_token_is_no_token() {
        assert_eq!(header_token(&parts("/", Some("Basic abc"))), None);
        assert_eq!(header_token(&parts("/", Some("Bearer "))), None);
        assert_eq!(query_token(&parts("/?access_token=", None)), None);
        assert_eq!(query_token(&parts("/", None)), None);
    }
}
