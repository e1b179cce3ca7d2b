//! Folders that are not ours to open.

use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

use database::MockClock;
use database_rocksdb::{OpenError, Restore, RocksEngine, SCHEMA_VERSION, restore};

use crate::fixture::{Fixture, get, open, options, put};

type Content = BTreeMap<String, (Vec<u8>, SystemTime)>;

/// Every byte, and when it was written.
fn content(folder: &Path) -> Content {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let written = entry
            .metadata()
            .and_then(|data| data.modified())
            .expect("a time");
        let bytes = fs::read(entry.path()).expect("a file");
        files.insert(
            entry.file_name().to_string_lossy().into_owned(),
            (bytes, written),
        );
    }
    files
}

fn refused(folder: &Path) -> OpenError {
    let before = content(folder);
    let error = RocksEngine::open(&options(folder))
        .err()
        .expect("it is refused");
    assert_eq!(content(folder), before, "it was touched");
    error
}

#[test]
fn a_folder_with_other_files_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("notes.txt"), "mine").expect("a file");
    assert!(matches!(refused(folder.path()), OpenError::Foreign(_)));
}

#[test]
fn a_rocksdb_database_of_another_product_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(rocksdb::DB::open_default(folder.path()).expect("a foreign database"));
    assert!(matches!(refused(folder.path()), OpenError::Foreign(_)));
}

#[test]
fn an_identity_file_that_is_not_ours_is_refused() {
    for text in [
        "",
        "conduit\nschema 1\n",
        "aqueduct database\nschema x\n",
        "aqueduct database",
        "aqueduct database\nschema 2\nsomething else\n",
        "aqueduct database\nschema 2\nserver a\nserver b\n",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("AQUEDUCT"), text).expect("a file");
        assert!(
            matches!(refused(folder.path()), OpenError::Foreign(_)),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn a_newer_database_is_refused_and_unchanged() {
    let fixture = Fixture::new();
    put(&fixture.store, 1, "x").await.expect("a commit");
    let folder = fixture.close();
    let path = folder.path().join("db");
    let newer = SCHEMA_VERSION + 1;
    let text = format!("aqueduct database\nschema {newer}\nsomething new\n");
    fs::write(path.join("AQUEDUCT"), text).expect("a file");
    match refused(&path) {
        OpenError::Newer { found, known, .. } => {
            assert_eq!((found, known), (newer, SCHEMA_VERSION));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_database_of_an_older_schema_is_refused_with_its_number_and_unchanged() {
    let fixture = Fixture::new();
    put(&fixture.store, 1, "x").await.expect("a commit");
    let folder = fixture.close();
    let path = folder.path().join("db");
    fs::write(path.join("AQUEDUCT"), "aqueduct database\nschema 1\n").expect("a file");
    let error = refused(&path);
    assert!(
        matches!(error, OpenError::Older { found: 1, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("schema version 1"), "{error}");
}

#[tokio::test]
async fn the_database_of_another_server_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let named = |name: &str| options(&path).with_server_name(name);
    {
        let engine = RocksEngine::open(&named("a.example")).expect("it is made");
        put(&engine.store(), 1, "x").await.expect("a commit");
        engine
            .checkpoint(&folder.path().join("copy"))
            .expect("a backup");
    }
    let before = content(&path);
    match RocksEngine::open(&named("b.example")).err() {
        Some(OpenError::OtherServer {
            found, expected, ..
        }) => {
            assert_eq!([found, expected], ["a.example", "b.example"]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(content(&path), before, "it was touched");
    let restored = Restore {
        backup: folder.path().join("copy"),
        to: folder.path().join("restored"),
        server_name: Some("b.example".to_owned()),
        clear: Vec::new(),
    };
    let refused = restore(&restored, &MockClock::default());
    assert!(matches!(refused, Err(OpenError::OtherServer { .. })));
    drop(RocksEngine::open(&named("a.example")).expect("its own server opens it"));
}

#[test]
fn a_database_without_a_server_takes_the_first_name() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let named = |name: &str| options(folder.path()).with_server_name(name);
    drop(RocksEngine::open(&named("a.example")).expect("it opens"));
    let other = RocksEngine::open(&named("b.example")).err();
    assert!(
        matches!(other, Some(OpenError::OtherServer { .. })),
        "{other:?}"
    );
}

/// Whatever of a new database is there when the process is killed, the next start makes it.
#[tokio::test]
async fn a_first_start_that_was_interrupted_starts_over() {
    let made = tempfile::tempdir().expect("a folder");
    drop(open(made.path()));
    let text = fs::read(made.path().join("AQUEDUCT")).expect("a file");
    let mut first_files: Vec<_> = content(made.path())
        .into_keys()
        .filter(|name| {
            !name.starts_with("AQUEDUCT")
                && Path::new(name).extension().is_none_or(|end| end != "log")
        })
        .collect();
    // CURRENT is what makes it a database to RocksDB.
    first_files.sort_by_key(|name| name == "CURRENT");
    for count in 0..=first_files.len() {
        for draft in [&text[..text.len() / 2], &text[..]] {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join("AQUEDUCT.new"), draft).expect("a file");
            for name in &first_files[..count] {
                fs::copy(made.path().join(name), folder.path().join(name)).expect("a copy");
            }
            let store = open(folder.path()).store();
            put(&store, 1, "x").await.expect("a commit");
            drop(store);
            assert_eq!(
                get(&open(folder.path()).store(), 1).await.as_deref(),
                Some("x")
            );
            assert!(!folder.path().join("AQUEDUCT.new").exists());
        }
    }
}

#[tokio::test]
async fn a_database_that_lost_its_identity_is_not_taken_for_an_interrupted_start() {
    let fixture = Fixture::new();
    put(&fixture.store, 1, "x").await.expect("a commit");
    let folder = fixture.close();
    let path = folder.path().join("db");
    fs::rename(path.join("AQUEDUCT"), path.join("AQUEDUCT.new")).expect("a new name");
    assert!(matches!(refused(&path), OpenError::Foreign(_)));
}

#[test]
fn one_folder_is_open_once() {
    let fixture = Fixture::new();
    let second = RocksEngine::open(&options(&fixture.path()));
    assert!(matches!(second.err(), Some(OpenError::InUse(_))));
    let path = fixture.path();
    let folder = fixture.close();
    drop(open(&path));
    drop(folder);
}
