//! Each file of a database is damaged in turn, at random places. The server refuses it by name and
//! leaves the folder as it is, or reads show where the damage is, or it does not matter; no
//! acknowledged row is ever missing without an error.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use database::{Random as _, Read, SeededRandom, Store, StoreError};
use database_rocksdb::{Health, OpenError, RocksEngine};
use tempfile::TempDir;

use crate::fixture::{ROWS, open, options, put};

const EACH: u64 = 150;
const DAMAGES: usize = 25;
/// `DAMAGE_SEED` sets another.
const SEED: u64 = 20_260_801;

type Content = BTreeMap<String, Vec<u8>>;

/// The files of a database with table files and a log, and the rows in it.
struct Example {
    files: Content,
    rows: BTreeMap<u64, String>,
    _folder: TempDir,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// As a kill leaves it.
    Killed,
    Closed,
}

impl Example {
    async fn new(end: End) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db");
        let random = SeededRandom::new(SEED);
        let mut rows = BTreeMap::new();
        // Each start makes a table file of what is in the log.
        for session in 0..3 {
            let engine = open(&path);
            for number in 0..EACH {
                let key = session * 100 + number;
                let value = random.token(700);
                put(&engine.store(), key, &value).await.expect("a commit");
                rows.insert(key, value);
            }
            if session == 2 && end == End::Killed {
                // Everything that is acknowledged is on disk, so this is what a kill leaves.
                let files = content(&path);
                return Self {
                    files: files
                        .into_iter()
                        .filter(|(name, _)| name != "AQUEDUCT.stamp")
                        .collect(),
                    rows,
                    _folder: folder,
                };
            }
        }
        Self {
            files: content(&path),
            rows,
            _folder: folder,
        }
    }

    fn write_to(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        for (name, bytes) in &self.files {
            fs::write(folder.join(name), bytes).expect("a file");
        }
    }

    fn named(&self, end: &str) -> String {
        let mut names = self.files.keys().filter(|name| name.ends_with(end));
        names.next_back().expect("there is one").clone()
    }
}

fn content(folder: &Path) -> Content {
    let entries = fs::read_dir(folder).expect("a folder");
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        (name, fs::read(path).expect("a file"))
    };
    entries.map(read).collect()
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip,
    Zeros,
    Short,
    Missing,
    Empty,
}

fn inflict(damage: Damage, path: &Path, random: &SeededRandom) {
    let mut bytes = fs::read(path).expect("a file");
    let place = |random: &SeededRandom| usize::try_from(random.u64()).expect("64 bits");
    let length = bytes.len().max(1);
    let at = place(random) % length;
    match damage {
        Damage::Missing => return fs::remove_file(path).expect("it can be removed"),
        Damage::Empty => bytes.clear(),
        Damage::Short => bytes.truncate(at),
        Damage::Flip if !bytes.is_empty() => bytes[at] ^= 1 << (place(random) % 8),
        Damage::Zeros if !bytes.is_empty() => {
            let end = (at + 40).min(bytes.len());
            bytes[at..end].fill(0);
        }
        Damage::Flip | Damage::Zeros => {}
    }
    fs::write(path, bytes).expect("it can be written");
}

fn is_a(name: &str, extension: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|end| end == extension)
}

