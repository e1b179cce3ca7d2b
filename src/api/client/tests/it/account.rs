//! Registration, passwords, deactivation: what clients see.

use http::StatusCode;
use serde_json::{Value, json};
use users::Registration;

use crate::{
    person::{Answer, User},
    server::{TestOptions, TestServer},
};

/// What a request for interactive auth tells, with the session to go on with.
fn challenge(answer: Answer) -> Value {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    for field in ["session", "flows", "params", "completed"] {
        assert!(
            !answer.body[field].is_null(),
            "{field} is missing: {}",
            answer.body
        );
    }
    answer.body
}

pub(crate) fn by_password(user: &User, password: &str) -> Value {
    let identifier = json!({ "type": "m.id.user", "user": user.user_id });
    json!({ "type": "m.login.password", "identifier": identifier, "password": password })
}

/// Until something holds that follows an event which this user's /sync tells.
pub(crate) async fn wait_until(user: &User, holds: impl AsyncFn() -> bool) {
    let mut since = user.sync(None).await["next_batch"].clone();
    while !holds().await {
        let token = since.as_str().expect("a token");
        let path = format!("/v3/sync?timeout=30000&since={token}");
        since = user.get(&path).await.expect_ok()["next_batch"].clone();
    }
}

#[tokio::test]
async fn registration_goes_through_interactive_auth() {
    let server = TestServer::new().await;
    let mut body = json!({ "username": "alice", "password": "übers3kr1t", "device_id": "xyzzy" });
    let asked = challenge(server.post("/v3/register", body.clone()).await);
    assert_eq!(asked["flows"], json!([{ "stages": ["m.login.dummy"] }]));

    body["auth"] = json!({ "type": "m.login.dummy", "session": asked["session"] });
    let registered = server.post("/v3/register", body).await.expect_ok();

    assert_eq!(registered["user_id"], "@alice:example.org");
    assert_eq!(registered["device_id"], "xyzzy");
    assert!(registered["access_token"].is_string());
}

