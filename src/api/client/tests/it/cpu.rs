//! No request may occupy an async worker for long, whatever its body: each poll of each endpoint's
//! future is measured in CPU time of its thread, with the largest bodies that the endpoint takes.
//!
//! Work that handlers hand to other tasks (the writers of rooms) is not measured here.

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use edge::{Body, BodyLimits, EndpointInfo};
use http::{Method, Request};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::{person::User, server::TestServer};

/// The longest poll; code that is not optimized gets twice the time.
const BUDGET: Duration = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 50 });
/// A request that took too long is repeated: an interrupt or a first use of memory is not its fault.
const TRIES: usize = 3;

/// Polls a future and keeps the CPU time of its longest poll.
struct Metered<F> {
    future: Pin<Box<F>>,
    longest: Duration,
}

impl<F: Future> Future for Metered<F> {
    type Output = (F::Output, Duration);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let before = cpu_time();
        let polled = self.future.as_mut().poll(context);
        self.longest = self.longest.max(cpu_time().saturating_sub(before));
        polled.map(|output| (output, self.longest))
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("time is positive");
    let nanoseconds = u32::try_from(time.tv_nsec).expect("less than a second");
    Duration::new(seconds, nanoseconds)
}

/// The endpoint's path with arguments that lead as far as possible.
fn path(endpoint: &EndpointInfo, user: &User, room: &str, turn: usize) -> String {
    let arguments = endpoint.template.split('/').map(|segment| match segment {
        "{user_id}" => user.user_id.clone(),
        "{room_id}" | "{room_id_or_alias}" => room.to_owned(),
        "{device_id}" => user.device_id.clone(),
        "{event_type}" | "{type}" => "m.test".to_owned(),
        "{txn_id}" => format!("transaction-{turn}"),
        "{receipt_type}" => "m.read".to_owned(),
        "{event_id}" => "$event".to_owned(),
        "{kind}" => "content".to_owned(),
        "{version}" => "1".to_owned(),
        "{field}" => "org.example".to_owned(),
        argument if argument.starts_with('{') => "argument".to_owned(),
        fixed => fixed.to_owned(),
    });
    arguments.collect::<Vec<_>>().join("/")
}

/// A JSON object of at most `limit` bytes with as many members, made by `member`, as fit.
fn filled(limit: usize, member: impl Fn(usize) -> String) -> String {
    let mut text = "{".to_owned();
    for number in 0.. {
        let next = member(number);
        if text.len() + next.len() + 2 > limit {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text.push_str(&next);
    }
    text.push('}');
    text
}

/// The same for one array in a member `name`.
fn array(limit: usize, name: &str, item: impl Fn(usize) -> String) -> String {
    let inside = filled(limit - name.len() - 8, item);
    let items = &inside[1..inside.len() - 1];
    format!("{{\"{name}\":[{items}]}}")
}

/// The same for one object in a member `name`.
fn object(limit: usize, name: &str, member: impl Fn(usize) -> String) -> String {
    let inside = filled(limit - name.len() - 8, member);
    format!("{{\"{name}\":{inside}}}")
}

/// Bodies that any endpoint might get.
fn common(limit: usize) -> Vec<(&'static str, String)> {
    let nested = format!("{}0{}", "[".repeat(90), "]".repeat(90));
    let text = "\u{1}".escape_default().to_string();
    vec![
        ("numbers", array(limit, "a", |_| "0".to_owned())),
        ("objects", array(limit, "a", |_| "{}".to_owned())),
        ("nested", array(limit, "a", |_| nested.clone())),
        ("members", filled(limit, |number| format!("\"{number}\":0"))),
        ("text", format!("{{\"a\":\"{}\"}}", "x".repeat(limit - 8))),
        (
            "escapes",
            format!("{{\"a\":\"{}\"}}", "\\n".repeat((limit - 8) / 2)),
        ),
        (
            "cut off",
            array(limit, "a", |_| text.replace("\\u{1}", "1"))[..limit / 2].to_owned(),
        ),
    ]
}

/// Bodies of the shapes of keys, key backups and messages to devices, filled up.
fn shaped(limit: usize, user: &User) -> Vec<(&'static str, String)> {
    let name = |number: usize| format!("@user{number}:example.org");
    let own = &user.user_id;
    let content = json!({ "algorithm": "a", "ciphertext": "b" });
    let key = json!({ "key": "A".repeat(43), "signatures": { own: {} } });
    let session = json!({
        "first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": {},
    });
    vec![
        (
            "device_keys",
            object(limit, "device_keys", |n| format!("\"{}\":[]", name(n))),
        ),
        (
            "own devices",
            format!(
                "{{\"device_keys\":{{\"{own}\":{}}}}}",
                array(limit - 100, "a", |n| format!("\"D{n}\""))
                    .trim_start_matches("{\"a\":")
                    .trim_end_matches('}')
            ),
        ),
        (
            "messages",
            object(limit, "messages", |n| {
                format!("\"{}\":{{\"*\":{content}}}", name(n))
            }),
        ),
        (
            "claims",
            object(limit, "one_time_keys", |n| {
                format!("\"{}\":{{\"D\":\"signed_curve25519\"}}", name(n))
            }),
        ),
        (
            "one_time_keys",
            object(limit, "one_time_keys", |n| {
                format!("\"signed_curve25519:{n}\":{key}")
            }),
        ),
        (
            "signatures",
            filled(limit, |n| format!("\"{}\":{{\"D\":{{}}}}", name(n))),
        ),
        (
            "rooms",
            object(limit, "rooms", |n| {
                format!("\"!r{n}:x\":{{\"sessions\":{{\"s\":{session}}}}}")
            }),
        ),
        (
            "sessions",
            object(limit, "sessions", |n| format!("\"s{n}\":{session}")),
        ),
    ]
}

/// Bodies of the shapes of push rules, filters, messages and searches, filled up.
fn other_shapes(limit: usize) -> Vec<(&'static str, String)> {
    vec![
        ("devices", array(limit, "devices", |n| format!("\"D{n}\""))),
        (
            "actions",
            array(limit, "actions", |_| "\"notify\"".to_owned()),
        ),
        (
            "conditions",
            array(limit, "conditions", |_| {
                "{\"kind\":\"event_match\",\"key\":\"a\",\"pattern\":\"?\"}".to_owned()
            }),
        ),
        (
            "filter",
            array(limit, "event_fields", |n| format!("\"f{n}\"")),
        ),
        (
            "filter rooms",
            format!(
                "{{\"room\":{}}}",
                array(limit - 20, "rooms", |n| format!("\"!r{n}:x\""))
            ),
        ),
        (
            "message",
            json!({ "msgtype": "m.text", "body": "x".repeat(60_000) }).to_string(),
        ),
        (
            "search",
            json!({ "search_term": "x ".repeat(limit / 2 - 100) }).to_string(),
        ),
    ]
}

/// Bodies for creating rooms: the handler, its checks and the first events.
fn rooms(limit: usize) -> Vec<(&'static str, String)> {
    let inside = |name: &str, text: String| format!("{{\"{name}\":{text}}}");
    let creators = array(limit - 100, "additional_creators", |n| {
        format!("\"@u{n}:x.y\"")
    });
    vec![
        ("creators", inside("creation_content", creators)),
        (
            "invites",
            array(limit, "invite", |n| format!("\"@u{n}:example.org\"")),
        ),
        (
            "state",
            array(limit, "initial_state", |n| {
                format!("{{\"type\":\"t\",\"state_key\":\"{n}\",\"content\":{{}}}}")
            }),
        ),
        (
            "levels",
            inside(
                "power_level_content_override",
                object(limit - 100, "users", |n| format!("\"@u{n}:example.org\":1")),
            ),
        ),
    ]
}

async fn longest_poll(
    server: &TestServer,
    user: &User,
    method: &Method,
    uri: &str,
    body: String,
) -> Duration {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("authorization", format!("Bearer {}", user.token))
        .body(Body::from(body))
        .expect("a valid request");
    let answering = Metered {
        future: Box::pin(server.edge.answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST))),
        longest: Duration::ZERO,
    };
    answering.await.1
}

