//! A network in memory between the servers of a test: requests go to the other server's `edge` directly. The test may
//! part servers, lose answers, change answers, and look at what was asked.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use database::engine::BoxFuture;
use edge::{Body, Edge};
use federation::client::{ClientError, Concurrency, HttpClient, RawBody, Route, Transport};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};

type Change = Arc<dyn Fn(&Request<Bytes>, Response<Bytes>) -> Response<Bytes> + Send + Sync>;

/// Cheap to clone: all clones are one network.
#[derive(Clone, Default)]
pub(crate) struct Network(Arc<Mutex<Wires>>);

#[derive(Default)]
struct Wires {
    servers: HashMap<String, Arc<Edge>>,
    parted: HashSet<String>,
    /// Receiver and beginning of the path of answers that get lost, with how many more of them.
    lost: Vec<(String, String, usize)>,
    changes: HashMap<String, Change>,
    asked: Vec<Asked>,
}

/// A request that was sent, whether it arrived or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) method: http::Method,
    /// With the query.
    pub(crate) path: String,
}

/// One server's way into the network.
struct Port {
    network: Network,
    name: String,
}

impl Network {
    /// The client of the server with this name.
    pub(crate) fn client(&self, name: &str) -> HttpClient {
        let (network, name) = (self.clone(), name.to_owned());
        HttpClient::new(Arc::new(Port { network, name }), Concurrency::default())
    }

    pub(crate) fn attach(&self, name: &str, edge: Arc<Edge>) {
        self.wires().servers.insert(name.to_owned(), edge);
    }

    /// Nobody reaches the server, and it reaches nobody.
    pub(crate) fn part(&self, name: &str) {
        self.wires().parted.insert(name.to_owned());
    }

    pub(crate) fn heal(&self, name: &str) {
        self.wires().parted.remove(name);
    }

    /// The next `count` answers of a server to paths that begin so get lost, after the server has done its work.
    pub(crate) fn lose_answers(&self, of: &str, path: &str, count: usize) {
        let lost = (of.to_owned(), path.to_owned(), count);
        self.wires().lost.push(lost);
    }

    /// Changes all answers of a server: what a hostile server is.
    pub(crate) fn change_answers(
        &self,
        of: &str,
        change: impl Fn(&Request<Bytes>, Response<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) {
        self.wires().changes.insert(of.to_owned(), Arc::new(change));
    }

    /// The requests since the last call, without look-ups of `.well-known`.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let mut asked = std::mem::take(&mut self.wires().asked);
        asked.retain(|asked| !asked.path.starts_with("/.well-known/"));
        asked
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a request down and finds who answers it.
    fn route(&self, asked: Asked) -> Option<(Arc<Edge>, Option<Change>)> {
        let mut wires = self.wires();
        let is_parted = wires.parted.contains(&asked.from) || wires.parted.contains(&asked.to);
        let edge = wires.servers.get(&asked.to).cloned();
        let change = wires.changes.get(&asked.to).cloned();
        wires.asked.push(asked);
        edge.filter(|_| !is_parted).map(|edge| (edge, change))
    }

    fn loses(&self, asked: &Asked) -> bool {
        let mut wires = self.wires();
        let lost = wires.lost.iter_mut().find(|(of, path, count)| {
            *of == asked.to && asked.path.starts_with(path.as_str()) && *count > 0
        });
        let Some((_, _, count)) = lost else {
            return false;
        };
        *count -= 1;
        true
    }
}

impl Transport for Port {
    fn exchange(
        &self,
        request: Request<Bytes>,
        _: Route,
    ) -> BoxFuture<'_, Result<Response<RawBody>, ClientError>> {
        let uri = request.uri().clone();
        let asked = Asked {
            from: self.name.clone(),
            to: uri.authority().map_or("", |to| to.as_str()).to_owned(),
            method: request.method().clone(),
            path: uri
                .path_and_query()
                .map_or("", |path| path.as_str())
                .to_owned(),
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            let unreachable = || ClientError::Connect("nobody is there".to_owned());
            let (edge, change) = self.network.route(asked.clone()).ok_or_else(unreachable)?;
            let answer = carry(&edge, request.clone()).await?;
            if self.network.loses(&asked) {
                return Err(ClientError::Interrupted("the answer was lost".to_owned()));
            }
            let answer = match change {
                Some(change) => change(&request, answer),
                None => answer,
            };
            Ok(answer.map(|body| {
                Full::new(body)
                    .map_err(|never| match never {})
                    .boxed_unsync()
            }))
        })
    }
}

/// One request, answered by a server. The URI that arrives has no host, as in HTTP/1.1.
async fn carry(
    edge: &Arc<Edge>,
    mut request: Request<Bytes>,
) -> Result<Response<Bytes>, ClientError> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(http::Uri::default, http::Uri::from);
    let request = request.map(Body::from);
    let answer = edge.answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
    let (head, body) = answer.into_parts();
    let cut = |_| ClientError::Interrupted("the answer was cut off".to_owned());
    let body = body.collect().await.map_err(cut)?.to_bytes();
    Ok(Response::from_parts(head, body))
}
