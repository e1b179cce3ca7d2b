//! Saves the rules of the host's firewall before a Docker daemon is started, and restores them. A
//! stopped daemon leaves its rules behind, one of which drops all forwarded packets, and its bridge
//! `docker0`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tokio::process::Command;

use crate::docker::output_of;

/// The tables that Docker writes to, each with its chains.
const TABLES: [(&str, &[&str]); 2] = [
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
    ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
];

/// The input of `iptables-restore` that restores the rules.
pub(crate) struct Firewall(String);

impl Firewall {
    /// `None` if another daemon has run before, whose rules must stay, or if there is no iptables.
    pub(crate) async fn before_docker() -> Option<Self> {
        if Path::new("/sys/class/net/docker0").exists() {
            return None;
        }
        let rules = output_of(Command::new("iptables-save")).await.ok()?;
        Some(Self(with_all_tables(rules)))
    }

    /// Best effort: a failure cannot be handled. A temporary file is written to `folder`.
    pub(crate) async fn restore(&self, folder: &Path) {
        let mut remove_bridge = Command::new("ip");
        remove_bridge.args(["link", "delete", "docker0"]);
        drop(output_of(remove_bridge).await);
        let file = folder.join("firewall");
        if fs::write(&file, &self.0).is_ok() {
            let mut restore = Command::new("iptables-restore");
            restore.arg(file);
            drop(output_of(restore).await);
        }
    }
}

/// An unused table is missing in the list, and `iptables-restore` does not clear missing tables.
fn with_all_tables(mut rules: String) -> String {
    rules.push('\n');
    for (table, chains) in TABLES {
        if rules
            .lines()
            .any(|line| line.strip_prefix('*') == Some(table))
        {
            continue;
        }
        writeln!(rules, "*{table}").expect("a String takes any text");
        for chain in chains {
            writeln!(rules, ":{chain} ACCEPT [0:0]").expect("a String takes any text");
        }
        rules.push_str("COMMIT\n");
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_not_there_is_emptied() {
        let before = "*filter\n:INPUT DROP [0:0]\nCOMMIT".to_owned();

        let rules = with_all_tables(before);

        assert_eq!(rules.matches("*filter").count(), 1);
        assert!(
            rules.contains("*nat\n:PREROUTING ACCEPT [0:0]\n"),
            "{rules}"
        );
    }
}