fn is_large(value: &EndpointInfo) -> bool {
    value.body_limit(&BodyLimits::default()) > BodyLimits::default().usual
}

#[tokio::test]
async fn no_poll_of_a_request_takes_long_whatever_its_body() {
    let server = TestServer::new().await;
    let user = server.user("alice").await;
    let room = user.create_room("private_chat").await;
    let limits = BodyLimits::default();
    let mut slow: Vec<(Duration, String)> = Vec::new();
    let mut requests = 0;
    for large in [false, true] {
        let limit = if large { limits.large } else { limits.usual };
        let mut bodies = common(limit);
        bodies.extend(shaped(limit, &user));
        bodies.extend(other_shapes(limit));
        for endpoint in server
            .endpoints
            .iter()
            .filter(|endpoint| is_large(endpoint) == large)
        {
            // Each kind of path once; ends the session or the account.
            let skipped = ["/r0/", "/unstable/", "/logout", "/deactivate"];
            if endpoint.method == Method::GET
                || skipped.iter().any(|part| endpoint.template.contains(part))
            {
                continue;
            }
            let extra = if endpoint.template.ends_with("/createRoom") {
                rooms(limit)
            } else {
                Vec::new()
            };
            for (shape, body) in bodies.iter().chain(&extra) {
                let mut took = Duration::MAX;
                for _ in 0..TRIES {
                    requests += 1;
                    let uri = path(endpoint, &user, &room, requests);
                    let method = &endpoint.method;
                    let poll = longest_poll(&server, &user, method, &uri, body.clone());
                    took = took.min(poll.await);
                    if took <= BUDGET {
                        break;
                    }
                }
                if took > BUDGET {
                    slow.push((
                        took,
                        format!("{} {} {shape}", endpoint.method, endpoint.template),
                    ));
                }
            }
        }
    }
    slow.sort_unstable_by(|a, b| b.cmp(a));
    assert!(requests > 500, "every endpoint is driven: {requests}");
    assert!(
        slow.is_empty(),
        "{} of {requests} requests took too long:\n{slow:#?}",
        slow.len()
    );
    assert_eq!(server.store.oversized(), [], "stored values");
    let whoami = user.get("/v3/account/whoami").await.expect_ok();
    assert_eq!(whoami["user_id"], Value::from(user.user_id.as_str()));
}
