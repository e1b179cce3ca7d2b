//! Requests from one server to another: signed, checked, bounded, and not repeated too soon.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use database::MockClock;
use federation::{
    AnswerKind, FederationError, Urgency,
    authentication::ClaimError,
    client::{ClientError, Limits},
};
use http::{Request, Response, header::AUTHORIZATION};
use ruma::{
    MilliSecondsSinceUnixEpoch,
    api::federation::{
        discovery::get_server_version::v1 as version,
        query::get_profile_information::v1 as profile,
        transactions::send_transaction_message::v1 as transaction,
    },
    owned_user_id,
};

use crate::{
    network::{Answer, FakeNetwork, json, status},
    server::TestServer,
};

struct Fixture {
    network: FakeNetwork,
    clock: Arc<MockClock>,
    own: TestServer,
    other: TestServer,
}

const PROFILE: &str = "/_matrix/federation/v1/query/profile";
const SEND: &str = "/_matrix/federation/v1/send/1";

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

    async fn profile(&self) -> Result<profile::Response, FederationError> {
        let request = profile::Request::new(owned_user_id!("@ä b/c:other.example:1"));
        let (kind, urgency) = (AnswerKind::Small, Urgency::Background);
        self.own
            .federation
            .request(&self.other.name, request, kind, urgency)
            .await
    }

    /// The request that arrives at the other server when this one sends a transaction.
    async fn captured(&self) -> Request<Bytes> {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.network.serve("other.example:1", SEND, move |request| {
            sender.send(request.clone()).expect("it is received");
            json("{\"pdus\":{}}")
        });
        let mut request = transaction::Request::new(
            "1".into(),
            self.own.name.clone(),
            MilliSecondsSinceUnixEpoch(ruma::uint!(1)),
        );
        request.pdus = Vec::new();
        let (kind, urgency) = (AnswerKind::Small, Urgency::Now);
        let sent = self
            .own
            .federation
            .request(&self.other.name, request, kind, urgency)
            .await;
        sent.expect("it is answered");
        receiver.recv().expect("it was sent")
    }
}

/// What a server makes of a request.
async fn check(server: &TestServer, request: &Request<Bytes>) -> Result<String, ClaimError> {
    let (head, body) = request.clone().into_parts();
    let claim = server.federation.claim(&head).await?;
    let uri = head.uri.path_and_query().expect("a path").as_str();
    claim.verify(&head.method, uri, &body)?;
    Ok(claim.origin().to_string())
}

#[tokio::test]
async fn a_request_is_signed_as_it_is_sent() {
    let fixture = Fixture::new().await;
    let federation = fixture.other.federation.clone();
    fixture
        .network
        .serve_async("other.example:1", PROFILE, move |request| {
            let federation = federation.clone();
            Box::pin(async move {
                let (head, body) = request.into_parts();
                let uri = head.uri.path_and_query().expect("a path").as_str();
                let claim = federation.claim(&head).await.expect("it is signed");
                claim
                    .verify(&head.method, uri, &body)
                    .expect("the signature is valid");
                assert_eq!(claim.origin(), "own.example:1");
                json("{\"displayname\":\"A\"}")
            })
        });
    let profile = fixture.profile().await.expect("it answers");
    assert_eq!(
        profile
            .data
            .get("displayname")
            .and_then(|name| name.as_str()),
        Some("A")
    );
}

