//! The crates of rooms stay readable: no file is too long, no public type has too many methods.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const MOST_LINES: usize = 400;
const MOST_METHODS: usize = 25;

/// Files over the limit that are still to be split, with the lines that they may have.
const LONG_FILES: [(&str, usize); 3] = [
    ("remote/src/missing.rs", 440),
    ("store/src/tables.rs", 440),
    ("testing/tests/it/relations_model.rs", 440),
];
/// Types over the limit that are still to be split, with the methods that they may have.
const LARGE_TYPES: [(&str, usize); 3] = [("History", 32), ("RemoteRooms", 32), ("RoomStore", 32)];

/// The Rust files of `src/rooms`, with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let rooms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rooms");
    let mut ahead = vec![rooms];
    let mut sources = Vec::new();
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                ahead.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                sources.push((path, text));
            }
        }
    }
    assert!(sources.len() > 50, "the crates of rooms are in src/rooms");
    sources
}

#[test]
fn no_file_of_the_rooms_is_too_long() {
    let mut long = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        let exception = LONG_FILES.iter().find(|(name, _)| path.ends_with(name));
        if lines > exception.map_or(MOST_LINES, |(_, most)| *most) {
            long.push(format!("{} has {lines} lines", path.display()));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn no_public_type_of_the_rooms_has_too_many_methods() {
    let mut methods: BTreeMap<(PathBuf, String), usize> = BTreeMap::new();
    for (path, text) in sources() {
        let mut owner = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("impl") {
                owner = inherent(rest);
            } else if line == "}" {
                owner = None;
            }
            let is_method = line
                .strip_prefix("    pub ")
                .is_some_and(|rest| rest.contains("fn "));
            if let Some(owner) = owner.as_ref().filter(|_| is_method) {
                let key = (crate_of(&path), owner.clone());
                *methods.entry(key).or_default() += 1;
            }
        }
    }
    assert!(methods.len() > 10, "types are found");
    let large: Vec<_> = methods
        .into_iter()
        .filter(|((_, name), count)| {
            let exception = LARGE_TYPES.iter().find(|(large, _)| large == name);
            *count > exception.map_or(MOST_METHODS, |(_, most)| *most)
        })
        .collect();
    assert!(large.is_empty(), "{large:?}");
}

/// The type of a line that begins an inherent `impl`.
fn inherent(rest: &str) -> Option<String> {
    let rest = rest.strip_suffix(" {")?;
    if rest.contains(" for ") {
        return None;
    }
    let name = rest.rsplit("> ").next()?.trim();
    let name = name.split('<').next()?;
    Some(name.rsplit("::").next()?.to_owned())
}

/// The folder of the crate that a file belongs to.
fn crate_of(path: &Path) -> PathBuf {
    let folder = path
        .ancestors()
        .find(|folder| folder.join("Cargo.toml").is_file());
    folder.expect("a crate").to_owned()
}
