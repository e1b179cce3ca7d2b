//! A logged-in device of a user.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyper::Method;
use serde_json::{Value, json};

use crate::http::{Answer, Http, Unanswered};
use crate::server::Server;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

#[derive(Clone)]
pub(crate) struct Client {
    http: Http,
    pub(crate) user: String,
    token: String,
}

/// The fields of a timeline event that the tests use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// `body` of a message.
    pub(crate) body: String,
}

/// A client that syncs without a gap and records each room's timeline.
pub(crate) struct Watcher {
    client: Client,
    since: String,
    pub(crate) seen: BTreeMap<String, Vec<Event>>,
}

impl Client {
    pub(crate) async fn register(server: &Server, name: &str) -> Self {
        let http = server.http();
        let answer = ask_to_register(&http, name).await.expect("the server runs");
        Self::from_answer(http, &answer.expect_ok())
    }

    pub(crate) async fn login(server: &Server, name: &str) -> Self {
        let http = server.http();
        let answer = ask_to_login(&http, name, PASSWORD).await;
        Self::from_answer(http, &answer.expect_ok())
    }

    fn from_answer(http: Http, body: &Value) -> Self {
        Self {
            http,
            user: text(&body["user_id"]),
            token: text(&body["access_token"]),
        }
    }

    /// The same device, connected to the restarted server.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self {
            http: server.http(),
            ..self.clone()
        }
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Unanswered> {
        self.http
            .ask(Method::GET, path, Some(&self.token), None)
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Unanswered> {
        self.http
            .ask(Method::POST, path, Some(&self.token), Some(body))
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Answer, Unanswered> {
        self.http
            .ask(Method::PUT, path, Some(&self.token), Some(body))
            .await
    }

    /// Uploads a file.
    pub(crate) async fn upload(&self, bytes: Vec<u8>) -> Result<Answer, Unanswered> {
        let path = "/_matrix/media/v3/upload";
        let (status, body) = self
            .http
            .ask_raw(Method::POST, path, &self.token, bytes)
            .await?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&body).map_err(|_| Unanswered)?,
        })
    }

    /// A file by `server/id`.
    pub(crate) async fn download(&self, name: &str) -> Result<(u16, bytes::Bytes), Unanswered> {
        let path = format!("/_matrix/client/v1/media/download/{name}");
        self.http
            .ask_raw(Method::GET, &path, &self.token, Vec::new())
            .await
    }

    /// The body of a 200 to a GET.
    pub(crate) async fn read(&self, path: &str) -> Value {
        self.get(path).await.expect("the server runs").expect_ok()
    }

    pub(crate) async fn create_room(&self, body: &Value) -> String {
        let answer = self
            .post("/v3/createRoom", body)
            .await
            .expect("the server runs");
        text(&answer.expect_ok()["room_id"])
    }

    pub(crate) async fn create_public_room(&self) -> String {
        self.create_room(&json!({ "preset": "public_chat" })).await
    }

    pub(crate) async fn join(&self, room: &str) {
        let answer = self
            .post(&format!("/v3/join/{}", escaped(room)), &json!({}))
            .await;
        answer.expect("the server runs").expect_ok();
    }

    /// Sends a text message. The same `transaction` repeats the same send.
    pub(crate) async fn try_send(
        &self,
        room: &str,
        transaction: &str,
        body: &str,
    ) -> Result<Answer, Unanswered> {
        let (room, transaction) = (escaped(room), escaped(transaction));
        let path = format!("/v3/rooms/{room}/send/m.room.message/{transaction}");
        self.put(&path, &json!({ "msgtype": "m.text", "body": body }))
            .await
    }

    /// Returns the event's id. The text is also the transaction id.
    pub(crate) async fn send(&self, room: &str, body: &str) -> String {
        let answer = self
            .try_send(room, body, body)
            .await
            .expect("the server runs");
        text(&answer.expect_ok()["event_id"])
    }

    pub(crate) async fn joined_rooms(&self) -> Vec<String> {
        let body = self.read("/v3/joined_rooms").await;
        body["joined_rooms"]
            .as_array()
            .expect("a list")
            .iter()
            .map(text)
            .collect()
    }

    /// The whole timeline from `/messages`, oldest first.
    pub(crate) async fn timeline(&self, room: &str) -> Vec<Event> {
        let mut events = Vec::new();
        let mut from = String::new();
        loop {
            let page = self.page_back(room, &from).await;
            events.extend(events_in(&page["chunk"]));
            match page["end"].as_str() {
                Some(end) => from = format!("&from={end}"),
                None => break,
            }
        }
        events.reverse();
        events
    }

    pub(crate) async fn messages(&self, room: &str) -> Vec<Event> {
        let mut events = self.timeline(room).await;
        events.retain(|event| event.kind == "m.room.message");
        events
    }

    async fn page_back(&self, room: &str, from: &str) -> Value {
        self.read(&format!(
            "/v3/rooms/{}/messages?dir=b&limit=500{from}",
            escaped(room)
        ))
        .await
    }

    /// An immediate response; `since` is empty for an initial sync.
    pub(crate) async fn sync(&self, since: &str) -> Value {
        self.try_sync(since, 0)
            .await
            .expect("the server runs")
            .expect_ok()
    }

    pub(crate) async fn try_sync(&self, since: &str, timeout: u32) -> Result<Answer, Unanswered> {
        let filter = escaped(r#"{"room":{"timeline":{"limit":1000}}}"#);
        let since = if since.is_empty() {
            String::new()
        } else {
            format!("&since={since}")
        };
        self.get(&format!(
            "/v3/sync?timeout={timeout}&filter={filter}{since}"
        ))
        .await
    }
}

