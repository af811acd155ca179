// SPDX-License-Identifier: Apache-2.0
//! Hot. How fast the bodies of a request and of its response pass.
//!
//! The edge delays portions (`flow/throttle`): what the gateway slows down itself is no fault of the peer, because a
//! peer is only judged while it is waited for.

use crate::policy::decision::Decision;
use crate::policy::kind::{Call, Kind};
use crate::policy::limiting::Exempt;
use crate::policy::phase::Phase;
use crate::policy::throttle::Bandwidth;
use crate::wire::template::Lookup;

/// How fast bodies pass.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rates.
    pub bandwidth: Bandwidth,
    /// Who is not slowed down.
    pub exempt: Exempt,
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        // Once it is known who calls.
        Phase::Admit
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        if !self.exempt.has(call.facts) {
            call.effects.bandwidth = call.effects.bandwidth.slower(self.bandwidth);
        }
        Decision::Pass
    }

    fn protects(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NetworkSet;
    use crate::policy::facts::Effects;
    use crate::policy::fixture::{Fixture, decide};
    use crate::policy::throttle::Throttle;

    #[test]
    fn who_is_not_exempt_is_slowed_down() {
        let download = Throttle { bytes_a_second: 1_000, after: 5 };
        let bandwidth = Bandwidth { download, ..Bandwidth::default() };
        let networks = NetworkSet::new(&["198.51.100.0/24".parse().unwrap()]);
        let plan = Plan { bandwidth, exempt: Exempt { networks, ..Exempt::default() } };
        let mut fixture = Fixture::get("/");
        for (client, expected) in [("192.0.2.1", bandwidth), ("198.51.100.1", Bandwidth::default())] {
            fixture.client = client.parse().unwrap();
            let mut effects = Effects::default();
            assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
            assert_eq!(effects.bandwidth, expected, "{client}");
        }
    }
}
