//! The requests of the client-server API that the scenarios make, and the fields of the responses
//! that they read.

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::Req;

/// A registered user.
#[derive(Clone)]
pub struct Account {
    pub token: String,
}

/// Response of `/register`.
#[derive(Deserialize)]
pub struct Registered {
    pub access_token: String,
}

/// Response of `/createRoom`.
#[derive(Deserialize)]
pub struct Room {
    pub room_id: String,
}

/// Response of `/sync`.
#[derive(Deserialize)]
pub struct Synced {
    pub next_batch: String,
}

/// Response of `/messages`.
#[derive(Deserialize)]
pub struct Page {
    #[serde(default)]
    pub chunk: Vec<serde::de::IgnoredAny>,
    pub end: Option<String>,
}

/// Response of `/upload`.
#[derive(Deserialize)]
pub struct Uploaded {
    pub content_uri: String,
}

fn req(method: Method, path: String, token: Option<&str>, body: Option<Value>) -> Req {
    Req {
        method,
        path,
        token: token.map(str::to_owned),
        content_type: "application/json",
        body: body.map_or_else(Bytes::new, |b| b.to_string().into()),
    }
}

fn get(path: String, token: &str) -> Req {
    req(Method::GET, path, Some(token), None)
}

/// Percent-encodes one path segment or query value.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte as char)
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub fn server_version() -> Req {
    req(
        Method::GET,
        "/_matrix/federation/v1/version".into(),
        None,
        None,
    )
}

pub fn register(user: &str, password: &str, auth: Value) -> Req {
    let body = json!({"username": user, "password": password, "auth": auth});
    req(
        Method::POST,
        "/_matrix/client/v3/register".into(),
        None,
        Some(body),
    )
}

const SYNAPSE_REGISTER: &str = "/_synapse/admin/v1/register";

pub fn synapse_nonce() -> Req {
    req(Method::GET, SYNAPSE_REGISTER.into(), None, None)
}

pub fn synapse_register(body: Value) -> Req {
    req(Method::POST, SYNAPSE_REGISTER.into(), None, Some(body))
}

/// A room that anybody may join, with the server's default room version.
pub fn create_room(token: &str, name: &str) -> Req {
    let body = json!({"preset": "public_chat", "name": name});
    req(
        Method::POST,
        "/_matrix/client/v3/createRoom".into(),
        Some(token),
        Some(body),
    )
}

pub fn join(token: &str, room: &str) -> Req {
    let path = format!("/_matrix/client/v3/rooms/{}/join", encode(room));
    req(Method::POST, path, Some(token), Some(json!({})))
}

pub fn send_text(token: &str, room: &str, txn: &str, text: &str) -> Req {
    let path = format!(
        "/_matrix/client/v3/rooms/{}/send/m.room.message/{txn}",
        encode(room)
    );
    req(
        Method::PUT,
        path,
        Some(token),
        Some(json!({"msgtype": "m.text", "body": text})),
    )
}

pub fn set_state(token: &str, room: &str, kind: &str, key: &str, content: Value) -> Req {
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/{kind}/{key}",
        encode(room)
    );
    req(Method::PUT, path, Some(token), Some(content))
}

pub fn state(token: &str, room: &str) -> Req {
    get(
        format!("/_matrix/client/v3/rooms/{}/state", encode(room)),
        token,
    )
}

pub fn members(token: &str, room: &str) -> Req {
    get(
        format!("/_matrix/client/v3/rooms/{}/members", encode(room)),
        token,
    )
}

pub fn messages_back(token: &str, room: &str, from: Option<&str>, limit: usize) -> Req {
    let room = encode(room);
    let mut path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit={limit}");
    if let Some(from) = from {
        path.push_str("&from=");
        path.push_str(&encode(from));
    }
    get(path, token)
}

/// How a /sync asks; every member of a run asks the same way.
#[derive(Clone)]
pub struct SyncStyle {
    pub presence: String,
    pub filter: Option<String>,
}

impl SyncStyle {
    pub fn request(&self, token: &str, since: Option<&str>, timeout_ms: u64) -> Req {
        let mut path = format!("/_matrix/client/v3/sync?timeout={timeout_ms}");
        path.push_str("&set_presence=");
        path.push_str(&self.presence);
        if let Some(filter) = &self.filter {
            path.push_str("&filter=");
            path.push_str(&encode(filter));
        }
        if let Some(since) = since {
            path.push_str("&since=");
            path.push_str(&encode(since));
        }
        get(path, token)
    }
}

pub fn upload(token: &str, content_type: &'static str, body: Bytes) -> Req {
    Req {
        method: Method::POST,
        path: "/_matrix/media/v3/upload".into(),
        token: Some(token.to_owned()),
        content_type,
        body,
    }
}

/// `mxc` is the content URI that the upload answered.
pub fn download(token: &str, mxc: &str) -> Req {
    get(
        format!(
            "/_matrix/client/v1/media/download/{}",
            mxc.trim_start_matches("mxc://")
        ),
        token,
    )
}

pub fn thumbnail(token: &str, mxc: &str, width: usize, height: usize) -> Req {
    let media = mxc.trim_start_matches("mxc://");
    let query = format!("width={width}&height={height}&method=scale");
    get(
        format!("/_matrix/client/v1/media/thumbnail/{media}?{query}"),
        token,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_paths_and_queries() {
        assert_eq!(encode("!room:host"), "%21room%3Ahost");
        assert_eq!(encode("s1_2~3.a-b"), "s1_2~3.a-b");
        assert_eq!(encode("{\"é\":1}"), "%7B%22%C3%A9%22%3A1%7D");
    }
}
