//! The walls of the house: a crate uses only crates that stand below it (`docs/ARCHITECTURE.md`), its tests included.

use std::{collections::HashMap, path::Path, process::Command};

use serde_json::Value;

/// Top to bottom. Crates of one floor do not use each other.
const FLOORS: &[&[&str]] = &[
    &["aqueduct"],
    &["client-api", "federation-api"],
    &["edge"],
    &["sync"],
    &["push"],
    &["rooms"],
    &["media"],
    &["users"],
    &["devices"],
    &["federation"],
    &["protocol"],
    &["database-rocksdb"],
    &["database"],
];

/// Stand outside: they use the binary or other programs, and nothing uses them.
const OUTSIDE: &[&str] = &["complement-tests", "durability"];

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
                "{name} has no place in the house: give it one here and in docs/ARCHITECTURE.md"
            ));
        }
        for used in dependencies {
            match (floor, floors.get(used.as_str())) {
                (Some(own), Some(other)) if other <= own => {
                    wrong.push(format!("{name} uses {used}, which does not stand below it"));
                }
                (None, Some(_)) => wrong.push(format!("{name} stands outside and uses {used}")),
                (Some(_), None) => wrong.push(format!("{name} uses {used}, which stands outside")),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every crate of the workspace, with those of the workspace that it uses in any way.
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
    // Crates of the workspace are the ones that have a path.
    let own = dependencies
        .iter()
        .filter(|dependency| dependency["path"].is_string());
    own.map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("names are text").to_owned()
}
