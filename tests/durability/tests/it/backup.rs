//! `aqueduct backup` while clients write, `aqueduct restore`, and clients that continue with tokens
//! from after the backup.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use crate::client::{Client, Event, Watcher, assert_same};
use crate::server::{Home, Server};

const SENDERS: usize = 8;
const BEFORE: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_everything_up_to_it() {
    let home = Home::new();
    let server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    let room = alice.create_public_room().await;
    let mut early = Vec::new();
    for number in 0..BEFORE {
        early.push(alice.send(&room, &format!("early{number}")).await);
    }
    let backup = home.folder().join("backup");
    let destination = backup.to_str().expect("a plain path");

    let (before, later) = back_up_under_load(&home, &alice, &room, destination).await;
    let mut watcher = Watcher::begin(alice.clone()).await;
    let lost = alice.send(&room, "after the backup").await;
    watcher.watch(0).await.expect("the server runs");
    let mut server = server;
    server.kill().await;

    let restored = home.folder().join("restored");
    let output = home.run(&restored, &["restore", destination]).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let server = home.start_on(&restored).await;

    let alice = alice.at(&server);
    let timeline = alice.messages(&room).await;
    let ids: Vec<&str> = timeline.iter().map(|event| event.id.as_str()).collect();
    assert!(
        early.iter().all(|id| ids.contains(&id.as_str())),
        "an event from long before"
    );
    assert!(
        before.iter().all(|id| ids.contains(&id.as_str())),
        "an event from just before"
    );
    assert!(!ids.contains(&lost.as_str()));
    assert_is_start_of(&timeline, &later);
    assert_first_new_event_is_seen(&server, &alice, &room, watcher, &later).await;
    server.stop().await;
}

/// Returns the ids that were acknowledged before the command began, and the whole timeline after
/// it.
async fn back_up_under_load(
    home: &Home,
    alice: &Client,
    room: &str,
    destination: &str,
) -> (Vec<String>, Vec<Event>) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for number in 0..SENDERS {
        let (alice, room, stop) = (alice.clone(), room.to_owned(), Arc::clone(&stop));
        senders.spawn(async move {
            for count in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                alice.send(&room, &format!("load{number}-{count}")).await;
            }
        });
    }
    let before = alice
        .messages(room)
        .await
        .into_iter()
        .map(|event| event.id)
        .collect();
    let output = home.run(&home.database(), &["backup", destination]).await;
    stop.store(true, Ordering::SeqCst);
    senders.join_all().await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (before, alice.messages(room).await)
}

/// A backup is a consistent snapshot: it contains the room's first events without a gap.
fn assert_is_start_of(restored: &[Event], whole: &[Event]) {
    assert!(restored.len() <= whole.len());
    assert_same(restored, &whole[..restored.len()]);
}

/// The token is newer than the backup: the restored server has never issued it.
async fn assert_first_new_event_is_seen(
    server: &Server,
    alice: &Client,
    room: &str,
    mut watcher: Watcher,
    later: &[Event],
) {
    watcher.move_to(server);
    watcher.seen.clear();
    let new = alice.send(room, "first after the restore").await;
    watcher.watch(0).await.expect("the server runs");
    let seen = watcher.messages(room);
    assert_eq!(seen.last().map(|event| &event.id), Some(&new), "{seen:?}");
    let old: Vec<_> = seen.iter().filter(|event| later.contains(event)).collect();
    assert!(
        old.is_empty(),
        "events that the client has had come again: {old:?}"
    );
}
