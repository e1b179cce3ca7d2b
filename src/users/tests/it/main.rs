//! Tests of accounts on the memory engine.

mod account_data;
mod deactivation;
mod filters;
mod house;
mod interactive;
mod local_notifications;
mod login;
mod openid;
mod passwords;
mod profiles;
mod push_rules;
mod refresh;
mod registration;
mod sessions;
