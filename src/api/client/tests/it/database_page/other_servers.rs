//! Another server whose keys are known, and one that does not answer.

use std::sync::Arc;

use bytes::Bytes;
use database::{Clock, MockClock, Random, SeededRandom, Store, engine::BoxFuture};
use federation::{
    Federation, FederationConfig, KeyDocument, Keys, ServerPolicy,
    client::{ClientError, Concurrency, HttpClient, RawBody, Route, Transport},
};
use http::{Request, Response};
use ruma::server_name;

/// Nobody answers.
struct Silence;

impl Transport for Silence {
    fn exchange(
        &self,
        _: Request<Bytes>,
        _: Route,
    ) -> BoxFuture<'_, Result<Response<RawBody>, ClientError>> {
        Box::pin(async { Err(ClientError::Connect("nobody is there".to_owned())) })
    }
}

/// A server that reaches no other.
pub(crate) async fn nobody_else(
    store: &Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Federation {
    let name = server_name!("example.org").to_owned();
    let keys = Keys::open(store, &*random, &*clock, name.clone())
        .await
        .expect("its keys");
    Federation::new(
        store.clone(),
        clock,
        random,
        keys,
        HttpClient::new(Arc::new(Silence), Concurrency::default()),
        FederationConfig {
            policy: ServerPolicy::new(name, true, &[], &[]),
            trusted_key_servers: Vec::new(),
            answer_bytes: 1 << 20,
        },
    )
}

pub(super) async fn meet_other_servers(store: &Store) {
    let (clock, random) = (
        Arc::new(MockClock::default()),
        Arc::new(SeededRandom::new(3)),
    );
    let federation = nobody_else(store, clock.clone(), random.clone()).await;
    let other = server_name!("other.example");
    let elsewhere = Store::memory();
    let keys = Keys::open(&elsewhere, &*random, &*clock, other.to_owned())
        .await
        .expect("keys");
    let document = KeyDocument::check(&keys.document(&*clock), other).expect("it is valid");
    federation
        .server_keys()
        .learn(&document)
        .await
        .expect("learned");
    let gone = federation
        .backoff()
        .failed(server_name!("gone.example"))
        .await;
    gone.expect("written");
}
