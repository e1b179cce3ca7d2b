//! Whatever ends a device, ends it whole and at once: no row on disk names it afterwards, and none of its tokens opens anything.

use database::{
    Order, StoreError,
    engine::{Engine as _, Span},
};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{account::by_password, database_page::all_tables, person::User, server::TestServer};

const ALGORITHM: &str = "signed_curve25519";

/// The names of the tables with rows that name a device, in their keys or values.
fn tables_naming(server: &TestServer, device: &str) -> Vec<&'static str> {
    let names_it = |bytes: &[u8]| {
        let mut windows = bytes.windows(device.len());
        windows.any(|window| window == device.as_bytes())
    };
    let view = server.memory.snapshot();
    let mut found = Vec::new();
    for table in all_tables() {
        let all = Span {
            table: table.name,
            from: Vec::new(),
            to: None,
        };
        let mut is_named = false;
        let scan = view.scan_now(&all, Order::Forward, usize::MAX, &mut |key, value| {
            is_named |= names_it(key) || names_it(value);
        });
        scan.expect("a scan");
        if is_named {
            found.push(table.name);
        }
    }
    found
}

fn keys(user: &User, seed: &str) -> Value {
    let device = &user.device_id;
    // 32 bytes in Base64.
    let key = format!("{seed:A>42}A");
    let names = [format!("ed25519:{device}"), format!("curve25519:{device}")];
    let keys = names.map(|name| (name, Value::from(key.as_str())));
    let one_time = |names: [&str; 2]| {
        let keys = names.map(|name| {
            let key = json!({ "key": key, "signatures": { &user.user_id: {} } });
            (format!("{ALGORITHM}:{name}"), key)
        });
        Map::from_iter(keys)
    };
    json!({
        "device_keys": {
            "user_id": user.user_id,
            "device_id": device,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
            "keys": Map::from_iter(keys),
            "signatures": { &user.user_id: {} },
        },
        "one_time_keys": one_time(["a", "b"]),
        "fallback_keys": Map::from_iter(one_time(["z", "z"])),
    })
}

/// A device of alice that has published keys, was given a message and sent one, and whose one-time key was claimed.
async fn device(server: &TestServer, alice: &User, bob: &User, seed: &str) -> User {
    let device = server.device(alice).await;
    let uploaded = device.post("/v3/keys/upload", keys(&device, seed)).await;
    uploaded.expect_ok();
    let claim = json!({ "one_time_keys": { &alice.user_id: { &device.device_id: ALGORITHM } } });
    let claimed = bob.post("/v3/keys/claim", claim).await.expect_ok();
    assert!(claimed["one_time_keys"][&alice.user_id].is_object());
    for (from, to) in [(bob, alice), (&device, bob)] {
        let messages = json!({ "messages": { &to.user_id: { "*": {} } } });
        let path = format!("/v3/sendToDevice/m.test/{seed}");
        from.put(&path, messages).await.expect_ok();
    }
    device
}

/// Alice's two devices, and the one that she ends them from; nothing is written in the background any more.
async fn settled(server: &TestServer) -> (User, [User; 2]) {
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let devices = [
        device(server, &alice, &bob, "1").await,
        device(server, &alice, &bob, "2").await,
    ];
    alice.get("/v3/account/whoami").await.expect_ok();
    for user in devices.iter().chain([&alice, &bob]) {
        while !tables_naming(server, &user.device_id).contains(&"devices_last_seen") {
            tokio::task::yield_now().await;
        }
    }
    (alice, devices)
}

/// How a device may end.
#[derive(Clone, Copy, Debug)]
enum End {
    Delete,
    DeleteMany,
    Logout,
    LogoutAll,
    ChangePassword,
    Deactivate,
}

impl End {
    const ALL: [Self; 6] = [
        Self::Delete,
        Self::DeleteMany,
        Self::Logout,
        Self::LogoutAll,
        Self::ChangePassword,
        Self::Deactivate,
    ];

    async fn of(self, alice: &User, ended: &[User; 2]) {
        let auth = by_password(alice, &User::password_of("alice"));
        let [one, other] = ended.each_ref().map(|device| device.device_id.as_str());
        let answer = match self {
            Self::Delete => {
                let body = json!({ "auth": auth }).to_string().into_bytes();
                let path = format!("/v3/devices/{one}");
                let token = Some(alice.token.as_str());
                alice
                    .server
                    .request("DELETE", &path, token, Some(body))
                    .await
            }
            Self::DeleteMany => {
                let body = json!({ "devices": [one, other], "auth": auth });
                alice.post("/v3/delete_devices", body).await
            }
            Self::Logout => ended[0].post("/v3/logout", json!({})).await,
            Self::LogoutAll => alice.post("/v3/logout/all", json!({})).await,
            Self::ChangePassword => {
                let body =
                    json!({ "new_password": "another", "logout_devices": true, "auth": auth });
                alice.post("/v3/account/password", body).await
            }
            Self::Deactivate => {
                let body = json!({ "auth": auth });
                alice.post("/v3/account/deactivate", body).await
            }
        };
        answer.expect_ok();
    }

    /// One, and those of the jobs which it leaves behind: to forget transaction ids, and for a deactivation to leave all rooms.
    fn commits(self) -> u64 {
        if matches!(self, Self::Deactivate) {
            3
        } else {
            2
        }
    }

    /// How many of two devices it ends.
    fn count(self) -> usize {
        match self {
            Self::Delete | Self::Logout => 1,
            Self::DeleteMany | Self::LogoutAll | Self::ChangePassword | Self::Deactivate => 2,
        }
    }
}

#[tokio::test]
async fn a_device_ends_whole_whatever_ends_it() {
    for end in End::ALL {
        println!("{end:?}");
        let server = TestServer::new().await;
        let (alice, devices) = settled(&server).await;
        let had = tables_naming(&server, &devices[0].device_id);
        for table in ["sessions", "access_tokens", "devices", "devices_last_seen"] {
            assert!(had.contains(&table), "the test says nothing of {table}");
        }
        assert!(had.len() >= 13, "{had:?}");
        let before = server.memory.snapshot().stamp();

        end.of(&alice, &devices).await;

        while tables_naming(&server, &devices[0].device_id).contains(&"ended_devices") {
            tokio::task::yield_now().await;
        }
        let after = server.memory.snapshot().stamp();
        assert_eq!(
            after.0 - before.0,
            end.commits(),
            "it was one commit, and its jobs"
        );
        let (ended, kept) = devices.split_at(end.count());
        for device in ended {
            let left = tables_naming(&server, &device.device_id);
            assert_eq!(left, [""; 0], "{}", device.device_id);
            let refused = device.get("/v3/account/whoami").await;
            refused.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
        }
        for device in kept {
            assert_eq!(tables_naming(&server, &device.device_id), had);
            device.get("/v3/account/whoami").await.expect_ok();
        }
    }
}

#[tokio::test]
async fn a_device_that_cannot_be_ended_is_as_it_was() {
    let server = TestServer::new().await;
    let (_, [device, _]) = settled(&server).await;
    let had = tables_naming(&server, &device.device_id);
    let full = StoreError::Unavailable("disk full".to_owned());
    server.memory.faults().fail_next(1, &full);

    let refused = device.post("/v3/logout", json!({})).await;

    assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(tables_naming(&server, &device.device_id), had);
    device.get("/v3/account/whoami").await.expect_ok();
}
