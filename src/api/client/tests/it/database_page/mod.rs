//! `docs/database.md` names every table with its key and value, and shows rows of each as a small server's life leaves them.

mod example;
pub(crate) mod keys;
pub(crate) mod other_servers;
mod shortened;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use database::TableInfo;

use self::shortened::shortened;

/// A table's name, and what the page shows of it: its types, then example rows.
type Shown = BTreeMap<String, (String, String)>;

/// Tables in which only events of other servers leave rows: the example is one server.
const OF_OTHER_SERVERS: &[&str] = &[
    "auth_waiters",
    "early_redactions",
    "gaps",
    "inbound_counts",
    "inbound_log",
    "inbound_transactions",
    "inbox",
    "inbox_events",
    "inbox_origins",
    "joins",
    "missing_events",
    "outside_members",
    "sender_catch_up",
    "sender_delivery_errors",
    "sender_edus",
    "sender_queue",
    "server_users",
    "waiting_pdus",
];

#[tokio::test]
async fn the_page_shows_every_table_as_it_is() {
    let page = fs::read_to_string(path()).expect("the page is there");
    let (described, real) = (described(&page), real().await);

    for (name, shown) in &real {
        let is_empty = shown.1.is_empty();
        assert_eq!(
            is_empty,
            OF_OTHER_SERVERS.contains(&&**name),
            "the example has no row of `{name}`, or has one at last"
        );
        let found = described.get(name);
        assert_eq!(
            found,
            Some(shown),
            "`{name}` in docs/database.md: `write_the_page` writes its rows anew"
        );
    }
    for name in described.keys() {
        assert!(
            real.contains_key(name),
            "docs/database.md describes `{name}`, which is none"
        );
    }
}

/// Not a test: `cargo test --workspace write_the_page -- --ignored` puts the rows of today into the page.
#[tokio::test]
#[ignore = "it writes docs/database.md"]
async fn write_the_page() {
    let page = fs::read_to_string(path()).expect("the page is there");
    let real = real().await;
    let mut written = String::new();
    let mut table = None;
    let mut is_in_rows = false;
    for line in page.lines() {
        if let Some(name) = heading(line) {
            write_rows(&mut written, table.replace(name), &real);
        } else if line.starts_with("## ") {
            write_rows(&mut written, table.take(), &real);
        }
        if line.starts_with("```") {
            is_in_rows = !is_in_rows;
        } else if !(is_in_rows || line.is_empty() && written.ends_with("\n\n")) {
            let _ = writeln!(written, "{line}");
        }
    }
    write_rows(&mut written, table, &real);
    fs::write(path(), written.trim_end().to_owned() + "\n").expect("the page can be written");
}

fn write_rows(page: &mut String, table: Option<&str>, real: &Shown) {
    let Some((_, rows)) = table.and_then(|name| real.get(name)) else {
        return;
    };
    let space = if page.ends_with("\n\n") { "" } else { "\n" };
    let _ = write!(page, "{space}```text\n{rows}```\n\n");
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../docs/database.md")
}

pub(crate) fn all_tables() -> Vec<TableInfo> {
    let crates = [
        database::tables(),
        federation::tables(),
        devices::tables(),
        users::tables(),
        media::tables(),
        rooms_store::tables(),
        rooms_remote::tables(),
        sender::tables(),
        push::tables(),
        presence::tables(),
    ];
    crates.into_iter().flatten().collect()
}

/// What the tables are, and hold in the example.
async fn real() -> Shown {
    let (house, quiet) = (example::house().await, example::quiet().await);
    // Followers trim the log at any moment; where there are none it stands still.
    let own: Vec<&str> = database::tables().iter().map(|table| table.name).collect();
    let mut shown = Shown::new();
    for table in &all_tables() {
        let mut snapshots = quiet.iter().collect::<Vec<_>>();
        if !own.contains(&table.name) {
            snapshots.insert(0, &house);
        }
        let types = format!("`{}` → `{}`", short(table.key), short(table.value));
        let mut rows = String::new();
        for db in snapshots {
            let found = table.first_rows(db, 2).await.expect("the rows are read");
            if rows.is_empty() {
                for (key, value) in found {
                    let _ = writeln!(rows, "{}\n    {}", shortened(&key), shortened(&value));
                }
            }
        }
        shown.insert(table.name.to_owned(), (types, rows));
    }
    shown
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

fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("### `")?.strip_suffix('`')
}

/// What the page says: the line of types below each heading, and the block of rows.
fn described(page: &str) -> Shown {
    let mut tables = Shown::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(name) = heading(line) else {
            continue;
        };
        let types = lines.find(|line| !line.is_empty()).unwrap_or_default();
        let mut rows = String::new();
        let mut is_in_rows = false;
        while let Some(line) = lines.next_if(|line| !line.starts_with("##") || is_in_rows) {
            if line.starts_with("```") {
                is_in_rows = !is_in_rows;
            } else if is_in_rows {
                let _ = writeln!(rows, "{line}");
            }
        }
        tables.insert(name.to_owned(), (types.to_owned(), rows));
    }
    tables
}
