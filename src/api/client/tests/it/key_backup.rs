//! Key backups: what a client stores is what it gets back, however much it is.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{person::User, server::TestServer};

/// More than a few pages of the largest.
const ROOMS: usize = 7;
const SESSIONS: usize = 100;

fn session(number: usize) -> Value {
    json!({
        "first_message_index": number,
        "forwarded_count": 0,
        "is_verified": true,
        "session_data": { "ciphertext": format!("\"{number}\\") },
    })
}

/// The sessions of a room, by their ids.
fn sessions() -> Value {
    let sessions = (0..SESSIONS).map(|number| (format!("session {number}"), session(number)));
    json!({ "sessions": sessions.collect::<Map<_, _>>() })
}

async fn create(user: &User) -> String {
    let body = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {} });
    let made = user.post("/v3/room_keys/version", body).await.expect_ok();
    made["version"].as_str().expect("a version").to_owned()
}

async fn get(user: &User, of: &str, version: &str) -> Value {
    let path = format!("/v3/room_keys/keys{of}?version={version}");
    user.get(&path).await.expect_ok()
}

#[tokio::test]
async fn a_backup_of_many_pages_comes_back_whole() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let version = create(&alice).await;
    create(&bob).await;
    let rooms = (0..ROOMS).map(|room| (format!("!room{room}:example.org"), sessions()));
    let all = json!({ "rooms": rooms.collect::<Map<_, _>>() });

    let path = format!("/v3/room_keys/keys?version={version}");
    let stored = alice.put(&path, all.clone()).await.expect_ok();

    assert_eq!(stored["count"], ROOMS * SESSIONS);
    assert_eq!(get(&alice, "", &version).await, all);
    let room = get(&alice, "/!room3:example.org", &version).await;
    assert_eq!(room, all["rooms"]["!room3:example.org"]);
    let newest = alice.get("/v3/room_keys/version").await.expect_ok();
    assert_eq!(
        (&newest["count"], &newest["etag"]),
        (&stored["count"], &stored["etag"])
    );
    assert_eq!(get(&bob, "", &version).await, json!({ "rooms": {} }));
}

#[tokio::test]
async fn an_empty_backup_is_empty_and_an_unknown_one_is_none() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let version = create(&alice).await;

    assert_eq!(get(&alice, "", &version).await, json!({ "rooms": {} }));
    let room = get(&alice, "/!room:example.org", &version).await;
    assert_eq!(room, json!({ "sessions": {} }));
    for path in ["", "/!room:example.org"] {
        let path = format!("/v3/room_keys/keys{path}?version=99");
        let unknown = alice.get(&path).await;
        unknown.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    }
}
