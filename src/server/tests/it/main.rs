//! The house as a whole: its walls, and the binary's commands.

mod commands;
mod tls;
mod walls;