#[tokio::test]
async fn a_request_that_was_changed_is_refused() {
    let fixture = Fixture::new().await;
    let request = fixture.captured().await;
    assert_eq!(
        check(&fixture.other, &request).await.expect("it is valid"),
        "own.example:1"
    );

    let change = |change: &dyn Fn(&mut Request<Bytes>)| {
        let mut changed = request.clone();
        change(&mut changed);
        changed
    };
    let header = request.headers()[AUTHORIZATION]
        .to_str()
        .expect("text")
        .to_owned();
    let with_header = |text: String| {
        change(&|request| {
            let value = text.parse().expect("a value");
            request.headers_mut().insert(AUTHORIZATION, value);
        })
    };
    for (what, changed) in [
        (
            "method",
            change(&|request| *request.method_mut() = http::Method::POST),
        ),
        (
            "path",
            change(&|request| *request.uri_mut() = "https://x/y".parse().expect("a URI")),
        ),
        (
            "query",
            change(&|request| {
                let uri = format!("https://other.example:1{SEND}?x");
                *request.uri_mut() = uri.parse().expect("a URI");
            }),
        ),
        (
            "body",
            change(&|request| *request.body_mut() = Bytes::from_static(b"{}")),
        ),
        (
            "no body",
            change(&|request| *request.body_mut() = Bytes::new()),
        ),
        (
            "no JSON",
            change(&|request| *request.body_mut() = Bytes::from_static(b"{")),
        ),
        (
            "origin",
            with_header(header.replace("own.example:1", "other.example:1")),
        ),
        (
            "key",
            with_header(header.replace("ed25519:a_", "ed25519:b_")),
        ),
        (
            "destination",
            with_header(header.replace("other.example:1", "own.example:1")),
        ),
    ] {
        assert!(check(&fixture.other, &changed).await.is_err(), "{what}");
    }
    let without = header.replace("destination=\"other.example:1\",", "");
    assert!(
        check(&fixture.other, &with_header(without)).await.is_ok(),
        "old servers send none"
    );
}

#[tokio::test]
async fn a_request_is_for_one_destination() {
    let fixture = Fixture::new().await;
    let third = TestServer::new("third.example:1", &fixture.network, &fixture.clock).await;
    let request = fixture.captured().await;
    assert!(matches!(
        check(&third, &request).await,
        Err(ClaimError::OtherDestination(_))
    ));

    // Without the parameter, the signature still covers the destination.
    let mut changed = request.clone();
    let header = request.headers()[AUTHORIZATION].to_str().expect("text");
    let header = header.replace("destination=\"other.example:1\",", "");
    changed
        .headers_mut()
        .insert(AUTHORIZATION, header.parse().expect("a value"));
    assert!(matches!(
        check(&third, &changed).await,
        Err(ClaimError::Signature)
    ));
}

#[tokio::test]
async fn a_key_of_one_server_signs_nothing_for_another() {
    let fixture = Fixture::new().await;
    let third = TestServer::new("third.example:1", &fixture.network, &fixture.clock).await;
    let request = fixture.captured().await;
    assert!(check(&fixture.other, &request).await.is_ok());
    // The same key id and signature, claimed by a server that exists.
    let mut changed = request.clone();
    let header = request.headers()[AUTHORIZATION].to_str().expect("text");
    let header = header.replace("origin=\"own.example:1\"", "origin=\"third.example:1\"");
    changed
        .headers_mut()
        .insert(AUTHORIZATION, header.parse().expect("a value"));
    assert!(matches!(
        check(&fixture.other, &changed).await,
        Err(ClaimError::Key(_))
    ));
    drop(third);
}

#[tokio::test]
async fn a_rotated_key_is_accepted_at_once_and_the_old_one_not_after_a_renewal() {
    let fixture = Fixture::new().await;
    let old = fixture.captured().await;
    assert!(check(&fixture.other, &old).await.is_ok());
    fixture.clock.advance(Duration::from_hours(2));
    fixture.own.rotate().await;
    let new = fixture.captured().await;
    assert!(check(&fixture.other, &new).await.is_ok());
    assert!(check(&fixture.other, &old).await.is_err());
}

#[tokio::test]
async fn the_same_request_is_valid_whenever_it_comes() {
    // Nothing in the scheme keeps a request from being sent again: what must happen once has an id.
    let fixture = Fixture::new().await;
    let request = fixture.captured().await;
    for _ in 0..2 {
        assert!(check(&fixture.other, &request).await.is_ok());
        fixture.clock.advance(Duration::from_hours(1));
    }
}