impl Watcher {
    /// Starts at the present: earlier events are not included.
    pub(crate) async fn begin(client: Client) -> Self {
        let since = text(&client.sync("").await["next_batch"]);
        Self {
            client,
            since,
            seen: BTreeMap::new(),
        }
    }

    /// Continues with the old token at the restarted server.
    pub(crate) fn move_to(&mut self, server: &Server) {
        self.client = self.client.at(server);
    }

    /// Syncs once and waits up to `timeout` milliseconds. Returns whether any room has new events.
    pub(crate) async fn watch(&mut self, timeout: u32) -> Result<bool, Unanswered> {
        let answer = self
            .client
            .try_sync(&self.since, timeout)
            .await?
            .expect_ok();
        let rooms = answer["rooms"]["join"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        for (room, news) in &rooms {
            let timeline = &news["timeline"];
            let mut events = events_in(&timeline["events"]);
            if timeline["limited"] == true {
                let gap = self.gap(room, &text(&timeline["prev_batch"])).await;
                events.splice(0..0, gap);
            }
            self.seen.entry(room.clone()).or_default().extend(events);
        }
        self.since = text(&answer["next_batch"]);
        Ok(!rooms.is_empty())
    }

    /// Syncs until nothing is new.
    pub(crate) async fn catch_up(&mut self) {
        while self.watch(0).await.expect("the server runs") {}
    }

    pub(crate) fn messages(&self, room: &str) -> Vec<Event> {
        let seen = self.seen.get(room).cloned().unwrap_or_default();
        seen.into_iter()
            .filter(|event| event.kind == "m.room.message")
            .collect()
    }

    /// Searches from the newest event, where it probably is.
    pub(crate) fn has_seen(&self, room: &str, id: &str) -> bool {
        self.seen
            .get(room)
            .is_some_and(|seen| seen.iter().rev().any(|event| event.id == id))
    }

    /// The events between the last one seen and a limited timeline.
    async fn gap(&self, room: &str, prev_batch: &str) -> Vec<Event> {
        let last = self.seen.get(room).and_then(|seen| seen.last());
        let mut found = Vec::new();
        let mut from = format!("&from={prev_batch}");
        loop {
            let page = self.client.page_back(room, &from).await;
            for event in events_in(&page["chunk"]) {
                if Some(&event) == last {
                    found.reverse();
                    return found;
                }
                found.push(event);
            }
            match page["end"].as_str() {
                Some(end) => from = format!("&from={end}"),
                None => break,
            }
        }
        found.reverse();
        found
    }
}

/// Prints only where two long timelines differ.
#[track_caller]
pub(crate) fn assert_same(seen: &[Event], timeline: &[Event]) {
    let parting = seen
        .iter()
        .zip(timeline)
        .position(|(seen, event)| seen != event);
    if let Some(place) = parting {
        let around = |events: &[Event]| events[place..].iter().take(3).cloned().collect::<Vec<_>>();
        let (seen, timeline) = (around(seen), around(timeline));
        panic!("from place {place} on seen as {seen:?}, in the timeline as {timeline:?}");
    }
    let (seen_last, last) = (seen.last(), timeline.last());
    assert_eq!(
        seen.len(),
        timeline.len(),
        "ends with {seen_last:?} instead of {last:?}"
    );
}

pub(crate) async fn ask_to_register(http: &Http, name: &str) -> Result<Answer, Unanswered> {
    let body = json!({
        "username": name,
        "password": PASSWORD,
        "auth": { "type": "m.login.dummy" },
    });
    http.ask(Method::POST, "/v3/register", None, Some(&body))
        .await
}

pub(crate) async fn ask_to_login(http: &Http, name: &str, password: &str) -> Answer {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": name },
        "password": password,
    });
    let answer = http.ask(Method::POST, "/v3/login", None, Some(&body)).await;
    answer.expect("the server runs")
}

/// Percent-encodes characters that are not allowed in a path or query.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a String takes any text");
        }
    }
    escaped
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn events_in(list: &Value) -> Vec<Event> {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|event| Event {
            id: text(&event["event_id"]),
            kind: text(&event["type"]),
            body: event["content"]["body"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        })
        .collect()
}
