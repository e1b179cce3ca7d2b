//! A server that has nothing but users and this API.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use database::{Memory, MockClock, SeededRandom, Store};
use edge::{Edge, Gate, Payload, RateLimits, TrustedProxies};
use federation_api::FederationApi;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use ruma::server_name;
use serde_json::Value;
use tokio_util::task::TaskTracker;
use users::{Hashing, NewAccount, Registered, Users, UsersConfig};

pub(crate) struct TestServer {
    pub(crate) users: Users,
    pub(crate) clock: Arc<MockClock>,
    edge: Arc<Edge>,
}

impl TestServer {
    pub(crate) fn new() -> Self {
        Self::on(&Memory::new())
    }

    pub(crate) fn on(memory: &Memory) -> Self {
        let clock = Arc::new(MockClock::default());
        let random = Arc::new(SeededRandom::new(7));
        let config = UsersConfig {
            hashing: Hashing::weak_for_tests(),
            ..UsersConfig::new(server_name!("example.org").to_owned())
        };
        let store = Store::new(Arc::new(memory.clone()));
        let tasks = TaskTracker::new();
        let users = Users::new(store, clock.clone(), random.clone(), config, tasks);
        let gate = Gate::new(
            users.clone(),
            &RateLimits::default(),
            TrustedProxies::default(),
            clock.clone(),
            &*random,
        );
        let routes = federation_api::routes(FederationApi {
            users: users.clone(),
        });
        Self {
            users,
            clock,
            edge: Arc::new(Edge::new(routes, gate)),
        }
    }

    pub(crate) async fn user(&self, name: &str) -> Registered {
        let account = NewAccount {
            user_id: self.users.wanted_name(name).expect("a name"),
            password: None,
            is_admin: false,
            device: None,
        };
        self.users.register(account).await.expect("it registers")
    }

    /// A token for which a user has asked.
    pub(crate) async fn token(&self, user: &Registered) -> String {
        let token = self.users.new_openid_token(user.number).await;
        token.expect("the database works").reveal()
    }

    pub(crate) async fn get(&self, uri: &str) -> (StatusCode, Value) {
        let request = Request::builder()
            .uri(uri)
            .body(Payload::Ready(Vec::new().into()))
            .expect("a valid request");
        let response = self
            .edge
            .answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST))
            .await;
        let (parts, body) = response.into_parts();
        let bytes = body
            .collect()
            .await
            .expect("bodies are in memory")
            .to_bytes();
        let body = serde_json::from_slice(&bytes).expect("JSON");
        (parts.status, body)
    }
}
