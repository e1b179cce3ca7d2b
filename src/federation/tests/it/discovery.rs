//! The table of "Resolving server names".

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use database::MockClock;
use federation::{
    client::{ClientError, Route},
    discovery::{Destination, Discovery},
};
use http::{Response, StatusCode, header::LOCATION};

use crate::{
    network::{FakeNetwork, json, status},
    server::name,
};

const WELL_KNOWN: &str = "/.well-known/matrix/server";

struct Fixture {
    network: FakeNetwork,
    clock: Arc<MockClock>,
    discovery: Discovery,
}

impl Fixture {
    fn new() -> Self {
        let network = FakeNetwork::default();
        let clock = Arc::new(MockClock::default());
        let discovery = Discovery::new(network.client(), clock.clone());
        Self {
            network,
            clock,
            discovery,
        }
    }

    /// What the `.well-known` of a host delegates to.
    fn delegating(to: &'static str) -> Self {
        let fixture = Self::new();
        fixture.network.serve("a.example", WELL_KNOWN, move |_| {
            json(format!("{{\"m.server\":\"{to}\"}}"))
        });
        fixture
    }

    async fn find(&self, text: &str) -> Destination {
        self.discovery.find(&name(text)).await
    }

    fn fetches(&self) -> usize {
        self.network.requested().values().sum()
    }
}

fn destination(route: Route, authority: &str, host_header: Option<&str>) -> Destination {
    Destination {
        authority: authority.to_owned(),
        host_header: host_header.map(str::to_owned),
        route,
    }
}

#[tokio::test]
async fn addresses_and_ports_need_no_look_up() {
    let fixture = Fixture::new();
    for (server, authority, host) in [
        ("1.2.3.4", "1.2.3.4:8448", Some("1.2.3.4")),
        ("1.2.3.4:443", "1.2.3.4:443", None),
        ("[2606::1]", "[2606::1]:8448", Some("[2606::1]")),
        ("[2606::1]:1", "[2606::1]:1", None),
        ("a.example:8448", "a.example:8448", None),
    ] {
        let expected = destination(Route::Host, authority, host);
        assert_eq!(fixture.find(server).await, expected, "{server}");
    }
    assert_eq!(fixture.fetches(), 0);
}

#[tokio::test]
async fn a_host_may_delegate() {
    for (to, authority, host, route) in [
        ("1.2.3.4", "1.2.3.4:8448", Some("1.2.3.4"), Route::Host),
        ("1.2.3.4:443", "1.2.3.4:443", None, Route::Host),
        (
            "[2606::1]",
            "[2606::1]:8448",
            Some("[2606::1]"),
            Route::Host,
        ),
        ("b.example:443", "b.example:443", None, Route::Host),
        ("b.example", "b.example", None, Route::Services),
    ] {
        let expected = destination(route, authority, host);
        assert_eq!(
            Fixture::delegating(to).find("a.example").await,
            expected,
            "{to}"
        );
    }
}

#[tokio::test]
async fn a_host_that_does_not_delegate_stands_for_itself() {
    let own = destination(Route::Services, "a.example", None);
    let fixture = Fixture::new();
    assert_eq!(fixture.find("a.example").await, own);
    for answer in ["", "{}", "{\"m.server\":\"not a name\"}", "[1]"] {
        let fixture = Fixture::new();
        fixture
            .network
            .serve("a.example", WELL_KNOWN, move |_| json(answer));
        assert_eq!(fixture.find("a.example").await, own, "{answer}");
    }
    for code in [404, 500, 204] {
        let fixture = Fixture::new();
        fixture
            .network
            .serve("a.example", WELL_KNOWN, move |_| status(code));
        assert_eq!(fixture.find("a.example").await, own, "{code}");
    }
    let fixture = Fixture::new();
    fixture.network.serve("a.example", WELL_KNOWN, |_| {
        let padding = " ".repeat(60 * 1024);
        json(format!("{{\"m.server\":\"b.example:1\"{padding}}}"))
    });
    assert_eq!(fixture.find("a.example").await, own, "too large");
}

#[tokio::test]
async fn redirects_are_followed_but_not_round_in_circles() {
    let redirect = |to: &'static str| {
        let response = Response::builder()
            .status(StatusCode::FOUND)
            .header(LOCATION, to);
        response.body(Bytes::new()).map_err(|_| ClientError::Busy)
    };
    let fixture = Fixture::new();
    fixture.network.serve("a.example", WELL_KNOWN, move |_| {
        redirect("https://www.a.example/x")
    });
    fixture.network.serve("www.a.example", "/x", |_| {
        json("{\"m.server\":\"b.example:1\"}")
    });
    assert_eq!(
        fixture.find("a.example").await,
        destination(Route::Host, "b.example:1", None)
    );

    let fixture = Fixture::new();
    fixture
        .network
        .serve("a.example", WELL_KNOWN, move |_| redirect(WELL_KNOWN));
    assert_eq!(
        fixture.find("a.example").await,
        destination(Route::Services, "a.example", None)
    );
    assert_eq!(fixture.fetches(), 6);

    let fixture = Fixture::new();
    fixture.network.serve("a.example", WELL_KNOWN, move |_| {
        redirect("http://a.example/x")
    });
    fixture.network.serve("a.example", "/x", |_| {
        json("{\"m.server\":\"b.example:1\"}")
    });
    assert_eq!(
        fixture.find("a.example").await,
        destination(Route::Services, "a.example", None)
    );
}

#[tokio::test]
async fn what_a_host_says_is_cached() {
    let fixture = Fixture::delegating("b.example:1");
    for _ in 0..3 {
        fixture.find("a.example").await;
    }
    assert_eq!(fixture.fetches(), 1);
    fixture.clock.advance(Duration::from_hours(25));
    fixture.find("a.example").await;
    assert_eq!(fixture.fetches(), 1);

    fixture.network.remove("a.example", WELL_KNOWN);
    fixture.clock.advance(Duration::from_hours(25));
    let kept = fixture.find("a.example").await;
    assert_eq!(kept.authority, "b.example:1", "it outlives a failure");
    assert_eq!(fixture.fetches(), 1);
    fixture.clock.advance(Duration::from_secs(30));
    fixture.find("a.example").await;
    assert_eq!(fixture.fetches(), 0, "a failure is cached, too");
}

#[tokio::test]
async fn many_who_look_for_one_host_ask_once() {
    let fixture = Fixture::delegating("b.example:1");
    let finds = (0..50).map(|_| fixture.find("a.example"));
    let found = futures_util::future::join_all(finds).await;
    assert!(found.iter().all(|found| found.authority == "b.example:1"));
    assert_eq!(fixture.fetches(), 1);
}
