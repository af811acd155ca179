// SPDX-License-Identifier: Apache-2.0
//! Hot. Source networks: denied ones, and a list of allowed ones that excludes all others.

use std::net::IpAddr;

use crate::base::NetworkSet;
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

#[cfg(test)]
mod tests {
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
}
