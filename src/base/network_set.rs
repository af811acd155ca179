// SPDX-License-Identifier: Apache-2.0
//! Hot. A set of IP addresses, made of networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// A set of addresses: merged ranges, found by binary search, so a list of 100 000 networks costs 17 comparisons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSet {
    /// First and last of each range, in order, apart from each other; IPv4 as IPv4-mapped IPv6.
    ranges: Box<[(u128, u128)]>,
}

impl NetworkSet {
    /// The union of `networks`.
    pub fn new(networks: &[IpNet]) -> NetworkSet {
        NetworkSet::merged(
            networks.iter().map(|network| (number(network.network()), number(network.broadcast()))).collect(),
        )
    }

    fn merged(mut ranges: Vec<(u128, u128)>) -> NetworkSet {
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                Some(_) | None => merged.push((first, last)),
            }
        }
        NetworkSet { ranges: merged.into() }
    }

    /// What is in one of the two.
    pub fn union(&self, other: &NetworkSet) -> NetworkSet {
        NetworkSet::merged(self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// Is the address in it?
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = number(address);
        let after = self.ranges.partition_point(|(first, _)| *first <= address);
        after > 0 && address <= self.ranges[after - 1].1
    }

    /// True where no network was given.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// IPv4 and IPv4-mapped IPv6 are the same client.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    fn set(networks: &[&str]) -> NetworkSet {
        NetworkSet::new(&networks.iter().map(|network| network.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn the_whole_space_is_a_network() {
        assert!(set(&["::/0"]).contains("255.255.255.255".parse().unwrap()));
        let all = set(&["0.0.0.0/0"]);
        assert!(all.contains("255.255.255.255".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        assert_eq!(set(&["10.0.0.0/9", "10.128.0.0/9", "10.3.0.0/16"]).ranges.len(), 1);
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan(
            networks in prop::collection::vec((any::<u32>(), 0_u8..=32), 0..20),
            probes in prop::collection::vec(any::<u32>(), 20),
        ) {
            let network = |(address, prefix): (u32, u8)| IpNet::new(IpAddr::V4(address.into()), prefix).unwrap();
            let networks: Vec<IpNet> = networks.into_iter().map(network).collect();
            let set = NetworkSet::new(&networks);
            let edges = networks.iter().flat_map(|network| [network.network(), network.broadcast()]);
            for address in probes.into_iter().map(|probe| IpAddr::V4(probe.into())).chain(edges) {
                prop_assert_eq!(set.contains(address), networks.iter().any(|network| network.contains(&address)));
            }
        }
    }
}
