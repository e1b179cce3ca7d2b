//! Endpoints, through the router: the whole house on the engine in memory, with a clock that tests move.

mod account;
mod account_data;
mod calls;
mod cpu;
mod database_page;
mod device_ends;
mod devices;
mod discovery;
mod edge;
mod key_backup;
mod limits;
mod media;
mod membership;
mod person;
mod presence;
mod profile;
mod push_rules;
mod rooms;
mod server;
mod session;
mod spec;
mod unread;
mod user_directory;
