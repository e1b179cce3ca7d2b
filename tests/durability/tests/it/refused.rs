//! A database that must not be opened (newer, foreign, or in use) is refused and not changed by a
//! byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::client::Client;
use crate::server::Home;

#[tokio::test]
async fn a_newer_database_is_refused_and_unchanged() {
    let home = Home::new();
    let server = home.start().await;
    Client::register(&server, "alice").await;
    server.stop().await;
    let version = version_file(&home.database());
    let text = fs::read_to_string(&version).expect("it is text");
    fs::write(&version, with_later_version(&text)).expect("it can be written");

    assert_refused_and_unchanged(&home).await;
}

#[tokio::test]
async fn a_foreign_database_is_refused_and_unchanged() {
    let home = Home::new();
    let server = home.start().await;
    server.stop().await;
    // A RocksDB of another program: everything but the file that names the product.
    fs::remove_file(version_file(&home.database())).expect("it can be removed");

    assert_refused_and_unchanged(&home).await;
}

#[tokio::test]
async fn a_folder_of_something_else_is_refused_and_unchanged() {
    let home = Home::new();
    fs::create_dir(home.database()).expect("a new folder");
    fs::write(home.database().join("homeserver.db"), "SQLite format 3\0").expect("a new file");

    assert_refused_and_unchanged(&home).await;
}

#[tokio::test]
async fn a_database_in_use_is_refused_and_its_server_goes_on() {
    let home = Home::new();
    let server = home.start().await;
    let alice = Client::register(&server, "alice").await;

    let output = home.run(&home.database(), &["serve"]).await;

    assert!(!output.status.success());
    assert_eq!(
        alice.read("/v3/account/whoami").await["user_id"],
        alice.user
    );
    server.stop().await;
}

async fn assert_refused_and_unchanged(home: &Home) {
    let before = contents(&home.database());

    for command in ["serve", "backup"] {
        let destination = home.folder().join("backup").display().to_string();
        let arguments: &[&str] = if command == "backup" {
            &["backup", &destination]
        } else {
            &["serve"]
        };
        let output = home.run(&home.database(), arguments).await;
        assert!(!output.status.success(), "{command} took it");
        assert!(
            !output.stderr.is_empty() || !output.stdout.is_empty(),
            "{command} says why"
        );
        assert_eq!(contents(&home.database()), before, "{command}");
    }
}

pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).expect("it can be read");
            found.insert(path, bytes);
        }
    }
    found
}

/// The plain file that names the product and its schema's version.
fn version_file(database: &Path) -> PathBuf {
    let files = contents(database);
    let mut plain = files.into_iter().filter(|(path, bytes)| {
        let is_log = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("LOG"));
        !is_log && bytes.len() < 200 && String::from_utf8_lossy(bytes).contains("aqueduct")
    });
    let (path, _) = plain.next().expect("a plain file names the product");
    path
}

/// The last number in the text, plus 1000.
fn with_later_version(text: &str) -> String {
    let is_digit = |character: char| character.is_ascii_digit();
    let end = text.rfind(is_digit).expect("it has a version") + 1;
    let start = text[..end]
        .rfind(|character| !is_digit(character))
        .map_or(0, |at| at + 1);
    let version: u64 = text[start..end].parse().expect("a number");
    format!("{}{}{}", &text[..start], version + 1000, &text[end..])
}
