//! Folders that are not ours to open.

use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

use database_rocksdb::{OpenError, RocksEngine, SCHEMA_VERSION};

use crate::fixture::{Fixture, open, options, put};

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

#[test]
fn a_first_start_that_was_cut_off_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("AQUEDUCT.new"), "aque").expect("a file");
    drop(open(folder.path()));
    drop(open(folder.path()));
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
