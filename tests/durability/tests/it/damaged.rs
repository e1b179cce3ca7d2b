//! A log that is damaged before its end: the server refuses it, `aqueduct check` shows what can be
//! kept, and repairs it on demand.

use std::fs;
use std::path::{Path, PathBuf};

use crate::client::{Client, Watcher};
use crate::refused::contents;
use crate::server::Home;

const MESSAGES: usize = 200;

#[tokio::test]
async fn a_damaged_log_is_refused_and_repaired_on_demand() {
    let home = Home::new();
    let mut server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    let room = alice.create_public_room().await;
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        sent.push(alice.send(&room, &format!("message {number}")).await);
    }
    let mut watcher = Watcher::begin(alice.clone()).await;
    server.kill().await;
    let log = damage_log(&home.database());
    let before = contents(&home.database());

    let refused = home.run(&home.database(), &["serve"]).await;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains(&log), "{text}");
    let checked = home.run(&home.database(), &["check"]).await;
    let shown = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        !checked.status.success() && shown.contains("--repair"),
        "{shown}"
    );
    assert_eq!(contents(&home.database()), before, "nothing was touched");

    let repaired = home.run(&home.database(), &["check", "--repair"]).await;
    let text = String::from_utf8_lossy(&repaired.stderr);
    assert!(repaired.status.success(), "{text}");
    let checked = home.run(&home.database(), &["check"]).await;
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
    let kept = contents(&home.folder().join("database.damaged"));
    assert_eq!(
        kept.values().collect::<Vec<_>>(),
        before.values().collect::<Vec<_>>()
    );

    let server = home.start().await;
    let alice = alice.at(&server);
    let found: Vec<String> = alice
        .messages(&room)
        .await
        .into_iter()
        .map(|event| event.id)
        .collect();
    assert!(
        found.len() < sent.len() && found.len() > 10,
        "{} messages",
        found.len()
    );
    assert_eq!(
        found,
        sent[..found.len()],
        "a part is missing in the middle"
    );
    // The token is from after the damage, and its stamp is not given out again.
    watcher.move_to(&server);
    watcher.seen.clear();
    let new = alice.send(&room, "after the repair").await;
    watcher.watch(0).await.expect("the server runs");
    let seen = watcher.messages(&room);
    assert_eq!(seen.last().map(|event| &event.id), Some(&new), "{seen:?}");
    server.stop().await;
}

/// Flips a bit in the middle of the largest log. Returns the log's name.
fn damage_log(database: &Path) -> String {
    let entries = fs::read_dir(database).expect("a folder");
    let logs = entries.map(|entry| entry.expect("an entry").path());
    let logs = logs.filter(|path| path.extension().is_some_and(|end| end == "log"));
    let size = |path: &PathBuf| path.metadata().map_or(0, |data| data.len());
    let log = logs.max_by_key(size).expect("there is a log");
    let mut bytes = fs::read(&log).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).expect("it can be written");
    log.file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned()
}