#[tokio::test]
async fn denied_servers_are_neither_asked_nor_answered() {
    let fixture = Fixture::new().await;
    let denied = TestServer::new("denied.example:1", &fixture.network, &fixture.clock).await;
    for name in [&denied.name, &fixture.own.name] {
        let request = version::Request::new();
        let (kind, urgency) = (AnswerKind::Small, Urgency::Now);
        let asked = fixture
            .own
            .federation
            .request(name, request, kind, urgency)
            .await;
        assert!(
            matches!(asked, Err(FederationError::NotAllowed(_))),
            "{name}"
        );
    }
    let mut request = fixture.captured().await;
    let header = request.headers()[AUTHORIZATION].to_str().expect("text");
    let header = header.replace("origin=\"own.example:1\"", "origin=\"denied.example:1\"");
    request
        .headers_mut()
        .insert(AUTHORIZATION, header.parse().expect("a value"));
    assert!(matches!(
        check(&fixture.other, &request).await,
        Err(ClaimError::NotAllowed(_))
    ));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_alone_for_a_while() {
    let fixture = Fixture::new().await;
    assert!(matches!(
        fixture.profile().await,
        Err(FederationError::Unreachable { .. })
    ));
    fixture.network.requested();
    assert!(matches!(
        fixture.profile().await,
        Err(FederationError::BackingOff { .. })
    ));
    assert!(fixture.network.requested().is_empty());

    fixture
        .network
        .serve("other.example:1", PROFILE, |_| json("{}"));
    fixture.clock.advance(Duration::from_secs(11));
    assert!(fixture.profile().await.is_ok());
    fixture
        .network
        .serve("other.example:1", PROFILE, |_| status(502));
    assert!(matches!(
        fixture.profile().await,
        Err(FederationError::Refused { .. })
    ));
    assert!(matches!(
        fixture.profile().await,
        Err(FederationError::BackingOff { .. })
    ));
    let backoff = fixture.own.federation.backoff();
    backoff
        .answered(&fixture.other.name)
        .await
        .expect("memory does not fail");
    assert!(matches!(
        fixture.profile().await,
        Err(FederationError::Refused { .. })
    ));
}

#[tokio::test]
async fn an_error_of_the_other_server_is_no_reason_to_leave_it_alone() {
    let fixture = Fixture::new().await;
    let refusal = |_: &Request<Bytes>| -> Answer {
        let long = "x".repeat(10_000);
        let body = format!("{{\"errcode\":\"M_FORBIDDEN\",\"error\":\"{long}\"}}");
        Response::builder()
            .status(403)
            .body(body.into())
            .map_err(|_| ClientError::Busy)
    };
    fixture.network.serve("other.example:1", PROFILE, refusal);
    for _ in 0..2 {
        let Err(FederationError::Refused { error, .. }) = fixture.profile().await else {
            panic!("it is refused");
        };
        assert_eq!(
            error.errcode.as_ref().map(AsRef::as_ref),
            Some("M_FORBIDDEN")
        );
        assert_eq!(error.message.len(), 500);
    }
}

#[tokio::test]
async fn answers_are_bounded() {
    let fixture = Fixture::new().await;
    fixture.network.serve("other.example:1", PROFILE, |_| {
        json(format!("{{\"displayname\":\"{}\"}}", "x".repeat(2 << 20)))
    });
    let Err(FederationError::Unreachable { error, .. }) = fixture.profile().await else {
        panic!("it is too large");
    };
    assert_eq!(error, ClientError::TooLarge(1 << 20));

    fixture
        .network
        .serve("other.example:1", PROFILE, |_| json("not JSON"));
    assert!(matches!(
        fixture.profile().await,
        Err(FederationError::Malformed { .. })
    ));
}

#[tokio::test]
async fn all_answers_together_are_bounded() {
    let fixture = Fixture::new().await;
    fixture
        .network
        .serve("other.example:1", "/large", |_| json("x".repeat(10 << 20)));
    fixture.network.serve("other.example:1", PROFILE, |_| {
        json(format!("{{\"displayname\":\"{}\"}}", "x".repeat(900_000)))
    });
    // 8 MiB: seven answers of 1 MiB fit with what they grew from.
    let profiles = (0..30).map(|_| fixture.profile());
    let answers = futures_util::future::join_all(profiles).await;
    assert!(answers.iter().any(Result::is_ok));
    for answer in answers {
        assert!(
            matches!(answer, Ok(_) | Err(FederationError::Busy)),
            "{answer:?}"
        );
    }

    // What streams is not held.
    let limits = Limits {
        head: Duration::from_secs(5),
        stall: Duration::from_secs(5),
        whole: Duration::from_secs(5),
        bytes: 20 << 20,
    };
    let streamed = fixture
        .own
        .federation
        .stream(&fixture.other.name, "/large", limits)
        .await;
    let body = streamed.expect("it answers").into_body().collect().await;
    assert_eq!(body.expect("it is within its limits").len(), 10 << 20);
}
