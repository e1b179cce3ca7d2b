//! A small HTTP client that distinguishes an error response from no response.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_mins(2);

#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// The connection broke or nothing came in time: what was asked for may have happened or not.
#[derive(Debug)]
pub(crate) struct Unanswered;

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            address,
        }
    }

    /// `path` begins behind `/_matrix/client`.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, Unanswered> {
        let uri = format!("http://{}/_matrix/client{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(body)))
            .expect("paths are valid URIs");
        timeout(LIMIT, self.exchange(request))
            .await
            .unwrap_or(Err(Unanswered))
    }

    /// `path` is the whole path. Returns status and body as they are.
    pub(crate) async fn ask_raw(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Bytes), Unanswered> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(Bytes::from(body)))
            .expect("paths are valid URIs");
        let exchange = async {
            let response = self.client.request(request).await.map_err(|_| Unanswered)?;
            let status = response.status().as_u16();
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(|_| Unanswered)?;
            Ok((status, body.to_bytes()))
        };
        timeout(LIMIT, exchange).await.unwrap_or(Err(Unanswered))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Unanswered> {
        let response = self.client.request(request).await.map_err(|_| Unanswered)?;
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|_| Unanswered)?
            .to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| {
            panic!("status {status} with a body that is not JSON ({error}): {body:?}")
        });
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The body of a 200.
    #[track_caller]
    pub(crate) fn expect_ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }
}
