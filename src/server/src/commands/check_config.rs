//! `aqueduct check-config`: prints a summary of a valid configuration, or every setting with its
//! origin. Mistakes are reported when the configuration is loaded, before this runs.

use std::path::Path;

use crate::config::{Config, Setting};

/// Prints `settings` where they are given, else the summary.
pub(super) fn run(config: &Config, file: Option<&Path>, settings: Option<&[Setting]>) {
    match file {
        Some(file) => println!("{} is valid.", file.display()),
        None => println!("No conduit.toml was found; the defaults apply."),
    }
    match settings {
        Some(settings) => print_origins(settings),
        None => print_summary(config),
    }
}

fn print_summary(config: &Config) {
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

fn print_origins(settings: &[Setting]) {
    let width = |length: fn(&Setting) -> usize| settings.iter().map(length).max().unwrap_or(0);
    let names = width(|setting| setting.name.len());
    let values = width(|setting| setting.value.to_string().len());
    for setting in settings {
        println!(
            "{:names$}  {:values$}  {}",
            setting.name, setting.value, setting.origin
        );
    }
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}
