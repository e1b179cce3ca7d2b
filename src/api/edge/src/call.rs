//! `Call<R>`: an authenticated, decoded request, as an axum extractor.
//!
//! The order of checks: path, token, rate limits, then the body, so that a client without a token
//! cannot make the server read much.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts as _, RawPathParams, Request};
use bytes::Bytes;
use http::{HeaderName, Method, request::Parts};
use ruma::api::{IncomingRequest, Metadata};

use crate::{
    ApiError, Caller, Class, ClientAddress, EdgeContext, Response, Rule, Scheme, User, body,
    budget::Reservation,
    cors,
    log::{Entry, Outcome},
    parse,
};

/// Bodies up to this size stop counting towards the budget once they are parsed: otherwise every
/// waiting long poll would hold a share of it. A larger body counts until its handler ends.
const FORGOTTEN_BODY: usize = 64 * 1024;

/// A request that passed authentication and limits. `caller` is a `User` if the request type asks
/// for an access token, `Option<User>` if the token is optional, `Server` if it asks for the
/// signature of a server, else `Anonymous`.
pub struct Call<R: Metadata<Authentication: Scheme>> {
    pub caller: <R::Authentication as Scheme>::Caller,
    pub request: R,
    pub client: ClientAddress,
    context: Arc<EdgeContext>,
    /// Released with the call, at the end of the handler.
    _body: Option<Box<Reservation>>,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An extension of each request. [`Edge`](crate::Edge) adds it before the request is routed, and
/// the endpoint completes it.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub(crate) context: Arc<EdgeContext>,
    pub(crate) client: ClientAddress,
    pub(crate) entry: Entry,
    pub(crate) rule: Rule,
    /// Whether the endpoint's path has any.
    pub(crate) has_parameters: bool,
}

/// The head of a request whose caller is known and charged.
pub(crate) struct Admitted<C> {
    pub(crate) caller: C,
    pub(crate) client: ClientAddress,
    pub(crate) context: Arc<EdgeContext>,
    pub(crate) rule: Rule,
    /// Decoded path parameters.
    pub(crate) path: Vec<String>,
}

impl<R: Metadata<Authentication: Scheme>> Call<R> {
    /// Charges one more token, for work that not every request of the endpoint does.
    pub fn charge(&self, class: Class) -> Result<(), ApiError> {
        self.context.charge(class, self.caller.user(), self.client)
    }

    pub(crate) fn user(&self) -> Option<&User> {
        self.caller.user()
    }
}

impl<R, S> FromRequest<S> for Call<R>
where
    R: IncomingRequest + Metadata<Authentication: Scheme> + Send + 'static,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (mut head, body) = request.into_parts();
        let admitted = Admitted::of::<R>(&mut head).await?;
        let Admitted {
            caller,
            client,
            context,
            rule,
            path,
        } = admitted;
        let (body, reservation) = if R::METHOD == Method::GET {
            (Bytes::new(), None)
        } else {
            let account = context.account(caller.user(), client);
            let mut reservation = context.budget.reservation(account);
            let limits = &context.bodies;
            let body = body::read(body, rule.body, limits, &mut reservation).await?;
            let is_large = body.len() > FORGOTTEN_BODY;
            (body, is_large.then(|| Box::new(reservation)))
        };
        if rule.requires_body && body.trim_ascii().is_empty() {
            return Err(ApiError::not_json("The request's body is empty"));
        }
        caller.confirm(&head, &body)?;
        let request = parse::parse(&*context.blocking, head, body, path).await?;
        Ok(Self {
            caller,
            request,
            client,
            context,
            _body: reservation,
        })
    }
}

impl<C: Caller> Admitted<C> {
    /// Authenticates as `R` asks and charges the rate limits.
    pub(crate) async fn of<R>(head: &mut Parts) -> Result<Self, ApiError>
    where
        R: Metadata<Authentication: Scheme<Caller = C>>,
    {
        let Arrival {
            context,
            client,
            rule,
            has_parameters,
            ..
        } = Arrival::take(head)?;
        let path = match has_parameters {
            true => path(head).await?,
            false => Vec::new(),
        };
        let caller = match R::Authentication::identify(&context, head).await {
            Ok(caller) => caller,
            Err(error) => {
                // Guessing tokens costs the address.
                context.charge(Class::General, None, client)?;
                return Err(error);
            }
        };
        if let Some(user) = caller.user() {
            context.users.seen(user, client.0);
        }
        context.charge(Class::General, caller.user(), client)?;
        if rule.class != Class::General {
            context.charge(rule.class, caller.user(), client)?;
        }
        if rule
            .refused_parameter
            .is_some_and(|name| has_parameter(head, name))
        {
            return Err(ApiError::unserved_parameter());
        }
        Ok(Self {
            caller,
            client,
            context,
            rule,
            path,
        })
    }
}

impl Arrival {
    pub(crate) fn take(head: &mut Parts) -> Result<Self, ApiError> {
        let arrival = head.extensions.remove();
        arrival.ok_or_else(|| ApiError::internal("a request did not come through `Edge`"))
    }

    /// Logs the request and adds the headers that every response has.
    pub(crate) fn finish(&self, route: &'static str, outcome: Outcome) -> Response {
        let now = self.context.clock.monotonic();
        self.entry.write(route, &outcome, now);
        let mut response = outcome.response;
        let headers = response.headers_mut();
        cors::allow(headers);
        headers.insert(REQUEST_ID, self.entry.id.header());
        response
    }
}

fn has_parameter(head: &Parts, name: &str) -> bool {
    let mut pairs = head.uri.query().unwrap_or_default().split('&');
    pairs.any(|pair| pair.split('=').next() == Some(name))
}

async fn path(head: &mut Parts) -> Result<Vec<String>, ApiError> {
    let parameters = RawPathParams::from_request_parts(head, &())
        .await
        .map_err(|_| ApiError::invalid_param("The path is not UTF-8"))?;
    Ok(parameters
        .iter()
        .map(|(_, value)| value.to_owned())
        .collect())
}
