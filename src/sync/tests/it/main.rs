//! Sync on the memory engine: people who chat, and what their clients are told.

mod counts;
mod device_lists;
mod devices;
mod forks;
mod model;
mod order;
mod presence;
mod sections;
mod waiting;
mod world;
