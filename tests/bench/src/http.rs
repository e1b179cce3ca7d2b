//! One keep-alive HTTP/1.1 connection per worker, straight on hyper: no pool, no locks.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpSocket;

/// The server under test. Plain HTTP only: a benchmark of TLS is another benchmark.
#[derive(Clone)]
pub struct Target {
    addr: SocketAddr,
    host: String,
    prefix: String,
}

impl Target {
    pub async fn parse(url: &str) -> Result<Self> {
        let uri: Uri = url.parse()?;
        if uri.scheme_str() != Some("http") {
            bail!("only http:// URLs are supported");
        }
        let host = uri.authority().context("the URL has no host")?.to_string();
        let with_port = match uri.port_u16() {
            Some(_) => host.clone(),
            None => format!("{host}:80"),
        };
        let addr = tokio::net::lookup_host(&with_port)
            .await?
            .next()
            .context("the host has no address")?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { addr, host, prefix })
    }
}

/// A request as plain data, so that it can be built once and sent again.
#[derive(Clone)]
pub struct Req {
    pub method: Method,
    pub path: String,
    pub token: Option<String>,
    pub content_type: &'static str,
    pub body: Bytes,
}

/// A response of any status.
pub struct Reply {
    pub status: u16,
    pub body: Bytes,
}

impl Reply {
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).with_context(|| {
            let text = String::from_utf8_lossy(&self.body);
            format!(
                "unexpected answer: {}",
                text.chars().take(300).collect::<String>()
            )
        })
    }
}

/// Why a request did not succeed.
#[derive(Debug)]
pub enum Failure {
    Status {
        status: u16,
        errcode: String,
        retry_after: Option<Duration>,
    },
    Io(String),
    Timeout,
}

impl Failure {
    /// The key under which reports count this failure.
    pub fn key(&self) -> String {
        match self {
            Self::Status {
                status, errcode, ..
            } => format!("{status} {errcode}"),
            Self::Io(error) => format!("io {error}"),
            Self::Timeout => "timeout".into(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.key())
    }
}

impl std::error::Error for Failure {}

#[derive(Default, Deserialize)]
struct MatrixError {
    #[serde(default)]
    errcode: String,
    retry_after_ms: Option<u64>,
}

/// A connection that is opened when it is needed, and again after it broke.
pub struct Conn {
    target: Target,
    source: Option<IpAddr>,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Conn {
    pub fn new(target: &Target, source: Option<IpAddr>, timeout: Duration) -> Self {
        Self {
            target: target.clone(),
            source,
            timeout,
            sender: None,
        }
    }

    /// Lets each request take this much longer, as a long poll does.
    pub fn allow(&mut self, longer: Duration) {
        self.timeout += longer;
    }

    /// Opens the connection now instead of at the first request.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        let io = |e: std::io::Error| Failure::Io(e.kind().to_string());
        let socket = match self.target.addr {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(io)?;
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0)).map_err(io)?;
        }
        let stream = socket.connect(self.target.addr).await.map_err(io)?;
        stream.set_nodelay(true).map_err(io)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| Failure::Io(e.to_string()))?;
        tokio::spawn(connection);
        self.sender = Some(sender);
        Ok(())
    }

    /// Sends the request and reads the whole answer; any status but 2xx is a failure.
    pub async fn send(&mut self, req: &Req) -> Result<Reply, Failure> {
        let reply = self.send_any_status(req).await?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let error: MatrixError = serde_json::from_slice(&reply.body).unwrap_or_default();
        Err(Failure::Status {
            status: reply.status,
            errcode: error.errcode,
            retry_after: error.retry_after_ms.map(Duration::from_millis),
        })
    }

    pub async fn send_any_status(&mut self, req: &Req) -> Result<Reply, Failure> {
        let result = tokio::time::timeout(self.timeout, self.exchange(req)).await;
        let result = result.unwrap_or(Err(Failure::Timeout));
        if result.is_err() {
            self.sender = None;
        }
        result
    }

    async fn exchange(&mut self, req: &Req) -> Result<Reply, Failure> {
        // A server may close a kept-alive connection while it is idle: that is not an error
        // of the server, so a request that met one is sent again once.
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_ok()
        {
            match round_trip(sender, self.target.request(req)).await {
                Err(e) if e.is_canceled() || e.is_closed() || e.is_incomplete_message() => {}
                other => return other.map_err(|e| Failure::Io(e.to_string())),
            }
        }
        self.connect().await?;
        let sender = self.sender.as_mut().expect("just connected");
        round_trip(sender, self.target.request(req))
            .await
            .map_err(|e| Failure::Io(e.to_string()))
    }
}

impl Target {
    fn request(&self, req: &Req) -> Request<Full<Bytes>> {
        let mut builder = Request::builder()
            .method(&req.method)
            .uri(format!("{}{}", self.prefix, req.path))
            .header(HOST, &self.host);
        if let Some(token) = &req.token {
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if !req.body.is_empty() {
            builder = builder.header(CONTENT_TYPE, req.content_type);
        }
        builder
            .body(Full::new(req.body.clone()))
            .expect("requests are built from valid parts")
    }
}

async fn round_trip(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> hyper::Result<Reply> {
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Reply { status, body })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request with the next of `answers`; closes the connection after each.
    async fn server(answers: &'static [&'static str]) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let n = stream.read(&mut request).await.unwrap();
                assert!(request[..n].starts_with(b"GET /base/path HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Target::parse(&url).await.unwrap()
    }

    fn request() -> Req {
        Req {
            method: Method::GET,
            path: "/path".into(),
            token: None,
            content_type: "application/json",
            body: Bytes::new(),
        }
    }

    #[tokio::test]
    async fn reconnects_after_a_kept_alive_connection_was_closed() {
        const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let target = server(&[OK, OK]).await;
        let mut conn = Conn::new(&target, None, Duration::from_secs(5));
        assert_eq!(&conn.send(&request()).await.unwrap().body[..], b"{}");
        assert_eq!(conn.send(&request()).await.unwrap().status, 200);
    }

    #[tokio::test]
    async fn reads_matrix_errors() {
        const LIMITED: &str = "HTTP/1.1 429 Too Many\r\ncontent-length: 52\r\n\r\n\
            {\"errcode\":\"M_LIMIT_EXCEEDED\",\"retry_after_ms\":1500}";
        let target = server(&[LIMITED]).await;
        let mut conn = Conn::new(&target, None, Duration::from_secs(5));
        let failure = conn.send(&request()).await.err().unwrap();
        assert_eq!(failure.key(), "429 M_LIMIT_EXCEEDED");
        let Failure::Status { retry_after, .. } = failure else {
            panic!()
        };
        assert_eq!(retry_after, Some(Duration::from_millis(1500)));
    }
}
