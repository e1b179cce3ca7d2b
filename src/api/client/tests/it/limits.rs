//! Rate limits by class, and quotas of one user.

use edge::{Rate, RateLimits};
use http::StatusCode;
use serde_json::{Value, json};
use users::AccountDataLimits;

use crate::{
    person::{Answer, User},
    server::{TestOptions, TestServer},
};

/// One request, then a pause of ten seconds.
const ONE: Rate = Rate {
    per_second: 0.1,
    burst: 1,
};

async fn limited(change: impl FnOnce(&mut RateLimits)) -> TestServer {
    let mut rate_limits = RateLimits::default();
    change(&mut rate_limits);
    let options = TestOptions {
        rate_limits,
        ..TestOptions::default()
    };
    TestServer::with(options).await
}

fn is_limited(answer: &Answer) -> bool {
    answer.status == StatusCode::TOO_MANY_REQUESTS
}

#[tokio::test]
async fn creating_rooms_and_changing_memberships_share_the_join_class() {
    let server = limited(|limits| limits.join = ONE).await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;

    let create = alice.post("/v3/createRoom", json!({})).await;
    assert!(is_limited(&create), "{}", create.body);
    assert!(is_limited(&alice.invite(&bob, &room).await));
    assert!(is_limited(&alice.kick(&bob, &room).await));
    assert!(is_limited(&alice.ban(&bob, &room).await));
    assert!(is_limited(&alice.unban(&bob, &room).await));
    assert!(is_limited(&alice.leave(&room).await));
    assert!(!is_limited(&bob.join(&room).await), "another user's bucket");
}

fn with_password(user: &User, password: &str) -> Value {
    json!({
        "devices": ["PHONE"],
        "auth": {
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": user.name },
            "password": password,
        },
    })
}

#[tokio::test]
async fn each_password_of_interactive_auth_is_in_the_login_class() {
    let server = limited(|limits| limits.login = ONE).await;
    let alice = server.user("alice").await;
    // Asking which stages there are checks no password.
    for _ in 0..3 {
        let asked = alice
            .post("/v3/delete_devices", json!({ "devices": ["A"] }))
            .await;
        assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    }
    let guess = with_password(&alice, "guess");
    let first = alice.post("/v3/delete_devices", guess.clone()).await;
    assert_eq!(first.status, StatusCode::UNAUTHORIZED, "{}", first.body);
    assert!(is_limited(&alice.post("/v3/delete_devices", guess).await));
}

#[tokio::test]
async fn refreshing_tokens_is_not_in_the_login_class() {
    let server = limited(|limits| limits.login = ONE).await;
    for _ in 0..3 {
        let answer = server
            .post("/v3/refresh", json!({ "refresh_token": "none" }))
            .await;
        answer.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn profile_changes_that_rooms_show_are_in_the_message_class() {
    let server = limited(|limits| limits.message = ONE).await;
    let alice = server.user("alice").await;
    let path = |field: &str| format!("/v3/profile/{}/{field}", alice.user_id);
    let change = |name: &str| json!({ "displayname": name });

    alice
        .put(&path("displayname"), change("A"))
        .await
        .expect_ok();
    assert!(is_limited(
        &alice.put(&path("displayname"), change("B")).await
    ));
    // No room shows these.
    let zone = json!({ "m.tz": "Europe/Vienna" });
    alice.put(&path("m.tz"), zone).await.expect_ok();
}

#[tokio::test]
async fn account_data_has_a_quota_in_types_and_bytes() {
    let options = TestOptions {
        account_data: AccountDataLimits {
            types: 3,
            bytes: 1_000,
        },
        ..TestOptions::default()
    };
    let server = TestServer::with(options).await;
    let alice = server.user("alice").await;
    let path = |kind: &str| format!("/v3/user/{}/account_data/{kind}", alice.user_id);
    let text = |bytes: usize| json!({ "a": "x".repeat(bytes) });
    let full = (StatusCode::FORBIDDEN, "M_USER_LIMIT_EXCEEDED");

    alice.put(&path("a"), text(800)).await.expect_ok();
    let more = alice.put(&path("b"), text(300)).await;
    more.expect_error(full.0, full.1);
    alice.put(&path("a"), text(100)).await.expect_ok();
    alice.put(&path("b"), text(300)).await.expect_ok();
    alice.put(&path("c"), text(1)).await.expect_ok();
    alice
        .put(&path("d"), text(1))
        .await
        .expect_error(full.0, full.1);
    let large = alice.put(&path("a"), text(100_000)).await;
    large.expect_error(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE");
    // Changes of what is there remain possible.
    alice.put(&path("c"), text(2)).await.expect_ok();
}

#[tokio::test]
async fn a_user_with_too_many_devices_gets_no_new_one() {
    let options = TestOptions {
        devices: 2,
        ..TestOptions::default()
    };
    let server = TestServer::with(options).await;
    let alice = server.user("alice").await;
    let phone = server.device(&alice).await;
    let login = |device: &str| {
        json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "alice" },
            "password": User::password_of("alice"),
            "device_id": device,
        })
    };
    let refused = server.post("/v3/login", login("NEW")).await;
    assert!(refused.body["info_uri"].is_string(), "{}", refused.body);
    refused.expect_error(StatusCode::FORBIDDEN, "M_USER_LIMIT_EXCEEDED");
    // A device that exists may log in again.
    server
        .post("/v3/login", login(&phone.device_id))
        .await
        .expect_ok();
}
