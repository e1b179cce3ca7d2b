//! The rooms crate on the memory engine, with a clock and randomness of the test's own.

mod around;
mod create;
mod graph;
mod membership;
mod pages;
mod reading;
mod redaction;
mod relations;
mod relations_model;
mod send;
mod state_nodes;
mod transactions;
mod user_directory;
mod visibility;
