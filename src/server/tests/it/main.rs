//! The server as a whole: dependencies between and below its crates, and the binary's commands.

mod commands;
mod defects;
mod dependencies;
mod sizes;
mod tls;
mod walls;
