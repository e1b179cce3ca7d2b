//! A network in memory: hosts by authority, each with paths. Everything that is requested is written down.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use database::engine::BoxFuture;
use federation::client::{ClientError, Concurrency, HttpClient, RawBody, Route, Transport};
use http::{Request, Response, header::HOST};
use http_body_util::{BodyExt as _, Full};

pub(crate) type Answer = Result<Response<Bytes>, ClientError>;
type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Answer> + Send + Sync>;

#[derive(Clone, Default)]
pub(crate) struct FakeNetwork(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// By authority and path without query.
    handlers: Mutex<HashMap<(String, String), Handler>>,
    requested: Mutex<BTreeMap<String, usize>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

/// What a request was: route, authority, `Host` header if it has one, path.
fn describe(request: &Request<Bytes>, route: Route) -> String {
    let authority = request
        .uri()
        .authority()
        .map_or("", |authority| authority.as_str());
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.map_or_else(String::new, |host| format!(" as {host}"));
    format!("{route:?} {authority}{host} {}", request.uri().path())
}

impl FakeNetwork {
    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(Arc::new(self.clone()), Concurrency::default())
    }

    pub(crate) fn serve(
        &self,
        authority: &str,
        path: &str,
        answer: impl Fn(&Request<Bytes>) -> Answer + Send + Sync + 'static,
    ) {
        let handler: Handler = Arc::new(move |request| {
            let answer = answer(&request);
            Box::pin(async move { answer })
        });
        self.insert(authority, path, handler);
    }

    pub(crate) fn serve_async(
        &self,
        authority: &str,
        path: &str,
        answer: impl Fn(Request<Bytes>) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) {
        self.insert(authority, path, Arc::new(answer));
    }

    pub(crate) fn remove(&self, authority: &str, path: &str) {
        let mut handlers = self
            .0
            .handlers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        handlers.remove(&(authority.to_owned(), path.to_owned()));
    }

    fn insert(&self, authority: &str, path: &str, handler: Handler) {
        let mut handlers = self
            .0
            .handlers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        handlers.insert((authority.to_owned(), path.to_owned()), handler);
    }

    /// What was requested since the last call, with how often.
    pub(crate) fn requested(&self) -> BTreeMap<String, usize> {
        let mut requested = self
            .0
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut requested)
    }

    /// How many requests ran at the same time, at most.
    pub(crate) fn most_running(&self) -> usize {
        self.0.most_running.load(Ordering::SeqCst)
    }
}

impl Transport for FakeNetwork {
    fn exchange(
        &self,
        request: Request<Bytes>,
        route: Route,
    ) -> BoxFuture<'_, Result<Response<RawBody>, ClientError>> {
        let description = describe(&request, route);
        *self
            .0
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(description)
            .or_default() += 1;
        let authority = request
            .uri()
            .authority()
            .map_or("", |authority| authority.as_str());
        let key = (authority.to_owned(), request.uri().path().to_owned());
        let handlers = self
            .0
            .handlers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.get(&key).cloned();
        drop(handlers);
        let inner = self.0.clone();
        Box::pin(async move {
            let Some(handler) = handler else {
                return Err(ClientError::Connect("nobody is there".to_owned()));
            };
            let running = inner.running.fetch_add(1, Ordering::SeqCst) + 1;
            inner.most_running.fetch_max(running, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let answer = handler(request).await;
            inner.running.fetch_sub(1, Ordering::SeqCst);
            Ok(answer?.map(|body| {
                Full::new(body)
                    .map_err(|never| match never {})
                    .boxed_unsync()
            }))
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "handlers return it as it is")]
pub(crate) fn json(body: impl Into<String>) -> Answer {
    Ok(Response::new(Bytes::from(body.into())))
}

#[expect(clippy::unnecessary_wraps, reason = "handlers return it as it is")]
pub(crate) fn status(status: u16) -> Answer {
    let response = Response::builder().status(status).body(Bytes::new());
    Ok(response.expect("a response"))
}
