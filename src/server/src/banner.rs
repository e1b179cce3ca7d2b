//! The greeting on a terminal: where the server is, and what to do next.

use std::io::{self, IsTerminal as _};

use crate::config::{Config, LogFormat};

/// Logs that the server is up, and greets a person who started it on a terminal.
pub(crate) fn print(config: &Config) {
    let url = config.public_base_url();
    tracing::info!(server_name = %config.server_name, url, "ready");
    if config.log.format == LogFormat::Text && io::stdout().is_terminal() {
        println!("{}", text(config, &url));
    }
}

fn text(config: &Config, url: &str) -> String {
    let register = if config.registration_is_open() {
        "and register an account"
    } else {
        "and log in"
    };
    let data = config.database.path.display();
    format!(
        "\n\
         \x20 Aqueduct {version} serves {name}\n\
         \n\
         \x20   Connect     Point a Matrix client at {url} {register}.\n\
         \x20   Accounts    aqueduct user create alice\n\
         \x20   Data        {data}; to back it up: aqueduct backup FOLDER\n\
         \x20   Settings    aqueduct check-config --origins\n\
         \x20   Stop        Ctrl-C\n",
        version = env!("CARGO_PKG_VERSION"),
        name = config.server_name,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_open_registration_invites_to_register() {
        let local = Config::default();
        let greeting = text(&local, "http://localhost:8008");
        assert!(
            greeting.contains("http://localhost:8008 and register"),
            "{greeting}"
        );
    }
}
