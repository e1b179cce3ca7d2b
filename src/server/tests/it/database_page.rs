//! `docs/database.md` names every table with its key and value, and no other.

use std::{collections::BTreeMap, fs, path::Path};

use database::TableInfo;

#[test]
fn the_page_describes_every_table_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/database.md");
    let page = fs::read_to_string(path).expect("the page is there");
    let described = described(&page);
    let declared: BTreeMap<String, String> = all_tables().iter().map(row).collect();

    for (name, types) in &declared {
        let found = described.get(name).map(String::as_str);
        assert_eq!(found, Some(types.as_str()), "`{name}` in docs/database.md");
    }
    for name in described.keys() {
        assert!(
            declared.contains_key(name),
            "docs/database.md describes `{name}`, which is none"
        );
    }
}

fn all_tables() -> Vec<TableInfo> {
    let crates = [
        database::tables(),
        federation::tables(),
        devices::tables(),
        users::tables(),
        rooms::tables(),
        push::tables(),
    ];
    crates.into_iter().flatten().collect()
}

/// A table's name, and its types as the page writes them.
fn row(table: &TableInfo) -> (String, String) {
    (
        table.name.to_owned(),
        format!("`{}` → `{}`", short(table.key), short(table.value)),
    )
}

/// A type's name without the modules that it is in.
fn short(name: &str) -> String {
    let mut short = String::new();
    for word in name.split_inclusive(|letter: char| !letter.is_alphanumeric() && letter != '_') {
        if !word.ends_with(':') {
            short.push_str(word);
        }
    }
    short
}

/// What the page says: the line of types below each heading.
fn described(page: &str) -> BTreeMap<String, String> {
    let mut tables = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line
            .strip_prefix("### `")
            .and_then(|rest| rest.strip_suffix('`'))
        else {
            continue;
        };
        let types = lines.find(|line| !line.is_empty()).unwrap_or_default();
        tables.insert(name.to_owned(), types.to_owned());
    }
    tables
}
