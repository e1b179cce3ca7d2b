//! What to do next, for somebody who runs the server for the first time.

use crate::config::{Config, LogFormat};

/// Only for people, and only where the server is one to try.
pub(crate) fn print(config: &Config) {
    let url = config.public_base_url();
    tracing::info!(server_name = %config.server_name, url, "serving");
    if config.server_name != "localhost" || config.log.format != LogFormat::Text {
        return;
    }
    println!(
        "\nAqueduct serves {name} at {url}\n\
         \n\
         - Point a Matrix client at {url} (its \"homeserver\") and register: a name and a password do.\n\
         - Or make an account here:   aqueduct user create alice\n\
         - The data is in {data}. A copy of it while the server runs:   aqueduct backup FOLDER\n\
         - Settings: conduit.toml and README.md. Ctrl-C stops the server.\n",
        name = config.server_name,
        data = config.database.path.display(),
    );
}
