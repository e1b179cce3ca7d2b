//! Every library that the workspace names is explained in `docs/dependencies.md`.

use std::path::Path;

use toml::Table;

#[test]
fn every_dependency_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("the file exists");
    let manifest: Table = read("Cargo.toml").parse().expect("the manifest is TOML");
    let dependencies = manifest["workspace"]["dependencies"]
        .as_table()
        .expect("the workspace has dependencies");
    let page = read("docs/dependencies.md");
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|names| names.split(", "))
        .collect();

    let is_library = |dependency: &toml::Value| dependency.get("path").is_none();
    let missing: Vec<&String> = dependencies
        .iter()
        .filter(|(name, dependency)| is_library(dependency) && !rows.contains(&name.as_str()))
        .map(|(name, _)| name)
        .collect();

    assert!(missing.is_empty(), "docs/dependencies.md lacks {missing:?}");
}
