//! From a name to the addresses that are tried, in order.

use std::net::SocketAddr;

use database::Random;

use super::{Dns, DnsError, Service};

/// Where a server listens that nothing says more of.
pub(crate) const DEFAULT_PORT: u16 = 8448;
/// Targets of SRV records that are tried.
const MOST_TARGETS: usize = 4;
/// Addresses that are tried, of all targets together.
const MOST_ADDRESSES: usize = 16;
/// The registered name of the service, then the deprecated one.
const SERVICES: [&str; 2] = ["_matrix-fed._tcp", "_matrix._tcp"];

/// The addresses of a host.
pub(crate) async fn addresses(
    dns: &dyn Dns,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, DnsError> {
    let found = dns.addresses(host).await?;
    let found = found
        .into_iter()
        .map(|address| SocketAddr::new(address, port));
    Ok(found.take(MOST_ADDRESSES).collect())
}

/// The addresses of the hosts that SRV records name, else of the host itself at the default port. A
/// look-up that fails counts as no record: some name servers refuse SRV, and the certificate of the
/// host is checked whatever the address.
pub(crate) async fn services(
    dns: &dyn Dns,
    random: &dyn Random,
    host: &str,
) -> Result<Vec<SocketAddr>, DnsError> {
    for service in SERVICES {
        match dns.services(&format!("{service}.{host}")).await {
            Ok(records) if !records.is_empty() => {
                return targets(dns, ordered(records, random)).await;
            }
            Ok(_) | Err(DnsError::NotFound) => {}
            Err(DnsError::Failed(error)) => {
                tracing::debug!(host, service, error, "cannot look up SRV records");
            }
        }
    }
    addresses(dns, host, DEFAULT_PORT).await
}

/// Fails only if no target has an address.
async fn targets(dns: &dyn Dns, records: Vec<Service>) -> Result<Vec<SocketAddr>, DnsError> {
    let mut found = Vec::new();
    let mut failure = DnsError::NotFound;
    for record in records.into_iter().take(MOST_TARGETS) {
        if record.target.is_empty() {
            continue;
        }
        match addresses(dns, &record.target, record.port).await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => failure = error,
        }
    }
    found.truncate(MOST_ADDRESSES);
    if found.is_empty() {
        Err(failure)
    } else {
        Ok(found)
    }
}

/// By priority; among equal ones at random, by weight (RFC 2782).
fn ordered(mut records: Vec<Service>, random: &dyn Random) -> Vec<Service> {
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len().min(MOST_TARGETS));
    while !records.is_empty() && ordered.len() < MOST_TARGETS {
        let priority = records[0].priority;
        let equal = records
            .iter()
            .take_while(|record| record.priority == priority);
        let total: u64 = equal.map(|record| u64::from(record.weight)).sum();
        let mut drawn = random.u64() % (total + 1);
        let place = records.iter().position(|record| {
            let weight = u64::from(record.weight);
            let is_drawn = drawn <= weight;
            drawn = drawn.saturating_sub(weight);
            is_drawn
        });
        ordered.push(records.remove(place.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, net::IpAddr};

    use database::{SeededRandom, engine::BoxFuture};
    use futures_util::FutureExt as _;

    use super::*;

    #[derive(Default)]
    struct Zone {
        addresses: HashMap<&'static str, Vec<IpAddr>>,
        services: HashMap<&'static str, Result<Vec<Service>, DnsError>>,
    }

    impl Dns for Zone {
        fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>> {
            let found = self.addresses.get(host).cloned().ok_or(DnsError::NotFound);
            Box::pin(async move { found })
        }

        fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, DnsError>> {
            let found = self
                .services
                .get(name)
                .cloned()
                .unwrap_or(Err(DnsError::NotFound));
            Box::pin(async move { found })
        }
    }

    fn service(priority: u16, weight: u16, port: u16, target: &str) -> Service {
        Service {
            priority,
            weight,
            port,
            target: target.to_owned(),
        }
    }

    fn zone(services: &[(&'static str, Vec<Service>)]) -> Zone {
        let address = |last: u8| vec![IpAddr::from([1, 1, 1, last])];
        Zone {
            addresses: HashMap::from([
                ("a.example", address(1)),
                ("b.example", address(2)),
                ("c.example", address(3)),
            ]),
            services: services
                .iter()
                .map(|(name, found)| (*name, Ok(found.clone())))
                .collect(),
        }
    }

    fn found(zone: &Zone) -> Result<Vec<String>, DnsError> {
        let random = SeededRandom::new(1);
        let found = services(zone, &random, "a.example")
            .now_or_never()
            .expect("nothing waits");
        found.map(|found| found.iter().map(ToString::to_string).collect())
    }

    const NEW: &str = "_matrix-fed._tcp.a.example";
    const OLD: &str = "_matrix._tcp.a.example";

    #[test]
    fn the_registered_service_counts_before_the_deprecated_one() {
        let new = vec![service(0, 0, 443, "b.example")];
        let old = vec![service(0, 0, 444, "c.example")];
        let both = zone(&[(NEW, new), (OLD, old.clone())]);
        assert_eq!(found(&both), Ok(vec!["1.1.1.2:443".to_owned()]));
        assert_eq!(
            found(&zone(&[(OLD, old.clone())])),
            Ok(vec!["1.1.1.3:444".to_owned()])
        );
        assert_eq!(found(&zone(&[])), Ok(vec!["1.1.1.1:8448".to_owned()]));

        let mut refused = zone(&[(OLD, old)]);
        refused
            .services
            .insert(NEW, Err(DnsError::Failed("refused".to_owned())));
        assert_eq!(found(&refused), Ok(vec!["1.1.1.3:444".to_owned()]));
    }

    #[test]
    fn targets_are_tried_by_priority() {
        let records = vec![
            service(20, 0, 2, "c.example"),
            service(10, 5, 1, "b.example"),
            service(5, 1, 3, "missing.example"),
        ];
        let expected = ["1.1.1.2:1", "1.1.1.3:2"].map(str::to_owned).to_vec();
        assert_eq!(found(&zone(&[(NEW, records)])), Ok(expected));
    }

    #[test]
    fn a_service_that_does_not_exist_is_not_looked_for_elsewhere() {
        let none = zone(&[(NEW, vec![service(0, 0, 0, "")])]);
        assert_eq!(found(&none), Err(DnsError::NotFound));
    }

    #[test]
    fn weights_are_chances() {
        let records = [
            service(0, 90, 1, "b.example"),
            service(0, 10, 2, "c.example"),
        ];
        let random = SeededRandom::new(7);
        let mut heavy_first = 0;
        for _ in 0..1000 {
            let ordered = ordered(records.to_vec(), &random);
            assert_eq!(ordered.len(), 2);
            heavy_first += u32::from(ordered[0].weight == 90);
        }
        assert!((850..950).contains(&heavy_first), "{heavy_first}");
    }
}
