//! The keys of other servers: fetched in batches and once, renewed, refused.

use std::{sync::Arc, time::Duration};

use database::{Clock as _, Millis, MockClock};
use federation::{KeyDocument, WantedKey};
use ruma::RoomVersionId;
use serde_json::Value;

use crate::{
    network::{FakeNetwork, json, status},
    server::{KEYS, TestServer, name},
};

const MINUTE: Duration = Duration::from_mins(1);

struct Fixture {
    network: FakeNetwork,
    clock: Arc<MockClock>,
    own: TestServer,
    other: TestServer,
}

impl Fixture {
    async fn new() -> Self {
        let (network, clock) = (FakeNetwork::default(), Arc::new(MockClock::default()));
        let own = TestServer::new("own.example:1", &network, &clock).await;
        let other = TestServer::new("other.example:1", &network, &clock).await;
        Self {
            network,
            clock,
            own,
            other,
        }
    }

    fn wanted(&self, at: Millis) -> WantedKey {
        wanted(&self.other, &self.other.key_id(), at)
    }

    async fn found(&self, wanted: &[WantedKey]) -> usize {
        self.own.found(wanted).await
    }

    fn fetches(&self) -> usize {
        self.network.requested().values().sum()
    }
}

impl TestServer {
    async fn found(&self, wanted: &[WantedKey]) -> usize {
        let found = self.federation.server_keys().for_events(wanted).await;
        found.expect("memory does not fail").len()
    }
}

fn wanted(server: &TestServer, key_id: &str, at: Millis) -> WantedKey {
    WantedKey {
        server: server.name.clone(),
        key_id: key_id.to_owned(),
        at,
    }
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_who_want_them() {
    let fixture = Fixture::new().await;
    let batch = vec![fixture.wanted(fixture.clock.now()); 20];
    let batches = (0..20).map(|_| fixture.found(&batch));
    let found = futures_util::future::join_all(batches).await;
    assert!(found.iter().all(|found| *found == 1));
    assert_eq!(fixture.fetches(), 1);

    let restarted = TestServer::new("own.example:1", &fixture.network, &fixture.clock).await;
    drop(restarted);
    assert_eq!(fixture.found(&batch).await, 1);
    assert_eq!(fixture.fetches(), 0, "they are stored");
}

#[tokio::test]
async fn servers_of_a_batch_are_asked_at_the_same_time() {
    let fixture = Fixture::new().await;
    let mut batch = Vec::new();
    for number in 0..40 {
        let text = format!("s{number}.example:1");
        let server = TestServer::new(&text, &fixture.network, &fixture.clock).await;
        batch.push(wanted(&server, &server.key_id(), fixture.clock.now()));
    }
    assert_eq!(fixture.found(&batch).await, 40);
    let most = fixture.network.most_running();
    assert!((2..=16).contains(&most), "{most}");
}

#[tokio::test]
async fn a_failed_fetch_is_repeated_after_a_minute_doubling_to_an_hour() {
    let fixture = Fixture::new().await;
    fixture.other.vanish();
    let batch = [fixture.wanted(fixture.clock.now())];
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(fixture.found(&batch).await, 0);
        assert_eq!(fixture.fetches(), 1, "before {minutes} minutes");
        fixture
            .clock
            .advance(MINUTE * (minutes - 1) + Duration::from_secs(59));
        assert_eq!(fixture.found(&batch).await, 0);
        assert_eq!(fixture.fetches(), 0, "within {minutes} minutes");
        fixture.clock.advance(Duration::from_secs(1));
    }
    fixture.other.publish();
    assert_eq!(fixture.found(&batch).await, 1);
}

