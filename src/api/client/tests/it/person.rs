//! People: what a test's users do, in words instead of JSON, and the answers that they get.

use http::{HeaderMap, StatusCode, response::Parts};
use serde_json::{Value, json};

use crate::server::TestServer;

/// Somebody who is logged in on one device.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) user_id: String,
    pub(crate) device_id: String,
    pub(crate) token: String,
    pub(crate) server: TestServer,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null where the body is not JSON.
    pub(crate) body: Value,
}

impl User {
    pub(crate) fn password_of(name: &str) -> String {
        format!("password of {name}")
    }

    pub(crate) fn logged_in(server: &TestServer, name: &str, body: &Value) -> Self {
        let field = |field: &str| body[field].as_str().expect("a login tells it").to_owned();
        Self {
            name: name.to_owned(),
            user_id: field("user_id"),
            device_id: field("device_id"),
            token: field("access_token"),
            server: server.clone(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.server
            .request("GET", path, Some(&self.token), None)
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.server
            .request("DELETE", path, Some(&self.token), None)
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.server
            .request("POST", path, Some(&self.token), Some(body))
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.server
            .request("PUT", path, Some(&self.token), Some(body))
            .await
    }

    /// `preset` as the spec names it, such as `public_chat`.
    pub(crate) async fn create_room(&self, preset: &str) -> String {
        let answer = self
            .post("/v3/createRoom", json!({ "preset": preset }))
            .await
            .expect_ok();
        answer["room_id"]
            .as_str()
            .expect("createRoom tells it")
            .to_owned()
    }

    pub(crate) async fn join(&self, room: &str) -> Answer {
        self.post(&format!("/v3/join/{room}"), json!({})).await
    }

    pub(crate) async fn leave(&self, room: &str) -> Answer {
        self.post(&format!("/v3/rooms/{room}/leave"), json!({}))
            .await
    }

    pub(crate) async fn invite(&self, user: &Self, room: &str) -> Answer {
        self.membership("invite", user, room).await
    }

    pub(crate) async fn kick(&self, user: &Self, room: &str) -> Answer {
        self.membership("kick", user, room).await
    }

    pub(crate) async fn ban(&self, user: &Self, room: &str) -> Answer {
        self.membership("ban", user, room).await
    }

    pub(crate) async fn unban(&self, user: &Self, room: &str) -> Answer {
        self.membership("unban", user, room).await
    }

    /// Sends a text, with a transaction id that no other text has.
    pub(crate) async fn send(&self, room: &str, text: &str) -> String {
        let transaction = format!("{}-{}", self.device_id, text.replace(' ', "_"));
        let path = format!("/v3/rooms/{room}/send/m.room.message/{transaction}");
        let content = json!({ "msgtype": "m.text", "body": text });
        let answer = self.put(&path, content).await.expect_ok();
        answer["event_id"]
            .as_str()
            .expect("send tells it")
            .to_owned()
    }

    pub(crate) async fn set_state(&self, room: &str, kind: &str, key: &str, to: Value) -> Answer {
        self.put(&format!("/v3/rooms/{room}/state/{kind}/{key}"), to)
            .await
    }

    /// What is new since a token, or everything, without waiting.
    pub(crate) async fn sync(&self, since: Option<&str>) -> Value {
        let since = since
            .map(|token| format!("&since={token}"))
            .unwrap_or_default();
        self.get(&format!("/v3/sync?timeout=0{since}"))
            .await
            .expect_ok()
    }

    async fn membership(&self, change: &str, user: &Self, room: &str) -> Answer {
        self.post(
            &format!("/v3/rooms/{room}/{change}"),
            json!({ "user_id": user.user_id }),
        )
        .await
    }
}

impl Answer {
    pub(crate) fn new(parts: Parts, bytes: &[u8]) -> Self {
        let body = serde_json::from_slice(bytes).unwrap_or_default();
        Self {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    #[track_caller]
    pub(crate) fn expect_ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }

    #[track_caller]
    pub(crate) fn expect_error(self, status: StatusCode, errcode: &str) {
        let got = (self.status, self.body["errcode"].as_str());
        assert_eq!(got, (status, Some(errcode)), "{}", self.body);
    }
}
