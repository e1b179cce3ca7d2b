//! A small server's life that leaves rows in every table: two friends talk in one room, with all that their clients store.

use std::{convert::Infallible, sync::Arc, time::Duration};

use database::{
    Memory, MockClock, SeededRandom, Snapshot, Store,
    follow::{Begin, Follower},
    migrate::{self, Migration, Progress},
};
use devices::Limits;
use ruma::server_name;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use users::{
    Hashing, NewAccount, NewDevice, ProfileChange, Propagation, Registration, Users, UsersConfig,
};

use super::{
    keys::{Signing, cross_signing, device_keys, signed_curve},
    other_servers::meet_other_servers,
};
use crate::{
    person::User,
    server::{TestOptions, TestServer},
};

const ALICE_CROSS_SIGNING: u8 = 40;
const BOB_CROSS_SIGNING: u8 = 50;
/// How long what happens aside may take on a slow machine.
const LIMIT: Duration = Duration::from_mins(1);

/// The database after that life.
pub(super) async fn house() -> Snapshot {
    let options = TestOptions {
        device_limits: Limits {
            inbox_messages: 2,
            ..Limits::default()
        },
        ..TestOptions::default()
    };
    let server = TestServer::with(options).await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let alice = with_refresh_token(&server, &alice).await;
    settle(&alice).await;
    talk(&alice, &bob).await;
    publish_keys(&alice, &bob).await;
    back_up(&alice).await;
    send_to_devices(&bob, &alice).await;
    share_files(&server, &alice).await;
    show_themselves(&alice, &bob).await;
    let store = Store::new(Arc::new(server.memory.clone()));
    meet_other_servers(&store).await;
    timeout(LIMIT, all_counted(&store)).await.expect("in time")
}

/// The checkpoint is written aside, after Bob's answer.
async fn all_counted(store: &Store) -> Snapshot {
    let mut published = store.published();
    loop {
        published.borrow_and_update();
        let db = store.snapshot().await.expect("a snapshot");
        let mut is_missing = false;
        for table in push::tables() {
            let rows = table.first_rows(&db, 1).await.expect("it reads");
            is_missing |= rows.is_empty();
        }
        if !is_missing {
            return db;
        }
        published.changed().await.expect("the engine lives");
    }
}

async fn with_refresh_token(server: &TestServer, user: &User) -> User {
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user.name },
        "password": User::password_of(&user.name),
        "device_id": "PHONE",
        "initial_device_display_name": "Phone",
        "refresh_token": true,
    });
    let answer = server.post("/v3/login", login).await.expect_ok();
    User::logged_in(server, &user.name, &answer)
}

async fn show_themselves(alice: &User, bob: &User) {
    for (user, state) in [(alice, "online"), (bob, "unavailable")] {
        let path = format!("/v3/presence/{}/status", user.user_id);
        let status = json!({ "presence": state, "status_msg": "in the garden" });
        user.put(&path, status).await.expect_ok();
    }
}

/// What a client sets up after the login.
async fn settle(alice: &User) {
    let own = format!("/v3/user/{}", alice.user_id);
    let name = format!("/v3/profile/{}/displayname", alice.user_id);
    let direct = json!({ "@bob:example.org": ["!room"] });
    let filter = json!({ "room": { "timeline": { "limit": 20 } } });
    alice
        .put(&name, json!({ "displayname": "Alice" }))
        .await
        .expect_ok();
    alice
        .put(&format!("{own}/account_data/m.direct"), direct)
        .await
        .expect_ok();
    alice
        .post(&format!("{own}/filter"), filter)
        .await
        .expect_ok();
    for word in ["garden", "rain"] {
        let rule = json!({ "pattern": word, "actions": ["notify"] });
        alice
            .put(&format!("/v3/pushrules/global/content/{word}"), rule)
            .await
            .expect_ok();
    }
    alice
        .post(&format!("{own}/openid/request_token"), json!({}))
        .await
        .expect_ok();
}

async fn talk(alice: &User, bob: &User) {
    let wanted = json!({
        "preset": "public_chat",
        "name": "Garden",
        "room_alias_name": "garden",
        "visibility": "public",
    });
    let made = alice.post("/v3/createRoom", wanted).await.expect_ok();
    let room = made["room_id"].as_str().expect("createRoom tells it");
    bob.join(room).await.expect_ok();
    let mut last = String::new();
    for number in 0..101 {
        last = alice.send(room, &format!("hello {number}")).await;
    }
    // Bob had to count far: this leaves a checkpoint.
    bob.sync(None).await;
    bob.post(
        &format!("/v3/rooms/{room}/receipt/m.read/{last}"),
        json!({}),
    )
    .await
    .expect_ok();
    let tag = format!("/v3/user/{}/rooms/{room}/tags/m.favourite", bob.user_id);
    bob.put(&tag, json!({ "order": 0.5 })).await.expect_ok();
}

