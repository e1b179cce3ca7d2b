//! An API with an endpoint for each thing that the HTTP layer does, served on a loopback port.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use database::{Inline, Memory, MockClock, SeededRandom, Store};
use edge::{
    ApiError, AxumResponse, Body, Call, ConnectionLimits, ConnectionTimeouts, Connections, Edge,
    EdgeContext, EdgeSettings, FromRef, Json, JsonPages, PageSource, RateLimits, RawCall, RawJson,
    Response, Routes, Rule, State, TrustedProxies, own_request, serve,
};
use futures_util::stream;
use ruma::{
    api::{
        auth_scheme::AccessToken,
        client::{account::whoami, media::create_content},
    },
    metadata, server_name,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Hashing, NewAccount, NewDevice, Users, UsersConfig};

use crate::client::Client;

/// A server; dropped, it stops accepting.
pub(crate) struct TestServer {
    pub(crate) edge: Arc<Edge>,
    pub(crate) address: SocketAddr,
    pub(crate) parked: Arc<Notify>,
    users: Users,
    stop: CancellationToken,
}

pub(crate) struct TestOptions {
    pub(crate) settings: EdgeSettings,
    pub(crate) connections: usize,
    pub(crate) timeouts: ConnectionTimeouts,
}

#[derive(Clone)]
struct Api {
    parked: Arc<Notify>,
}

#[derive(Clone)]
struct Parked(Arc<Notify>);

impl FromRef<Api> for Parked {
    fn from_ref(api: &Api) -> Self {
        Self(api.parked.clone())
    }
}

impl Default for TestOptions {
    fn default() -> Self {
        let rate_limits = RateLimits {
            enabled: false,
            ..RateLimits::default()
        };
        Self {
            settings: EdgeSettings {
                rate_limits,
                ..EdgeSettings::default()
            },
            connections: 100,
            timeouts: ConnectionTimeouts {
                head: Duration::from_mins(1),
                stall: Duration::from_mins(1),
            },
        }
    }
}

impl TestServer {
    pub(crate) async fn new() -> Self {
        Self::with(TestOptions::default()).await
    }

    pub(crate) async fn with(options: TestOptions) -> Self {
        let clock = Arc::new(MockClock::default());
        let random = Arc::new(SeededRandom::new(7));
        let config = UsersConfig {
            hashing: Hashing::weak_for_tests(),
            ..UsersConfig::new(server_name!("example.org").to_owned())
        };
        let tasks = TaskTracker::new();
        let store = Store::new(Arc::new(Memory::new()));
        let users = Users::new(store, clock.clone(), random.clone(), config, tasks.clone());
        let context = EdgeContext::new(
            users.clone(),
            options.settings,
            clock,
            &*random,
            Arc::new(Inline),
        );
        let parked = Arc::new(Notify::new());
        let edge = Arc::new(Edge::new(routes(parked.clone()), context));
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let stop = CancellationToken::new();
        let limits = ConnectionLimits {
            total: options.connections,
            per_address: 100,
            trusted_proxies: TrustedProxies::default(),
        };
        let connections = Connections::new(limits, options.timeouts);
        let serving = serve(
            listener,
            edge.clone(),
            connections,
            tasks.clone(),
            stop.clone(),
        );
        tasks.spawn(serving);
        Self {
            edge,
            address,
            parked,
            users,
            stop,
        }
    }

    /// Registers a user and returns an access token.
    pub(crate) async fn token(&self, name: &str) -> String {
        let account = NewAccount {
            user_id: self.users.wanted_name(name).expect("a name"),
            password: None,
            is_admin: false,
            device: Some(NewDevice::default()),
        };
        let registered = self.users.register(account).await.expect("it registers");
        registered
            .session
            .expect("it logs in")
            .access_token
            .reveal()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Echo {
    name: String,
    body: Value,
}

metadata! {
    @for Echo,
    method: PUT,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_test/echo/{name}",
}

own_request!(Echo => whoami::v3::Response, |input| {
    let (name,) = input.path()?;
    Ok(Self { name, body: input.json()? })
});

struct Large(usize);

metadata! {
    @for Large,
    method: GET,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_test/large/{bytes}",
}

own_request!(Large => whoami::v3::Response, |input| {
    let (bytes,): (String,) = input.path()?;
    Ok(Self(bytes.parse().unwrap_or_default()))
});

struct Pages {
    count: usize,
    fails: bool,
}

metadata! {
    @for Pages,
    method: GET,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_test/pages/{count}/{end}",
}

own_request!(Pages => whoami::v3::Response, |input| {
    let (count, end): (String, String) = input.path()?;
    Ok(Self { count: count.parse().unwrap_or_default(), fails: end == "failure" })
});

struct Park;

metadata! {
    @for Park,
    method: POST,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_test/park",
}

own_request!(Park => whoami::v3::Response, |_input| Ok(Self));

struct Panic;

metadata! {
    @for Panic,
    method: GET,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_test/panic",
}

own_request!(Panic => whoami::v3::Response, |_input| Ok(Self));

fn routes(parked: Arc<Notify>) -> Routes<Api> {
    Routes::new(Api { parked })
        .add(whoami)
        .add_with(echo, Rule::new().large_body())
        .add(large)
        .add(pages)
        .add(park)
        .add(panic)
        .add_with(upload, Rule::new().body_bytes(1 << 20))
}

async fn whoami(call: Call<whoami::v3::Request>) -> Result<whoami::v3::Response, ApiError> {
    Ok(whoami::v3::Response::new(
        call.caller.user_id.clone(),
        false,
    ))
}

async fn echo(call: Call<Echo>) -> Result<Json<Value>, ApiError> {
    Ok(Json(
        json!({ "name": call.request.name, "body": call.request.body }),
    ))
}

async fn large(call: Call<Large>) -> Result<RawJson, ApiError> {
    Ok(RawJson(vec![b' '; call.request.0]))
}

async fn pages(call: Call<Pages>) -> Result<JsonPages, ApiError> {
    JsonPages::begin(call.request).await
}

async fn park(State(parked): State<Parked>, _call: Call<Park>) -> Result<Json<Value>, ApiError> {
    parked.0.notify_one();
    std::future::pending().await
}

async fn panic(call: Call<Panic>) -> Result<Json<Value>, ApiError> {
    assert!(call.client.0.is_unspecified(), "a bug of a handler");
    Ok(Json(json!({})))
}

/// Answers with the body that it reads, as a stream.
async fn upload(
    mut call: RawCall<create_content::v3::Request>,
) -> Result<AxumResponse<Response>, ApiError> {
    let mut chunks = Vec::new();
    while let Some(chunk) = call.body.next().await? {
        chunks.push(Ok::<_, std::convert::Infallible>(chunk));
    }
    let name = call.request.filename.unwrap_or_default();
    let response = http::Response::builder()
        .header("content-type", "image/png")
        .header("content-length", call.body.received())
        .header("x-name", name)
        .body(Body::from_stream(stream::iter(chunks)));
    Ok(AxumResponse(response.map_err(ApiError::internal)?))
}

impl PageSource for Pages {
    async fn next_page(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        if self.count == 0 {
            return if self.fails {
                Err(ApiError::internal("no disk"))
            } else {
                Ok(None)
            };
        }
        self.count -= 1;
        Ok(Some(vec![b'a'; 1_000]))
    }
}
