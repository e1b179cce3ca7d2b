//! Which addresses may be connected to. Names and URLs come from others, so an address that is not
//! public would let them reach what only this machine or its network can (server-side request forgery).
//!
//! IPv6 is denied outside of the global unicast block; inside of it, and in IPv4, the special-purpose
//! registries of IANA are denied. An IPv4 address that is written inside an IPv6 one is checked as IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Beside public addresses, those of the setting `outgoing.allowed_networks`.
#[derive(Clone, Debug, Default)]
pub struct AllowedNetworks(pub Vec<IpNet>);

impl AllowedNetworks {
    pub fn permits(&self, address: IpAddr) -> bool {
        let meant = meant(address);
        is_public(meant) || self.0.iter().any(|network| network.contains(&meant))
    }
}

/// The IPv4 address that IPv4-mapped and NAT64 addresses lead to.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    if let Some(four) = six.to_ipv4_mapped() {
        return IpAddr::V4(four);
    }
    match six.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_public_v4(four),
        IpAddr::V6(six) => is_public_v6(six),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = matches!(
        (a, b, c),
        // This network, private, loopback; from 224 on multicast, reserved, broadcast.
        (0 | 10 | 127 | 224..=255, _, _)
            // Shared (carrier-grade NAT), link-local, private.
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            // Protocol assignments, documentation, relays of 6to4, benchmarks.
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_global_unicast = (0x2000..=0x3fff).contains(&a);
    let is_special = matches!(
        (a, b),
        // Protocol assignments (Teredo, ORCHID, benchmarks), documentation.
        (0x2001, 0..=0x1ff | 0xdb8)
            | (0x3fff, 0..=0xfff)
            // 6to4 leads to any IPv4 address, and nobody runs it any more.
            | (0x2002, _)
    );
    is_global_unicast && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(address: &str, allowed: &[&str]) -> bool {
        let networks = allowed
            .iter()
            .map(|network| network.parse().expect("a network"));
        AllowedNetworks(networks.collect()).permits(address.parse().expect("an address"))
    }

    #[test]
    fn public_addresses_are_permitted() {
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "2001:200::1",
            "2a00::1",
            "64:ff9b::1.1.1.1",
            "::ffff:1.1.1.1",
        ] {
            assert!(permits(address, &[]), "{address}");
        }
    }

    #[test]
    fn every_other_address_is_denied() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:0a00:0001::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permits(address, &[]), "{address}");
        }
    }

    #[test]
    fn the_operator_may_allow_more() {
        assert!(permits("127.0.0.1", &["127.0.0.0/8"]));
        assert!(permits("::ffff:127.0.0.1", &["127.0.0.0/8"]));
        assert!(permits("64:ff9b::10.0.0.1", &["10.0.0.0/8"]));
        assert!(permits("fd00::1", &["fd00::/8"]));
        assert!(!permits("10.0.0.1", &["127.0.0.0/8", "::/0"]));
        assert!(!permits("::1", &["0.0.0.0/0"]));
    }
}
