//! How many connections there may be, in all and from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{ClientAddress, TrustedProxies, address::unmapped};

/// Bounds on all connections of a server, over all of its listeners.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// At once. Others wait in the kernel's queue.
    pub total: usize,
    /// From one IPv4 address or one IPv6 /64. Others are closed at once. Does not apply to loopback
    /// and to trusted proxies, which carry the connections of many clients.
    pub per_address: usize,
    pub trusted_proxies: TrustedProxies,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// To send the head of a request; also how long a connection may idle between requests.
    pub head: Duration,
    /// To read 16 KiB of a response.
    pub stall: Duration,
}

/// Counts connections. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    permits: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    pub(crate) timeouts: ConnectionTimeouts,
}

struct Addresses {
    most: usize,
    trusted_proxies: TrustedProxies,
    /// Addresses without connections have no entry.
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// The right to one connection. Held by the socket, so that an upgraded connection (WebSocket)
/// counts as well.
pub(crate) struct ConnectionPermit {
    _total: OwnedSemaphorePermit,
    _address: Option<AddressPermit>,
}

struct AddressPermit {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Connections {
    pub fn new(limits: ConnectionLimits, timeouts: ConnectionTimeouts) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.total.min(Semaphore::MAX_PERMITS))),
            addresses: Arc::new(Addresses {
                most: limits.per_address,
                trusted_proxies: limits.trusted_proxies,
                open: Mutex::default(),
            }),
            timeouts,
        }
    }

    /// Waits until one more connection may be accepted.
    pub(crate) async fn permit(&self) -> OwnedSemaphorePermit {
        let permits = self.permits.clone();
        permits
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }

    /// `None` if the address has as many connections as it may.
    pub(crate) fn admit(
        &self,
        total: OwnedSemaphorePermit,
        peer: IpAddr,
    ) -> Option<ConnectionPermit> {
        let peer = unmapped(peer);
        let address = if peer.is_loopback() || self.addresses.trusted_proxies.contains(peer) {
            None
        } else {
            let address = ClientAddress(peer).subscriber();
            Some(self.addresses.clone().admit(address)?)
        };
        Some(ConnectionPermit {
            _total: total,
            _address: address,
        })
    }
}

impl Addresses {
    fn admit(self: Arc<Self>, address: IpAddr) -> Option<AddressPermit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&address).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        open.insert(address, count + 1);
        drop(open);
        Some(AddressPermit {
            addresses: self,
            address,
        })
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let open = &self.addresses.open;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(per_address: usize) -> Connections {
        let limits = ConnectionLimits {
            total: 10,
            per_address,
            trusted_proxies: TrustedProxies(vec!["10.0.0.0/8".parse().expect("a network")]),
        };
        let timeouts = ConnectionTimeouts {
            head: Duration::from_mins(1),
            stall: Duration::from_mins(1),
        };
        Connections::new(limits, timeouts)
    }

    async fn connect(connections: &Connections, peer: &str) -> Option<ConnectionPermit> {
        let total = connections.permit().await;
        connections.admit(total, peer.parse().expect("an address"))
    }

    #[tokio::test]
    async fn one_address_has_so_many_connections_and_no_more() {
        let connections = connections(2);
        let first = connect(&connections, "203.0.113.1").await;
        let second = connect(&connections, "::ffff:203.0.113.1").await;
        assert!(first.is_some() && second.is_some());
        assert!(connect(&connections, "203.0.113.1").await.is_none());
        assert!(connect(&connections, "203.0.113.2").await.is_some());
        drop(first);
        assert!(connect(&connections, "203.0.113.1").await.is_some());
    }

    #[tokio::test]
    async fn one_ipv6_network_counts_as_one_address() {
        let connections = connections(1);
        let first = connect(&connections, "2001:db8::1").await;
        assert!(first.is_some());
        assert!(connect(&connections, "2001:db8::2").await.is_none());
    }

    #[tokio::test]
    async fn loopback_and_proxies_are_not_counted() {
        let connections = connections(0);
        for peer in ["127.0.0.1", "::1", "10.1.2.3"] {
            assert!(connect(&connections, peer).await.is_some(), "{peer}");
        }
        assert!(connect(&connections, "203.0.113.1").await.is_none());
        assert_eq!(connections.permits.available_permits(), 10, "none leaks");
        assert!(
            connections
                .addresses
                .open
                .lock()
                .expect("no panic")
                .is_empty()
        );
    }
}
