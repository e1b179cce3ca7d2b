//! A full disk: the real binary under a limit of file size (RLIMIT_FSIZE) refuses writes, goes on
//! reading, and has after a restart each event that it acknowledged.

use std::fs;
use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use crate::client::{Client, escaped, text};
use crate::server::{Home, Server};

/// Bytes by which the largest file may still grow: enough for some sends, so that the limit is met
/// in the middle of one.
const ROOM_LEFT: u64 = 24 * 1024;
const AT_MOST: usize = 2_000;

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let home = Home::new();
    let server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    let room = alice.create_public_room().await;
    let mut acknowledged = Vec::new();
    for number in 0..50 {
        acknowledged.push((
            format!("before{number}"),
            alice.send(&room, &format!("before{number}")).await,
        ));
    }

    limit_files(&server, largest_file(&home.database()) + ROOM_LEFT).await;

    let refused = send_until_refused(&alice, &room, &mut acknowledged).await;
    assert_writes_are_refused(&alice, &room).await;
    assert_reads_go_on(&alice, &room, &acknowledged).await;
    let status = home.run(&home.database(), &["status"]).await;
    let said = String::from_utf8_lossy(&status.stderr);
    assert!(
        !status.status.success() && said.contains("READ-ONLY"),
        "{said}"
    );
    server
        .wait_until_logged("READ-ONLY until the server is restarted")
        .await;
    let mut server = server;
    server.kill().await;

    let server = home.start().await;
    let status = home.run(&home.database(), &["status"]).await;
    assert!(status.status.success(), "it takes writes again");
    let alice = alice.at(&server);
    for (body, id) in &acknowledged {
        assert_eq!(
            &alice.send(&room, body).await,
            id,
            "{body} is known by its transaction id"
        );
    }
    alice.send(&room, &refused).await;
    let timeline = alice.messages(&room).await;
    for (body, id) in &acknowledged {
        let found: Vec<_> = timeline
            .iter()
            .filter(|event| &event.body == body)
            .collect();
        assert!(found.len() == 1 && &found[0].id == id, "{body}: {found:?}");
    }
    assert_eq!(
        timeline
            .iter()
            .filter(|event| event.body == refused)
            .count(),
        1
    );
    server.stop().await;
}

/// Returns the text, and transaction id, of the first send that was refused.
async fn send_until_refused(
    alice: &Client,
    room: &str,
    acknowledged: &mut Vec<(String, String)>,
) -> String {
    for number in 0..AT_MOST {
        let body = format!("limited{number}");
        let answer = alice
            .try_send(room, &body, &body)
            .await
            .expect("the server runs");
        if answer.status != 200 {
            assert!(
                (500..600).contains(&answer.status),
                "{} {}",
                answer.status,
                answer.body
            );
            return body;
        }
        acknowledged.push((body, text(&answer.body["event_id"])));
    }
    panic!("{AT_MOST} sends were acknowledged under the limit");
}

async fn assert_writes_are_refused(alice: &Client, room: &str) {
    let user = escaped(&alice.user);
    let topic = format!("/v3/rooms/{}/state/m.room.topic", escaped(room));
    let data = format!("/v3/user/{user}/account_data/org.example");
    let answers = [
        alice.try_send(room, "late", "late").await,
        alice.put(&topic, &json!({ "topic": "late" })).await,
        alice.put(&data, &json!({ "late": true })).await,
        alice.post("/v3/createRoom", &json!({})).await,
    ];
    for answer in answers {
        let answer = answer.expect("the server runs");
        assert!(
            (500..600).contains(&answer.status),
            "{} {}",
            answer.status,
            answer.body
        );
    }
}

async fn assert_reads_go_on(alice: &Client, room: &str, acknowledged: &[(String, String)]) {
    let timeline = alice.messages(room).await;
    let found: Vec<_> = timeline
        .into_iter()
        .map(|event| (event.body, event.id))
        .collect();
    assert_eq!(
        found, acknowledged,
        "nothing refused is shown, nothing acknowledged is missing"
    );
    alice.sync("").await;
    assert_eq!(alice.joined_rooms().await, [room]);
    let topic = alice
        .get(&format!("/v3/rooms/{}/state/m.room.topic", escaped(room)))
        .await;
    assert_eq!(topic.expect("the server runs").status, 404);
}

fn largest_file(folder: &Path) -> u64 {
    let sizes = fs::read_dir(folder)
        .expect("the database is there")
        .map(|entry| {
            let entry = entry.expect("it can be listed");
            entry.metadata().map_or(0, |metadata| metadata.len())
        });
    sizes.max().unwrap_or_default()
}

/// From outside, on the running process, by util-linux.
async fn limit_files(server: &Server, bytes: u64) {
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", server.process_id()))
        .arg(format!("--fsize={bytes}:{bytes}"))
        .status()
        .await;
    assert!(status.expect("prlimit starts").success());
}
