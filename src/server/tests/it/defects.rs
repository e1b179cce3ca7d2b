//! The mistakes that tests plant in the writer of rooms are in no binary.

use std::{path::Path, process::Command};

use serde_json::Value;

#[test]
fn only_the_test_fixture_of_rooms_enables_planted_defects() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let mut enabling = Vec::new();
    let mut using = Vec::new();
    for package in metadata["packages"].as_array().expect("there are packages") {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("a list") {
            let features = dependency["features"].as_array().expect("a list");
            if features.iter().any(|feature| feature == "defects") {
                enabling.push(name.to_owned());
            }
            // `null` is a dependency that is built into the crate.
            if dependency["name"] == "rooms-testing" && dependency["kind"].is_null() {
                using.push(name.to_owned());
            }
        }
    }
    assert_eq!(enabling, ["rooms-testing"]);
    assert!(using.is_empty(), "{using:?} would have it in their code");
}
