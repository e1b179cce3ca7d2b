//! Several servers in one process.

use federation::{AnswerKind, FederationError, Urgency};
use http::StatusCode;
use ruma::{api::federation::discovery::get_server_version, server_name};
use serde_json::json;

use crate::{network::Asked, server::Servers};

const VERSION: &str = "/_matrix/federation/v1/version";
const KEYS: &str = "/_matrix/key/v2/server";

fn asked(from: &str, to: &str, path: &str) -> Asked {
    Asked {
        from: from.to_owned(),
        to: to.to_owned(),
        method: http::Method::GET,
        path: path.to_owned(),
    }
}

#[tokio::test]
async fn a_server_fetches_the_keys_of_whoever_asks_it_once() {
    let servers = Servers::new();
    let [a, b] = servers.start_all(["a.test", "b.test"]).await;
    b.rooms.person("bob").await;
    for _ in 0..2 {
        let path = "/_matrix/federation/v1/query/profile?user_id=@bob:b.test";
        let (status, profile) = a.ask(&b, "GET", path).await;
        assert_eq!((status, profile), (StatusCode::OK, json!({})));
    }
    let requests = servers.network.asked();
    assert_eq!(requests, [asked("b.test", "a.test", KEYS)]);
}

#[tokio::test]
async fn servers_that_are_parted_do_not_hear_each_other() {
    let servers = Servers::new();
    let [a, _b] = servers.start_all(["a.test", "b.test"]).await;
    let ask = async || {
        let request = get_server_version::v1::Request::new();
        let (small, now) = (AnswerKind::Small, Urgency::Now);
        let answer = a
            .federation
            .request(server_name!("b.test"), request, small, now);
        answer.await
    };
    servers.network.part("b.test");
    assert!(matches!(
        ask().await,
        Err(FederationError::Unreachable { .. })
    ));
    servers.network.heal("b.test");
    servers.network.lose_answers("b.test", VERSION, 1);
    assert!(matches!(
        ask().await,
        Err(FederationError::Unreachable { .. })
    ));
    let answer = ask().await.expect("it is there again");
    assert!(answer.server.is_some());
    assert_eq!(
        servers.network.asked(),
        vec![asked("a.test", "b.test", VERSION); 3]
    );

    servers.network.change_answers("b.test", |_, mut answer| {
        *answer.status_mut() = StatusCode::IM_A_TEAPOT;
        answer.map(|_| json!({ "errcode": "M_TEAPOT" }).to_string().into())
    });
    assert!(matches!(ask().await, Err(FederationError::Refused { .. })));
}
