//! `aqueduct check-config`: whoever comes here has a valid configuration, and sees what it says.

use std::path::Path;

use crate::config::Config;

pub(super) fn run(config: &Config, file: Option<&Path>) {
    match file {
        Some(file) => println!("{} is valid.", file.display()),
        None => println!("There is no conduit.toml here; the defaults hold."),
    }
    println!("server_name:      {}", config.server_name);
    println!("public_base_url:  {}", config.public_base_url());
    println!("listen:           {}", list(&config.listen));
    println!("tls.listen:       {}", list(&config.tls.listen));
    println!("trusted_proxies:  {}", list(&config.trusted_proxies));
    println!("database.path:    {}", config.database.path.display());
    println!("memory.budget:    {} MiB", config.memory.budget.0 >> 20);
    println!("registration:     {:?}", config.registration());
    println!(
        "rate_limits:      {}",
        if config.rate_limits.enabled {
            "on"
        } else {
            "off"
        }
    );
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}