async fn publish_keys(alice: &User, bob: &User) {
    for (user, seed) in [(alice, 1), (bob, 11)] {
        let upload = json!({
            "device_keys": device_keys(user, &user.device_id, seed),
            "one_time_keys": {
                "signed_curve25519:AAAAAQ": signed_curve(user, seed + 1),
                "signed_curve25519:AAAAAg": signed_curve(user, seed + 2),
            },
            "fallback_keys": { "signed_curve25519:AAAAAA": signed_curve(user, seed + 3) },
        });
        user.post("/v3/keys/upload", upload).await.expect_ok();
    }
    let upload = "/v3/keys/device_signing/upload";
    let (alices, bobs) = (
        cross_signing(alice, ALICE_CROSS_SIGNING),
        cross_signing(bob, BOB_CROSS_SIGNING),
    );
    alice.post(upload, alices).await.expect_ok();
    bob.post(upload, bobs.clone()).await.expect_ok();
    let user_signing = Signing::new(ALICE_CROSS_SIGNING + 2);
    let master = Signing::new(BOB_CROSS_SIGNING).public();
    let signed = user_signing.sign(bobs["master_key"].clone(), alice, &user_signing.public());
    let verified = json!({ &bob.user_id: { master: signed } });
    let answer = alice.post("/v3/keys/signatures/upload", verified).await;
    assert_eq!(answer.expect_ok()["failures"], json!({}));
    let claim = json!({
        "one_time_keys": { &bob.user_id: { &bob.device_id: "signed_curve25519" } },
    });
    alice.post("/v3/keys/claim", claim).await.expect_ok();
    let dry = json!({
        "device_id": "DRY",
        "device_data": { "algorithm": "org.matrix.msc3814.v2", "nonce": "n", "device_pickle": "p" },
        "device_keys": device_keys(alice, "DRY", 21),
    });
    alice
        .put("/unstable/org.matrix.msc3814.v1/dehydrated_device", dry)
        .await
        .expect_ok();
}

async fn back_up(alice: &User) {
    let version = json!({
        "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": { "public_key": Signing::new(31).public() },
    });
    alice
        .post("/v3/room_keys/version", version)
        .await
        .expect_ok();
    let session = json!({
        "first_message_index": 0,
        "forwarded_count": 0,
        "is_verified": true,
        "session_data": { "ciphertext": "c", "ephemeral": "e", "mac": "m" },
    });
    alice
        .put("/v3/room_keys/keys/!room/session?version=1", session)
        .await
        .expect_ok();
}

/// One more message than an inbox holds.
async fn send_to_devices(bob: &User, alice: &User) {
    for number in 0..3 {
        let messages = json!({
            "messages": { &alice.user_id: { &alice.device_id: { "number": number } } },
        });
        bob.put(
            &format!("/v3/sendToDevice/org.example.test/t{number}"),
            messages,
        )
        .await
        .expect_ok();
    }
}

/// A red pixel.
const PIXEL: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\
    \x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82";

/// An image with its thumbnail, a media id without a file, and a verdict.
async fn share_files(server: &TestServer, alice: &User) {
    let at = alice.upload("?filename=dot.png", "image/png", PIXEL).await;
    let path = format!("/v1/media/thumbnail/{at}?width=96&height=96&method=crop");
    let answer = alice.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    alice
        .post("/_matrix/media/v1/create", json!({}))
        .await
        .expect_ok();
    let verdict = Some(media::Verdict::Quarantined);
    let judged = server.media.judge(media::ContentHash([7; 32]), verdict);
    judged.await.expect("judged");
}

/// Rows that are gone soon, or come from other servers.
async fn transient_media_rows(store: &Store) {
    use media::tables::{MEDIA_UNREFERENCED, PreviewRow, URL_PREVIEWS, URL_PREVIEWS_BY_AGE};

    let body = |txn: database::Txn| async move {
        let fetched = database::Millis(1_735_689_600_000);
        let url = "https://example.net/";
        let preview = PreviewRow {
            fetched,
            json: json!({ "og:title": "An example" }).to_string(),
            image: None,
        };
        txn.put(URL_PREVIEWS.at(url), &preview);
        txn.put(URL_PREVIEWS_BY_AGE.at((fetched, url)), &());
        let hash = media::ContentHash([9; 32]);
        txn.put(MEDIA_UNREFERENCED.at(hash), &media::Place::Files);
        Ok::<_, database::StoreError>(())
    };
    store.transact(body).await.expect("it commits");
}

/// A database that nobody follows, so that the jobs stay: after a change of a profile, and after the account's end.
pub(super) async fn quiet() -> [Snapshot; 2] {
    let store = Store::new(Arc::new(Memory::new()));
    let config = UsersConfig {
        registration: Registration::Open,
        hashing: Hashing::weak_for_tests(),
        ..UsersConfig::new(server_name!("example.org").to_owned())
    };
    let (clock, random) = (
        Arc::new(MockClock::default()),
        Arc::new(SeededRandom::new(7)),
    );
    let users = Users::new(store.clone(), clock, random, config, TaskTracker::new());
    let account = NewAccount {
        user_id: users.wanted_name("carol").expect("a good name"),
        password: None,
        is_admin: false,
        device: Some(NewDevice {
            id: Some("PHONE".into()),
            ..NewDevice::default()
        }),
    };
    let carol = users.register(account).await.expect("registered").number;
    let change = ProfileChange::DisplayName(Some("Carol".to_owned()));
    users
        .change_profile(carol, change, Propagation::AllRooms)
        .await
        .expect("changed");
    migrate::run(&store, &[MIGRATION], async |_| Ok::<_, Infallible>(()))
        .await
        .expect("migrated");
    transient_media_rows(&store).await;
    let changed = store.snapshot().await.expect("a snapshot");
    users.deactivate(carol, false).await.expect("deactivated");
    Follower::open(&store, "example", Begin::Newest)
        .await
        .expect("a follower");
    let ended = store.snapshot().await.expect("a snapshot");
    [changed, ended]
}

/// Ends after its first chunk.
const MIGRATION: Migration = Migration {
    name: "example",
    step: |_, _| Box::pin(async { Ok(Progress::Done) }),
};
