//! The list of endpoints. Method and paths come from the request type, of all versions that ruma
//! knows (`r0`, `v3`, `v1`, `unstable`); everything else is the endpoint's [`Rule`], in its line of
//! the list.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    routing::{MethodFilter, on},
};
use http::Method;
use ruma::api::{Metadata, path_builder::PathBuilder as _};

use crate::{BodyLimits, Class, Handler, body::BodySize, endpoint::Endpoint, handler::Input};

/// Properties of one endpoint that its request type does not determine.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub(crate) class: Class,
    pub(crate) body: BodySize,
    pub(crate) requires_body: bool,
    pub(crate) refused_parameter: Option<&'static str>,
    may_omit_last: bool,
}

/// Endpoints of one API; `S` is the state that their handlers take parts of.
pub struct Routes<S> {
    state: Arc<S>,
    router: Router,
    endpoints: Vec<EndpointInfo>,
}

/// An endpoint of the list, at one of its paths.
#[derive(Clone, Debug)]
pub struct EndpointInfo {
    pub method: Method,
    /// With named parameters, such as `/_matrix/client/v3/rooms/{room_id}/join`.
    pub template: &'static str,
    body: BodySize,
}

impl EndpointInfo {
    /// The largest body that a request may have, in bytes.
    pub fn body_limit(&self, limits: &BodyLimits) -> usize {
        limits.bytes(self.body)
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            class: Class::General,
            body: BodySize::Usual,
            requires_body: false,
            refused_parameter: None,
            may_omit_last: false,
        }
    }
}

impl Rule {
    pub fn new() -> Self {
        Self::default()
    }

    /// Charges this class of the rate limits besides the general one.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// The body carries keys or messages for many devices.
    #[must_use]
    pub fn large_body(mut self) -> Self {
        self.body = BodySize::Large;
        self
    }

    /// An empty body is not JSON. Elsewhere it stands for an empty object, as some clients send
    /// none.
    #[must_use]
    pub fn requires_body(mut self) -> Self {
        self.requires_body = true;
        self
    }

    /// With this parameter in the query, a request asks for something else, which is not served.
    #[must_use]
    pub fn refuses_parameter(mut self, name: &'static str) -> Self {
        self.refused_parameter = Some(name);
        self
    }

    /// The body may have so many bytes. For handlers that take a [`RawCall`](crate::RawCall).
    #[must_use]
    pub fn body_bytes(mut self, limit: usize) -> Self {
        self.body = BodySize::Bytes(limit);
        self
    }

    /// The last path parameter may be empty and then left out, with or without its slash (state
    /// keys).
    #[must_use]
    pub fn empty_last(mut self) -> Self {
        self.may_omit_last = true;
        self
    }
}

impl<S: Send + Sync + 'static> Routes<S> {
    pub fn new(state: S) -> Self {
        Self {
            state: Arc::new(state),
            router: Router::new(),
            endpoints: Vec::new(),
        }
    }

    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "a list of endpoints is not a number"
    )]
    pub fn add<Arguments: 'static, H: Handler<S, Arguments>>(self, handler: H) -> Self {
        self.add_with(handler, Rule::new())
    }

    /// Adds the endpoints of another API.
    #[must_use]
    pub fn and<T>(mut self, other: Routes<T>) -> Self {
        self.router = self.router.merge(other.router);
        self.endpoints.extend(other.endpoints);
        self
    }

    /// A path that ends in a slash is also served without it.
    #[must_use]
    pub fn add_with<Arguments: 'static, H: Handler<S, Arguments>>(
        mut self,
        handler: H,
        rule: Rule,
    ) -> Self {
        for template in <H::Input as Input>::Request::PATH_BUILDER.all_paths() {
            self.endpoints.push(EndpointInfo {
                method: <H::Input as Input>::Request::METHOD,
                template,
                body: rule.body,
            });
            let endpoint = Endpoint::new(handler, self.state.clone(), rule, template);
            self = self.insert(template, &endpoint);
            if let Some(without_slash) = template.strip_suffix('/') {
                self = self.insert(without_slash, &endpoint);
            }
            if rule.may_omit_last
                && let Some((parent, _)) = template.rsplit_once('/')
            {
                self = self.insert(parent, &endpoint);
                self = self.insert(&format!("{parent}/"), &endpoint);
            }
        }
        self
    }

    /// Axum answers HEAD where there is GET.
    fn insert<Arguments: 'static, H: Handler<S, Arguments>>(
        mut self,
        path: &str,
        endpoint: &Endpoint<S, Arguments, H>,
    ) -> Self {
        let method = MethodFilter::try_from(<H::Input as Input>::Request::METHOD)
            .expect("ruma's endpoints use methods that axum can route");
        let route = on(method, endpoint.clone());
        self.router = self.router.route(&positional(path), route);
        self
    }

    pub fn endpoints(&self) -> &[EndpointInfo] {
        &self.endpoints
    }

    pub(crate) fn into_router(self) -> Router {
        self.router
    }
}

/// Paths that share a parameter must call it the same, and ruma's do not: `{0}`, `{1}`, and so on.
fn positional(template: &str) -> String {
    let mut path = String::with_capacity(template.len());
    let mut count = 0;
    for segment in template.split('/').skip(1) {
        if segment.starts_with('{') {
            write!(path, "/{{{count}}}").expect("writing to a String cannot fail");
            count += 1;
        } else {
            path.push('/');
            path.push_str(segment);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_named_by_their_place() {
        assert_eq!(positional("/a/{room_id}/b/{key}"), "/a/{0}/b/{1}");
        assert_eq!(positional("/a/{room_id}/"), "/a/{0}/");
    }
}
