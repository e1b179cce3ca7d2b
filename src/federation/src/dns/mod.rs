//! Name resolution: addresses, and the SRV records by which a server name may lead to other hosts
//! (server-server API, "Resolving server names").

mod lookup;
mod system;

use std::net::IpAddr;

use database::engine::BoxFuture;

pub(crate) use self::lookup::{DEFAULT_PORT, addresses, services};
pub use self::system::SystemDns;

/// Looks records up; answers are cached for as long as they say.
pub trait Dns: Send + Sync {
    /// A and AAAA records, through CNAME records.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>>;

    /// SRV records of a name such as `_matrix-fed._tcp.example.org`.
    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, DnsError>>;
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    /// Without a trailing dot; empty where the record says that there is no such service.
    pub target: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    #[error("the name does not exist")]
    NotFound,
    #[error("the name cannot be resolved: {0}")]
    Failed(String),
}