/// Files that the database does not need.
fn is_free(name: &str) -> bool {
    ["LOCK", "LOG", "OPTIONS", "IDENTITY"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// What became of the rows.
struct Outcome {
    missing: Vec<u64>,
    unreadable: usize,
}

async fn read_all(store: &Store, rows: &BTreeMap<u64, String>, name: &str) -> Outcome {
    let mut outcome = Outcome {
        missing: Vec::new(),
        unreadable: 0,
    };
    let db = store.snapshot().await.expect("a snapshot");
    for (key, value) in rows {
        match db.get(ROWS.at(*key)).await {
            Ok(Some(found)) if found == *value => {}
            // None, or an older one.
            Ok(_) => outcome.missing.push(*key),
            Err(StoreError::Unavailable(error)) => {
                assert!(error.contains(name), "{error} names {name}");
                assert!(error.contains("table `rows`"), "{error} names the table");
                outcome.unreadable += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    outcome
}

#[tokio::test]
async fn a_damaged_file_is_found_or_does_not_matter() {
    let seed = env::var("DAMAGE_SEED").ok();
    let seed = seed.map_or(SEED, |seed| seed.parse().expect("DAMAGE_SEED is a number"));
    println!("DAMAGE_SEED={seed}");
    let random = SeededRandom::new(seed);
    let (mut refused, mut met, mut harmless) = (0, 0, 0);
    for end in [End::Killed, End::Closed] {
        let example = Example::new(end).await;
        let newest_log = example.named(".log");
        for name in example.files.keys() {
            for round in 0..DAMAGES {
                let damage = match round {
                    0 => Damage::Missing,
                    1 => Damage::Empty,
                    _ => [Damage::Flip, Damage::Zeros, Damage::Short][round % 3],
                };
                let folder = tempfile::tempdir().expect("a folder");
                let path = folder.path().join("db");
                example.write_to(&path);
                inflict(damage, &path.join(name), &random);
                let before = content(&path);
                let what = format!("{damage:?} of {name}, round {round}");
                let engine = match RocksEngine::open(&options(&path)) {
                    Ok(engine) => engine,
                    Err(error) => {
                        assert!(!is_free(name), "{what}: {error}");
                        assert!(content(&path) == before, "{what}: it was touched");
                        assert_names(&error, name, &what);
                        refused += 1;
                        continue;
                    }
                };
                let outcome = read_all(&engine.store(), &example.rows, name).await;
                if outcome.unreadable > 0 {
                    assert!(matches!(engine.health(), Health::Damaged(_)), "{what}");
                    assert!(
                        put(&engine.store(), 1, "x").await.is_err(),
                        "{what}: it writes"
                    );
                    met += 1;
                } else {
                    harmless += 1;
                }
                let last = *example.rows.keys().next_back().expect("there are rows");
                // Without a word from when it was closed, a log that ends early cannot be told
                // from one that was still being written.
                let may_be_short = end == End::Killed
                    && *name == newest_log
                    && matches!(damage, Damage::Short | Damage::Empty);
                if may_be_short {
                    let kept = outcome.missing.first().copied().unwrap_or(u64::MAX);
                    let lost = example.rows.keys().copied().filter(|key| *key >= kept);
                    assert_eq!(outcome.missing, lost.collect::<Vec<_>>(), "{what}");
                } else if end == End::Killed && *name == newest_log {
                    assert!(outcome.missing.iter().all(|key| *key == last), "{what}");
                } else {
                    assert_eq!(outcome.missing, [], "{what}");
                }
            }
        }
    }
    println!("{refused} refused, {met} met by reads, {harmless} without effect");
    assert!(refused > 100 && met > 10 && harmless > 50);
}

fn assert_names(error: &OpenError, name: &str, what: &str) {
    let text = error.to_string();
    let is_named = match error {
        // Without that file, or with another, the folder is somebody else's.
        OpenError::Foreign(_) | OpenError::Newer { .. } | OpenError::Older { .. } => {
            name == "AQUEDUCT"
        }
        // A log that is missing altogether is named by its number, or by what it should hold.
        _ if is_a(name, "log") => text.contains("log"),
        // RocksDB names no file if it cannot read the end of one.
        _ if is_a(name, "sst") => text.contains(name) || text.contains("table files"),
        // With an end that is missing it names files that are gone, rightly so.
        _ if name.starts_with("MANIFEST") => text.contains("MANIFEST") || text.contains("missing"),
        _ => text.contains(name),
    };
    assert!(is_named, "{what}: {text}");
}

async fn example_at(end: End) -> (TempDir, PathBuf, Example) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let example = Example::new(end).await;
    example.write_to(&path);
    (folder, path, example)
}

#[tokio::test]
async fn the_record_that_was_being_written_may_be_lost() {
    let (_folder, path, example) = example_at(End::Killed).await;
    let log = path.join(example.named(".log"));
    let mut bytes = fs::read(&log).expect("a file");
    bytes.extend_from_slice(&[7, 7, 7, 7, 200, 0, 1, 1, 2, 3]);
    fs::write(&log, bytes).expect("it can be written");

    let engine = open(&path);
    let outcome = read_all(&engine.store(), &example.rows, "").await;
    assert_eq!((outcome.missing, outcome.unreadable), (vec![], 0));
    put(&engine.store(), 5000, "x").await.expect("it goes on");
}

#[tokio::test]
async fn a_damaged_block_is_not_compacted_away() {
    let (_folder, path, example) = example_at(End::Closed).await;
    let table = example
        .files
        .keys()
        .find(|name| is_a(name, "sst"))
        .expect("a table file");
    let mut bytes = fs::read(path.join(table)).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path.join(table), &bytes).expect("it can be written");

    let engine = open(&path);
    let store = engine.store();
    let db = store.snapshot().await.expect("a snapshot");
    let error = db
        .page(ROWS.all(), usize::MAX)
        .await
        .expect_err("it is damaged")
        .to_string();
    for part in [table.as_str(), "table `rows`", "beside the row"] {
        assert!(error.contains(part), "{error} names {part}");
    }
    assert!(matches!(engine.health(), Health::Damaged(_)));
    for key in 0..3 {
        assert!(put(&store, key, "new").await.is_err(), "it is read-only");
    }
    let newest = *example.rows.keys().next_back().expect("there are rows");
    assert!(
        db.get(ROWS.at(newest))
            .await
            .expect("it still reads")
            .is_some()
    );
    drop((db, store, engine));
    assert_eq!(
        fs::read(path.join(table)).expect("it is still there"),
        bytes
    );
}
