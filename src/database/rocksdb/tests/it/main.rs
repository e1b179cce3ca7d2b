//! The engine on a real disk: the shared suite, and what only a disk can show.

mod backup;
mod check;
mod damage;
mod durability;
mod fixture;
mod identity;
mod kill;
mod limits;
mod migrations;
mod suite;
