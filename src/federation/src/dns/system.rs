//! The resolver of a running server: hickory, with the name servers and the hosts file of the system.

use std::{net::IpAddr, time::Duration};

use database::engine::BoxFuture;
use hickory_resolver::{
    TokioResolver,
    config::LookupIpStrategy,
    net::NetError,
    proto::rr::{RData, RecordType},
};

use super::{Dns, DnsError, Service};

/// Records that are cached.
const CACHED: u64 = 16_384;
/// However long a record says that it holds.
const LONGEST: Duration = Duration::from_hours(24);
/// However short: a name that is asked for again at once costs nothing.
const SHORTEST: Duration = Duration::from_secs(5);
/// How long a name is known not to exist.
const LONGEST_ABSENCE: Duration = Duration::from_mins(10);

/// Cheap to clone.
#[derive(Clone)]
pub struct SystemDns {
    /// The error where the system's settings cannot be read: then nothing can be resolved.
    resolver: Result<TokioResolver, DnsError>,
}

impl SystemDns {
    /// Reads the system's settings. A server without name servers runs, but federates only by address.
    pub fn new() -> Self {
        let resolver = build().map_err(|error| {
            tracing::warn!(%error, "cannot read the system's name servers: no name can be resolved");
            DnsError::Failed(error.to_string())
        });
        Self { resolver }
    }

    fn resolver(&self) -> Result<&TokioResolver, DnsError> {
        self.resolver.as_ref().map_err(Clone::clone)
    }
}

impl Default for SystemDns {
    fn default() -> Self {
        Self::new()
    }
}

fn build() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.cache_size = CACHED;
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.positive_max_ttl = Some(LONGEST);
    options.positive_min_ttl = Some(SHORTEST);
    options.negative_max_ttl = Some(LONGEST_ABSENCE);
    builder.build()
}

impl Dns for SystemDns {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>> {
        Box::pin(async move {
            let found = self.resolver()?.lookup_ip(absolute(host)).await;
            Ok(found.map_err(|error| failure(&error))?.iter().collect())
        })
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, DnsError>> {
        Box::pin(async move {
            let found = self
                .resolver()?
                .lookup(absolute(name), RecordType::SRV)
                .await;
            let found = found.map_err(|error| failure(&error))?;
            let records = found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::SRV(record) => Some(Service {
                        priority: record.priority,
                        weight: record.weight,
                        port: record.port,
                        target: record.target.to_ascii().trim_end_matches('.').to_owned(),
                    }),
                    _ => None,
                });
            Ok(records.collect())
        })
    }
}

/// With the dot that keeps the system's search domains out: a server name is never a local one.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn failure(error: &NetError) -> DnsError {
    if error.is_no_records_found() || error.is_nx_domain() {
        DnsError::NotFound
    } else {
        DnsError::Failed(error.to_string())
    }
}
