//! The order of the crates: each uses only crates below it, in its tests too
//! (`docs/ARCHITECTURE.md`).

use std::{collections::HashMap, path::Path, process::Command};

use serde_json::Value;

/// Top to bottom. Crates on one floor do not use each other.
const FLOORS: &[&[&str]] = &[
    &["aqueduct"],
    &["client-api", "federation-api"],
    &["edge"],
    &["sync"],
    &["push", "sender"],
    &["presence"],
    &["rooms-remote"],
    &["rooms-testing"],
    &["rooms-directory"],
    &["rooms-history", "rooms-writer"],
    &["rooms-store"],
    &["media"],
    &["users"],
    &["devices"],
    &["federation"],
    &["protocol"],
    &["database-rocksdb"],
    &["database"],
];

/// Outside the order: they use the binary or other programs, and no crate uses them.
const OUTSIDE: &[&str] = &["complement-tests", "durability", "hsbench"];

#[test]
fn no_crate_uses_one_above_it() {
    let floors: HashMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, crates)| crates.iter().map(move |name| (*name, floor)))
        .collect();
    let mut wrong = Vec::new();
    for (name, dependencies) in workspace() {
        let floor = floors.get(name.as_str());
        if floor.is_none() && !OUTSIDE.contains(&name.as_str()) {
            wrong.push(format!(
                "{name} is missing in the order of crates: add it here and to docs/ARCHITECTURE.md"
            ));
        }
        for used in dependencies {
            match (floor, floors.get(used.as_str())) {
                (Some(own), Some(other)) if other <= own => {
                    wrong.push(format!("{name} uses {used}, which is not below it"));
                }
                (None, Some(_)) => {
                    wrong.push(format!("{name} is outside the order and uses {used}"));
                }
                (Some(_), None) => {
                    wrong.push(format!("{name} uses {used}, which is outside the order"));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every crate of the workspace, with the crates of the workspace that it uses.
fn workspace() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    packages
        .iter()
        .map(|package| (text(&package["name"]), own_dependencies(package)))
        .collect()
}

fn own_dependencies(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().expect("there is a list");
    // Crates of the workspace have a path.
    let own = dependencies
        .iter()
        .filter(|dependency| dependency["path"].is_string());
    own.map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("names are text").to_owned()
}
