//! How events relate, as one reader sees it (client-server API, "Forming relationships between events", "Threading"): bundled
//! aggregations, the children of an event, a room's threads. All of it is read from the index that the writer keeps.

mod bundle;
mod ignored;
mod list;
mod threads;

pub(crate) use self::{
    bundle::{Bundle, ThreadBundle},
    ignored::Ignored,
};
pub use self::{
    list::{RelationsPage, RelationsRequest},
    threads::{ThreadsPage, ThreadsRequest},
};
