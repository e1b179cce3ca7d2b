//! The list of endpoints. Method and paths come from the request type, of all versions that ruma knows (`r0`, `v3`, `v1`,
//! `unstable`); what else holds for an endpoint is its [`Rule`], in its line of the list.

use std::{collections::BTreeMap, fmt::Write as _, future::Future, pin::Pin, sync::Arc};

use http::Method;
use ruma::api::{Metadata, path_builder::PathBuilder as _};

use crate::{
    ApiError, Class, Handler, Response, User, body::BodySize, call::Exchange, handler::Input,
};

/// What holds for one endpoint besides its request type.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub(crate) class: Class,
    pub(crate) body: BodySize,
    may_omit_last: bool,
}

/// Endpoints of one API; `S` is the state that their handlers take parts of.
pub struct Routes<S> {
    state: Arc<S>,
    paths: BTreeMap<String, Path>,
}

/// All endpoints at one path, by method.
pub(crate) struct Path {
    /// As the spec writes it: the request log's name for all of its paths.
    pub(crate) template: &'static str,
    endpoints: Vec<(Method, Endpoint)>,
}

pub(crate) type Endpoint = Arc<dyn Fn(Box<Exchange>) -> Work + Send + Sync>;
pub(crate) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// An answer, and what the request log says of it.
pub(crate) struct Outcome {
    pub(crate) response: Response,
    pub(crate) user: Option<User>,
    pub(crate) cause: Option<Box<str>>,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            class: Class::General,
            body: BodySize::Usual,
            may_omit_last: false,
        }
    }
}

impl Rule {
    pub fn new() -> Self {
        Self::default()
    }

    /// Charges this bucket besides the general one.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Its body carries keys or messages for many at once.
    #[must_use]
    pub fn large_body(mut self) -> Self {
        self.body = BodySize::Large;
        self
    }

    /// The body may have this many bytes.
    #[must_use]
    pub fn body_bytes(mut self, limit: usize) -> Self {
        self.body = BodySize::Bytes(limit);
        self
    }

    /// The last path parameter may be empty and then left out, with or without its slash (state keys).
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
            paths: BTreeMap::new(),
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

    /// The endpoints of another API besides these.
    #[must_use]
    pub fn and<T>(mut self, other: Routes<T>) -> Self {
        for (path, endpoints) in other.paths {
            let before = self.paths.insert(path, endpoints);
            assert!(before.is_none(), "two APIs have endpoints at one path");
        }
        self
    }

    /// A path that ends in a slash is known without it, too.
    #[must_use]
    pub fn add_with<Arguments: 'static, H: Handler<S, Arguments>>(
        mut self,
        handler: H,
        rule: Rule,
    ) -> Self {
        let state = self.state.clone();
        let endpoint: Endpoint =
            Arc::new(move |exchange| Box::pin(run(handler, state.clone(), exchange, rule)));
        let method = <H::Input as Input>::Request::METHOD;
        for template in <H::Input as Input>::Request::PATH_BUILDER.all_paths() {
            self.insert(template, template, method.clone(), &endpoint);
            if let Some(without_slash) = template.strip_suffix('/') {
                self.insert(without_slash, template, method.clone(), &endpoint);
            }
            if rule.may_omit_last
                && let Some((parent, _)) = template.rsplit_once('/')
            {
                self.insert(parent, template, method.clone(), &endpoint);
                self.insert(&format!("{parent}/"), template, method.clone(), &endpoint);
            }
        }
        self
    }

    fn insert(&mut self, path: &str, template: &'static str, method: Method, endpoint: &Endpoint) {
        let path = self.paths.entry(positional(path)).or_insert_with(|| Path {
            template,
            endpoints: Vec::new(),
        });
        let is_new = path.endpoint(&method).is_none();
        assert!(is_new, "two endpoints for {method} {template}");
        path.endpoints.push((method, endpoint.clone()));
    }

    pub(crate) fn into_tree(self) -> matchit::Router<Path> {
        let mut tree = matchit::Router::new();
        for (path, endpoints) in self.paths {
            tree.insert(path, endpoints)
                .expect("paths of ruma's templates do not conflict");
        }
        tree
    }
}

impl Path {
    /// GET answers HEAD as well: hyper sends its head alone.
    pub(crate) fn endpoint(&self, method: &Method) -> Option<&Endpoint> {
        let wanted = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        self.endpoints
            .iter()
            .find(|(method, _)| method == wanted)
            .map(|(_, endpoint)| endpoint)
    }
}

async fn run<S, Arguments, H: Handler<S, Arguments>>(
    handler: H,
    state: Arc<S>,
    exchange: Box<Exchange>,
    rule: Rule,
) -> Outcome {
    let input = match <H::Input as Input>::read(exchange, rule).await {
        Ok(input) => input,
        Err(error) => return Outcome::refused(error, None),
    };
    let user = input.user().cloned();
    match handler.handle(&state, input).await {
        Ok(response) => Outcome {
            response,
            user,
            cause: None,
        },
        Err(error) => Outcome::refused(error, user),
    }
}

impl Outcome {
    pub(crate) fn refused(mut error: ApiError, user: Option<User>) -> Self {
        let cause = error.take_cause();
        Self {
            response: error.into_response(),
            user,
            cause,
        }
    }
}

/// The tree wants one name for a parameter that several endpoints share, and ruma has several: `{0}`, `{1}`, …
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
