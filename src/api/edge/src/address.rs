//! The client's address: the peer of the connection, or what a trusted proxy reports.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use http::HeaderMap;
use serde::{Deserialize, Deserializer, de};

/// The client's address. `X-Forwarded-For` counts only as far as configured proxies wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Addresses that share a prefix, written as `10.0.0.0/8` or as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8")]
pub struct NetworkError(String);

/// The proxies in front of this server.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<Network>);

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, unmapped(address)) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let invalid = || NetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| invalid())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.trim().parse().map_err(|_| invalid())?,
            None => longest,
        };
        if prefix > longest {
            return Err(invalid());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl TrustedProxies {
    /// The nearest address that is not one of our proxies, from the peer towards what the header
    /// claims.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let peer = unmapped(peer);
        if !self.contains(peer) {
            return ClientAddress(peer);
        }
        let mut client = peer;
        let mut claims = Vec::new();
        for line in headers.get_all("x-forwarded-for") {
            claims.extend(line.to_str().unwrap_or_default().split(','));
        }
        for claim in claims.into_iter().rev() {
            let Ok(address) = claim.trim().parse::<IpAddr>() else {
                break;
            };
            client = unmapped(address);
            if !self.contains(client) {
                break;
            }
        }
        ClientAddress(client)
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl ClientAddress {
    /// One client, for limits: an IPv4 address, or the /64 network of an IPv6 subscriber.
    pub(crate) fn subscriber(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
                address.to_bits() & !u128::from(u64::MAX),
            )),
        }
    }
}

/// A dual-stack listener shows IPv4 peers as `::ffff:a.b.c.d`.
pub(crate) fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, header: &str) -> String {
        let proxies = ["127.0.0.1", "10.0.0.0/8"].map(|text| text.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", header.parse().expect("a header value"));
        let peer = peer.parse().expect("an address");
        TrustedProxies(proxies.to_vec())
            .client(peer, &headers)
            .0
            .to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        assert_eq!(client("203.0.113.9", "198.51.100.1"), "203.0.113.9");
    }

    #[test]
    fn a_configured_proxy_reports_its_client() {
        assert_eq!(client("127.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(client("::ffff:127.0.0.1", "198.51.100.1"), "198.51.100.1");
    }

    #[test]
    fn addresses_that_the_client_wrote_itself_are_not_believed() {
        assert_eq!(
            client("127.0.0.1", "1.1.1.1, 198.51.100.1, 10.1.2.3"),
            "198.51.100.1"
        );
    }

    #[test]
    fn a_prefix_longer_than_the_address_is_refused() {
        assert!("10.0.0.0/33".parse::<Network>().is_err());
    }
}