#[tokio::test]
async fn a_key_that_a_server_does_not_have_is_not_asked_for_again_and_again() {
    let fixture = Fixture::new().await;
    let unknown = [wanted(
        &fixture.other,
        "ed25519:unknown",
        fixture.clock.now(),
    )];
    for _ in 0..5 {
        assert_eq!(fixture.found(&unknown).await, 0);
    }
    assert_eq!(fixture.fetches(), 1);
    fixture.clock.advance(MINUTE);
    assert_eq!(fixture.found(&unknown).await, 0);
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn keys_are_renewed_when_an_event_is_newer_than_they_are_valid() {
    let fixture = Fixture::new().await;
    assert_eq!(
        fixture.found(&[fixture.wanted(fixture.clock.now())]).await,
        1
    );
    assert_eq!(fixture.fetches(), 1);
    fixture.clock.advance(Duration::from_hours(25));
    assert_eq!(fixture.found(&[fixture.wanted(Millis(0))]).await, 1);
    assert_eq!(fixture.fetches(), 0, "an old event needs no more");
    let now = fixture.clock.now();
    assert_eq!(fixture.found(&[fixture.wanted(now)]).await, 1);
    assert_eq!(fixture.fetches(), 1);
    let keys = fixture.own.federation.server_keys();
    let key = keys
        .known(&fixture.other.name, &fixture.other.key_id())
        .await;
    let key = key.expect("memory does not fail").expect("it is stored");
    let rules = RoomVersionId::V11.rules().expect("a known version");
    assert!(key.is_valid_for_event(now, &rules));
}

#[tokio::test]
async fn an_old_key_checks_old_events_and_no_requests() {
    let fixture = Fixture::new().await;
    let old_id = fixture.other.key_id();
    let before = fixture.clock.now();
    fixture.clock.advance(Duration::from_hours(1));
    let new_id = fixture.other.rotate().await;
    fixture.clock.advance(Duration::from_hours(1));
    let both = [
        wanted(&fixture.other, &old_id, before),
        wanted(&fixture.other, &new_id, fixture.clock.now()),
    ];
    assert_eq!(fixture.found(&both).await, 2);
    assert_eq!(fixture.fetches(), 1);

    let keys = fixture.own.federation.server_keys();
    assert!(keys.for_request(&fixture.other.name, &new_id).await.is_ok());
    assert!(
        keys.for_request(&fixture.other.name, &old_id)
            .await
            .is_err()
    );
    let old = keys
        .known(&fixture.other.name, &old_id)
        .await
        .expect("a read")
        .expect("a key");
    let rules = RoomVersionId::V11.rules().expect("a known version");
    assert!(old.is_valid_for_event(before, &rules));
    assert!(!old.is_valid_for_event(fixture.clock.now(), &rules));
}

#[tokio::test]
async fn a_server_cannot_publish_keys_of_another() {
    let fixture = Fixture::new().await;
    let third = TestServer::new("third.example:1", &fixture.network, &fixture.clock).await;
    let document = third.federation.key_document().to_string();
    fixture
        .network
        .serve("other.example:1", KEYS, move |_| json(document.clone()));
    let batch = [
        wanted(&fixture.other, &third.key_id(), fixture.clock.now()),
        wanted(&fixture.other, &fixture.other.key_id(), fixture.clock.now()),
    ];
    assert_eq!(fixture.found(&batch).await, 0);
    let keys = fixture.own.federation.server_keys();
    let known = keys
        .known(&third.name, &third.key_id())
        .await
        .expect("memory does not fail");
    assert!(known.is_none(), "nor does it bring those of the other");
}

#[tokio::test]
async fn denied_servers_are_not_asked() {
    let fixture = Fixture::new().await;
    let denied = TestServer::new("denied.example:1", &fixture.network, &fixture.clock).await;
    let batch = [wanted(&denied, &denied.key_id(), fixture.clock.now())];
    assert_eq!(fixture.found(&batch).await, 0);
    assert_eq!(fixture.fetches(), 0);
}

async fn notarized(server: &TestServer, of: &TestServer, until: Millis) -> Vec<Value> {
    let keys = server.federation.server_keys();
    let documents = keys.as_notary(vec![(of.name.clone(), until)]).await;
    let documents = documents.expect("memory does not fail");
    documents
        .iter()
        .map(|json| serde_json::from_str(json).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn a_notary_signs_what_the_server_has_signed() {
    let fixture = Fixture::new().await;
    let now = fixture.clock.now();
    let documents = notarized(&fixture.own, &fixture.other, now).await;
    let signatures = documents[0]["signatures"].as_object().expect("signatures");
    assert_eq!(signatures.len(), 2);
    let text = documents[0].to_string();
    KeyDocument::check(&text, &fixture.other.name).expect("the server's signature is untouched");

    fixture.network.requested();
    notarized(&fixture.own, &fixture.other, now).await;
    assert_eq!(fixture.fetches(), 0, "it is stored");
    fixture.clock.advance(Duration::from_hours(13));
    notarized(&fixture.own, &fixture.other, now).await;
    assert_eq!(fixture.fetches(), 1, "half of its lifetime is over");

    fixture.other.vanish();
    fixture.clock.advance(Duration::from_hours(100));
    let documents = notarized(&fixture.own, &fixture.other, fixture.clock.now()).await;
    assert_eq!(documents.len(), 1, "an old one is better than none");
}

#[tokio::test]
async fn a_notary_does_not_fetch_as_often_as_it_is_asked() {
    let fixture = Fixture::new().await;
    for _ in 0..10 {
        notarized(&fixture.own, &fixture.other, Millis(u64::MAX)).await;
    }
    assert_eq!(fixture.fetches(), 1);
    fixture.other.vanish();
    let gone = TestServer::new("gone.example:1", &fixture.network, &fixture.clock).await;
    gone.vanish();
    assert!(notarized(&fixture.own, &gone, Millis(0)).await.is_empty());
}

const QUERY: &str = "/_matrix/key/v2/query";

/// Lets a server answer as a key server.
fn serve_queries(server: &TestServer) {
    let federation = server.federation.clone();
    server
        .network
        .serve_async(server.name.as_str(), QUERY, move |request| {
            let federation = federation.clone();
            Box::pin(async move {
                let query: Value = serde_json::from_slice(request.body()).expect("JSON");
                let servers = query["server_keys"].as_object().expect("servers").keys();
                let queries = servers.map(|server| (name(server), Millis(0))).collect();
                let keys = federation.server_keys().as_notary(queries).await;
                let keys = keys.expect("memory does not fail").join(",");
                json(format!("{{\"server_keys\":[{keys}]}}"))
            })
        });
}

#[tokio::test]
async fn a_trusted_key_server_is_asked_for_keys_whose_server_does_not_answer() {
    let fixture = Fixture::new().await;
    let key_server = TestServer::new("keys.example:1", &fixture.network, &fixture.clock).await;
    serve_queries(&key_server);
    notarized(&key_server, &fixture.other, fixture.clock.now()).await;
    fixture.other.vanish();
    let batch = [fixture.wanted(fixture.clock.now())];
    assert_eq!(
        fixture.found(&batch).await,
        0,
        "nobody is trusted by default"
    );

    let trusted = [&*key_server.name];
    let trusting = TestServer::trusting(
        "trusting.example:1",
        &fixture.network,
        &fixture.clock,
        &trusted,
    )
    .await;
    fixture.network.requested();
    assert_eq!(trusting.found(&batch).await, 1);
    let requested = fixture.network.requested();
    assert_eq!(
        requested.get("Host keys.example:1 /_matrix/key/v2/query"),
        Some(&1)
    );
    assert_eq!(
        requested.get("Host other.example:1 /_matrix/key/v2/server"),
        Some(&1)
    );
}

#[tokio::test]
async fn what_a_key_server_has_not_signed_is_not_believed() {
    let fixture = Fixture::new().await;
    let key_server = TestServer::new("keys.example:1", &fixture.network, &fixture.clock).await;
    let document = fixture.other.federation.key_document();
    fixture.network.serve("keys.example:1", QUERY, move |_| {
        json(format!("{{\"server_keys\":[{document}]}}"))
    });
    fixture.other.vanish();
    let trusted = [&*key_server.name];
    let trusting = TestServer::trusting(
        "trusting.example:1",
        &fixture.network,
        &fixture.clock,
        &trusted,
    )
    .await;
    assert_eq!(
        trusting.found(&[fixture.wanted(fixture.clock.now())]).await,
        0
    );

    fixture
        .network
        .serve("keys.example:1", QUERY, |_| status(500));
    assert_eq!(
        trusting.found(&[fixture.wanted(fixture.clock.now())]).await,
        0
    );
}
