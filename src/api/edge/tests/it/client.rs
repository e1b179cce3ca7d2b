//! A client that writes any bytes and reads responses.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) struct Client(TcpStream);

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("it connects"))
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.0.write_all(bytes.as_ref()).await;
        sent.expect("the server reads");
    }

    /// A request with a body and its length.
    pub(crate) async fn request(&mut self, line: &str, token: &str, body: &[u8]) {
        let length = body.len();
        self.send(format!(
            "{line} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
             content-length: {length}\r\n\r\n"
        ))
        .await;
        self.send(body).await;
    }

    pub(crate) async fn get(&mut self, path: &str, token: &str) -> Answer {
        self.request(&format!("GET {path}"), token, b"").await;
        self.answer().await
    }

    /// The head of the next response, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("a response"));
        }
        String::from_utf8(head)
            .expect("heads are text")
            .to_lowercase()
    }

    /// The next response, by its `Content-Length`.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let status = head.split(' ').nth(1).expect("a status");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("a whole body");
        Answer {
            status: status.parse().expect("a number"),
            head,
            body,
        }
    }

    /// Everything until the server closes the connection. A reset counts as such.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.0.read(&mut buffer).await {
                Ok(0) | Err(_) => return rest,
                Ok(read) => rest.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn errcode(&self) -> String {
        let json = self.json();
        json["errcode"].as_str().unwrap_or_default().to_owned()
    }
}
