// SPDX-License-Identifier: Apache-2.0
//! Hot. Source networks: denied ones, and a list of allowed ones that excludes all others.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::template::Lookup;

/// Allowed and denied networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Refused, whatever `allow` says.
    pub deny: NetworkSet,
    /// Where not empty, everybody else is refused.
    pub allow: NetworkSet,
    /// What a refused client reads as `detail`; may be empty.
    pub detail: Box<str>,
}

/// A set of addresses: merged ranges, found by binary search, so a list of 100 000 networks costs 17 comparisons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSet {
    /// First and last of each range, in order, apart from each other; IPv4 as IPv4-mapped IPv6.
    ranges: Box<[(u128, u128)]>,
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Screen
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        if self.admits(call.facts.client) {
            return Decision::Pass;
        }
        let problem = Problem { kind: "", title: "Forbidden", detail: &self.detail, violated_policy: "" };
        Decision::Respond(LocalResponse { status: 403, reason: "network_denied", body: LocalBody::Problem(problem) })
    }
}

impl Plan {
    /// May this address come in?
    pub fn admits(&self, address: IpAddr) -> bool {
        !self.deny.contains(address) && (self.allow.is_empty() || self.allow.contains(address))
    }
}

impl NetworkSet {
    /// The union of `networks`.
    pub fn new(networks: &[IpNet]) -> NetworkSet {
        let mut ranges: Vec<(u128, u128)> =
            networks.iter().map(|network| (number(network.network()), number(network.broadcast()))).collect();
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
    use crate::policy::facts::Effects;
    use crate::policy::fixture::{Fixture, decide};

    fn set(networks: &[&str]) -> NetworkSet {
        NetworkSet::new(&networks.iter().map(|network| network.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn denied_wins_and_a_list_of_allowed_is_complete() {
        let plan =
            Plan { deny: set(&["10.1.0.0/16"]), allow: set(&["10.0.0.0/8", "2001:db8::/32"]), ..Plan::default() };
        let admits = |address: &str| plan.admits(address.parse().unwrap());
        assert!(admits("10.2.3.4") && admits("2001:db8::1") && admits("::ffff:10.2.3.4"));
        assert!(!admits("10.1.3.4") && !admits("::ffff:10.1.3.4") && !admits("11.0.0.1") && !admits("2001:db9::1"));
        assert!(Plan::default().admits("1.2.3.4".parse().unwrap()));
        let mut fixture = Fixture::get("/");
        fixture.client = "10.1.0.1".parse().unwrap();
        assert!(matches!(
            decide(&plan, &fixture.facts(), &mut Effects::default()),
            Decision::Respond(LocalResponse { status: 403, .. })
        ));
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
