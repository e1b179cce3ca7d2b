//! Finding people: what clients see. Who finds whom is tested in `rooms`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{person::User, server::TestServer};

async fn search(user: &User, body: Value) -> Value {
    let answer = user.post("/v3/user_directory/search", body).await;
    answer.expect_ok()
}

async fn call(user: &User, name: &str) {
    let path = format!("/v3/profile/{}/displayname", user.user_id);
    user.put(&path, json!({ "displayname": name }))
        .await
        .expect_ok();
}

#[tokio::test]
async fn people_are_found_by_the_name_of_their_profile_alone() {
    let server = TestServer::new().await;
    let [alice, bob, eve] = server
        .users(["user-1-alice", "user-2-bob", "user-3-eve"])
        .await;
    call(&alice, "Alice Cooper").await;
    alice.create_room("public_chat").await;
    let room = bob.create_room("private_chat").await;
    bob.invite(&alice, &room).await.expect_ok();
    alice.join(&room).await.expect_ok();
    let member = json!({ "membership": "join", "displayname": "Freddy" });
    let set = alice.set_state(&room, "m.room.member", &alice.user_id, member);
    set.await.expect_ok();

    let alone = json!({
        "results": [{ "user_id": alice.user_id, "display_name": "Alice Cooper" }],
        "limited": false,
    });
    for searcher in [&bob, &eve] {
        for term in ["Alice Cooper", "@user"] {
            let found = search(searcher, json!({ "search_term": term })).await;
            assert_eq!(found, alone, "{term}");
        }
        let found = search(searcher, json!({ "search_term": "Freddy" })).await;
        assert_eq!(found, json!({ "results": [], "limited": false }));
    }
    let cut = search(&bob, json!({ "search_term": "alice", "limit": 0 })).await;
    assert_eq!(cut, json!({ "results": [], "limited": true }));
}

#[tokio::test]
async fn a_search_needs_a_term_and_a_user() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let path = "/v3/user_directory/search";
    let nothing = alice.post(path, json!({})).await;
    nothing.expect_error(StatusCode::BAD_REQUEST, "M_MISSING_PARAM");
    let nobody = server.post(path, json!({ "search_term": "a" })).await;
    nobody.expect_error(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN");
}