#[tokio::test]
async fn a_session_registers_nobody_else() {
    let server = TestServer::new().await;
    let body = json!({ "username": "alice", "password": "a" });
    let asked = challenge(server.post("/v3/register", body).await);

    let auth = json!({ "type": "m.login.dummy", "session": asked["session"] });
    let other = json!({ "username": "eve", "password": "a", "auth": auth });
    let answer = server.post("/v3/register", other).await;
    answer.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_form_of_a_registration_is_checked() {
    let server = TestServer::new().await;
    server.user("taken").await;
    let auth = json!({ "type": "m.login.dummy" });
    let register = async |username: Value, password: Value| {
        let body = json!({ "username": username, "password": password, "auth": auth });
        server.post("/v3/register", body).await
    };
    let bad = StatusCode::BAD_REQUEST;

    register("user-!".into(), "a".into())
        .await
        .expect_error(bad, "M_INVALID_USERNAME");
    register("_bridge".into(), "a".into())
        .await
        .expect_error(bad, "M_EXCLUSIVE");
    register("Taken".into(), "a".into())
        .await
        .expect_error(bad, "M_USER_IN_USE");
    register("alice".into(), "".into())
        .await
        .expect_error(bad, "M_INVALID_PARAM");
    register(5.into(), "a".into())
        .await
        .expect_error(bad, "M_BAD_JSON");
    let body = json!({ "username": "alice", "auth": auth });
    let no_password = server.post("/v3/register", body).await;
    no_password.expect_error(bad, "M_MISSING_PARAM");
    let guest = server.post("/v3/register?kind=guest", json!({})).await;
    guest.expect_error(StatusCode::FORBIDDEN, "M_GUEST_ACCESS_FORBIDDEN");
    let upper = register("User-UPPER".into(), "a".into()).await.expect_ok();
    assert_eq!(upper["user_id"], "@user-upper:example.org");
}

#[tokio::test]
async fn who_wants_no_login_gets_no_token() {
    let server = TestServer::new().await;
    let auth = json!({ "type": "m.login.dummy" });
    let body = json!({ "username": "a", "password": "a", "auth": auth, "inhibit_login": true });
    let registered = server.post("/v3/register", body).await.expect_ok();
    assert_eq!(registered, json!({ "user_id": "@a:example.org" }));
}

#[tokio::test]
async fn a_closed_server_registers_nobody() {
    let options = TestOptions {
        registration: Registration::Closed,
        ..TestOptions::default()
    };
    let server = TestServer::with(options).await;
    let answer = server.post("/v3/register", json!({})).await;
    answer.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_registration_token_opens_the_door() {
    let registration = Registration::Token("sesame".to_owned());
    let options = TestOptions {
        registration,
        ..TestOptions::default()
    };
    let server = TestServer::with(options).await;
    let mut body = json!({ "username": "alice", "password": "a" });
    let asked = challenge(server.post("/v3/register", body.clone()).await);
    assert_eq!(
        asked["flows"],
        json!([{ "stages": ["m.login.registration_token"] }])
    );

    let offer = |token: &str| {
        let session = &asked["session"];
        json!({ "type": "m.login.registration_token", "token": token, "session": session })
    };
    body["auth"] = offer("wrong");
    let refused = challenge(server.post("/v3/register", body.clone()).await);
    assert_eq!(refused["errcode"], "M_UNAUTHORIZED");
    assert_eq!(refused["session"], asked["session"]);
    body["auth"] = json!({ "type": "m.login.dummy" });
    challenge(server.post("/v3/register", body.clone()).await);
    body["auth"] = offer("sesame");
    server.post("/v3/register", body).await.expect_ok();

    let path = "/v1/register/m.login.registration_token/validity?token=";
    assert_eq!(
        server.get(&format!("{path}sesame")).await.expect_ok()["valid"],
        true
    );
    assert_eq!(
        server.get(&format!("{path}wrong")).await.expect_ok()["valid"],
        false
    );
}

#[tokio::test]
async fn availability_is_told() {
    let server = TestServer::new().await;
    server.user("taken").await;
    let path = |name: &str| format!("/v3/register/available?username={name}");
    let bad = StatusCode::BAD_REQUEST;

    assert_eq!(
        server.get(&path("free")).await.expect_ok()["available"],
        true
    );
    server
        .get(&path("taken"))
        .await
        .expect_error(bad, "M_USER_IN_USE");
    server
        .get(&path("a,b"))
        .await
        .expect_error(bad, "M_INVALID_USERNAME");
    let nothing = server.get("/v3/register/available").await;
    nothing.expect_error(bad, "M_MISSING_PARAM");
}

#[tokio::test]
async fn whoami_tells_user_and_device() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let told = alice.get("/v3/account/whoami").await.expect_ok();
    assert_eq!(told["user_id"], "@alice:example.org");
    assert_eq!(told["device_id"], alice.device_id.as_str());

    let nobody = server.get("/v3/account/whoami").await;
    nobody.expect_error(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn the_list_of_third_party_identifiers_is_empty_and_there() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let told = alice.get("/v3/account/3pid").await.expect_ok();
    assert_eq!(told, json!({ "threepids": [] }));
}

#[tokio::test]
async fn a_password_change_asks_for_the_old_one_and_logs_out_the_others() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let phone = server.device(&alice).await;
    let change = |auth: Value| json!({ "new_password": "new", "auth": auth });

    let wrong = by_password(&alice, "wrong");
    let refused = challenge(alice.post("/v3/account/password", change(wrong)).await);
    assert_eq!(refused["errcode"], "M_FORBIDDEN");
    let right = by_password(&alice, &User::password_of("alice"));
    alice
        .post("/v3/account/password", change(right))
        .await
        .expect_ok();

    alice.get("/v3/account/whoami").await.expect_ok();
    let phone = phone.get("/v3/account/whoami").await;
    phone.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
    let login = json!({ "type": "m.login.password", "user": "alice", "password": "new" });
    server.post("/v3/login", login).await.expect_ok();
}

#[tokio::test]
async fn a_password_change_may_leave_the_others_alone() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let phone = server.device(&alice).await;
    let auth = by_password(&alice, &User::password_of("alice"));
    let body = json!({ "new_password": "new", "logout_devices": false, "auth": auth });
    alice.post("/v3/account/password", body).await.expect_ok();

    phone.get("/v3/account/whoami").await.expect_ok();
}

#[tokio::test]
async fn a_deactivated_account_is_gone() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let asked = challenge(alice.post("/v3/account/deactivate", json!({})).await);
    assert_eq!(asked["flows"], json!([{ "stages": ["m.login.password"] }]));

    let auth = by_password(&alice, &User::password_of("alice"));
    let done = alice
        .post("/v3/account/deactivate", json!({ "auth": auth }))
        .await
        .expect_ok();
    assert_eq!(done["id_server_unbind_result"], "success");

    let who = alice.get("/v3/account/whoami").await;
    who.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
    let password = User::password_of("alice");
    let login = json!({ "type": "m.login.password", "user": "alice", "password": password });
    let login = server.post("/v3/login", login).await;
    login.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let path = "/v3/register/available?username=alice";
    server
        .get(path)
        .await
        .expect_error(StatusCode::BAD_REQUEST, "M_USER_IN_USE");
}

#[tokio::test]
async fn a_deactivated_user_leaves_their_rooms() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    bob.join(&room).await.expect_ok();
    let auth = by_password(&bob, &User::password_of("bob"));
    bob.post("/v3/account/deactivate", json!({ "auth": auth }))
        .await
        .expect_ok();

    let path = format!("/v3/rooms/{room}/joined_members");
    let is_alone = async || {
        let joined = alice.get(&path).await.expect_ok();
        joined["joined"]
            .as_object()
            .is_some_and(|members| members.len() == 1)
    };
    wait_until(&alice, is_alone).await;
}
