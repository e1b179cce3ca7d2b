//! Rooms among servers: joining and leaving over federation, receiving transactions, fetching what is
//! missing. The only crate of rooms that sends requests to other servers.
