// SPDX-License-Identifier: Apache-2.0
//! Shares of endpoints that operators have set at run time, over what the configuration says: drained endpoints, and
//! others with another weight.
//!
//! Pure. One belongs to an upstream's name and an endpoint's address, and stays until it is taken back: over reloads,
//! and while DNS does not name the endpoint. It goes when a plan without the upstream comes into use.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balance::Endpoint;
use crate::base::Address;

/// Most at a time; above it none is added.
const OVERRIDES_MAX: usize = 10_000;

/// What an endpoint gets whatever the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Override {
    /// Nothing new but requests with its sticky cookie.
    Drain,
    /// This share.
    Weight(u16),
}

impl Override {
    fn weight(self) -> u32 {
        match self {
            Override::Drain => 0,
            Override::Weight(weight) => u32::from(weight),
        }
    }
}

/// Why a share is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverrideFault {
    /// There is no such upstream.
    NoUpstream,
    /// The upstream has no such endpoint.
    NoEndpoint,
    /// There are too many.
    Full,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    by_upstream: BTreeMap<Arc<str>, BTreeMap<Address, Override>>,
}

impl Overrides {
    /// Sets the share of an endpoint, or takes it back. Says whether that changed something.
    pub(super) fn set(
        &mut self,
        upstream: &Arc<str>,
        endpoint: &Address,
        to: Option<Override>,
    ) -> Result<bool, OverrideFault> {
        let Some(to) = to else {
            let Some(endpoints) = self.by_upstream.get_mut(upstream) else { return Ok(false) };
            let taken = endpoints.remove(endpoint).is_some();
            if endpoints.is_empty() {
                self.by_upstream.remove(upstream);
            }
            return Ok(taken);
        };
        let count: usize = self.by_upstream.values().map(BTreeMap::len).sum();
        if self.of(upstream, endpoint).is_none() && count >= OVERRIDES_MAX {
            return Err(OverrideFault::Full);
        }
        let endpoints = self.by_upstream.entry(Arc::clone(upstream)).or_default();
        Ok(endpoints.insert(endpoint.clone(), to) != Some(to))
    }

    /// That of an endpoint.
    pub(super) fn of(&self, upstream: &str, endpoint: &Address) -> Option<Override> {
        self.by_upstream.get(upstream)?.get(endpoint).copied()
    }

    /// Does an upstream have any?
    pub(super) fn has(&self, upstream: &str) -> bool {
        self.by_upstream.contains_key(upstream)
    }

    /// Gives endpoints of an upstream their shares.
    pub(super) fn apply(&self, upstream: &str, endpoints: &mut [Endpoint]) {
        let Some(overrides) = self.by_upstream.get(upstream) else { return };
        for endpoint in endpoints {
            if let Some(share) = overrides.get(&endpoint.address) {
                endpoint.weight = share.weight();
            }
        }
    }

    /// Forgets those of other upstreams.
    pub(super) fn keep(&mut self, is_known: impl Fn(&str) -> bool) {
        self.by_upstream.retain(|upstream, _| is_known(upstream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        let address = Address::Inet(([10, 0, 0, 1], port).into());
        Endpoint { address, name: "one".into(), weight: 5, backup: false }
    }

    #[test]
    fn a_share_holds_until_it_is_taken_back() {
        let (mut overrides, pool): (_, Arc<str>) = (Overrides::default(), "pool".into());
        let mut endpoints = [endpoint(1), endpoint(2), endpoint(3)];
        let [one, two, _] = endpoints.clone();
        assert_eq!(overrides.set(&pool, &one.address, Some(Override::Drain)), Ok(true));
        assert_eq!(overrides.set(&pool, &one.address, Some(Override::Drain)), Ok(false));
        assert_eq!(overrides.set(&pool, &two.address, Some(Override::Weight(9))), Ok(true));
        overrides.apply("pool", &mut endpoints);
        assert_eq!(endpoints.each_ref().map(|endpoint| endpoint.weight), [0, 9, 5]);
        overrides.apply("other", &mut endpoints);
        assert_eq!(overrides.set(&pool, &one.address, None), Ok(true));
        assert_eq!(overrides.set(&pool, &one.address, None), Ok(false));
        assert_eq!(overrides.of("pool", &one.address), None);
        assert!(overrides.has("pool"));
        overrides.keep(|upstream| upstream != "pool");
        assert!(!overrides.has("pool"));
    }

    #[test]
    fn there_are_not_too_many() {
        let (mut overrides, pool): (_, Arc<str>) = (Overrides::default(), "pool".into());
        for port in 0..OVERRIDES_MAX as u16 {
            assert_eq!(overrides.set(&pool, &endpoint(port).address, Some(Override::Drain)), Ok(true));
        }
        let next = endpoint(OVERRIDES_MAX as u16).address;
        assert_eq!(overrides.set(&pool, &next, Some(Override::Drain)), Err(OverrideFault::Full));
        assert_eq!(overrides.set(&pool, &endpoint(0).address, Some(Override::Weight(1))), Ok(true));
    }
}
