// SPDX-License-Identifier: Apache-2.0
//! Hot. How fast the bodies of a request and of its response pass: each for itself, or those of a key together.
//!
//! The edge delays portions (`flow/throttle`, `forward/slowed`): what the gateway slows down itself is no fault of the
//! peer, because a peer is only judged while it is waited for. A rate that a key shares is a limit (`limit`) on units
//! of bytes, exact over all shards.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::gcra::Rate;
use crate::policy::limit::{LimitId, LimitTerms, Part, Parts, Shards, Terms};
use crate::policy::limit_key::{CountedBy, Key, seeded};
use crate::policy::limiting::{Exempt, Scope};
use crate::policy::phase::Phase;
use crate::policy::throttle::{Bandwidth, Direction, KeyedRate, Throttle};
use crate::wire::template::Lookup;

/// How fast bodies pass.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rates. Of a key, `after` is what may pass at once.
    pub bandwidth: Bandwidth,
    /// Where the bodies of a key share the rates.
    pub shared: Option<Box<Shared>>,
    /// Who is not slowed down.
    pub exempt: Exempt,
}

/// The bodies of a key share a rate.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The policy's name; identifies the rates over reloads.
    pub name: Arc<str>,
    /// What shares them.
    pub key: Key,
    /// Whether routes that share the policy share the rates.
    pub scope: Scope,
    /// The same rates, in units of bytes; at least one.
    pub rates: Box<[(Direction, Rate)]>,
    /// Keys that all shards together remember, for each direction.
    pub keys_max: usize,
    /// The seed of the hash of keys.
    pub hash_seed: u64,
}

impl Kind for Plan {
    type State = Option<Box<Parts>>;
    type Memo = ();

    fn phase(&self) -> Phase {
        // Once it is known who calls.
        Phase::Admit
    }

    fn decide<L: Lookup>(&self, _: &mut Option<Box<Parts>>, call: Call<'_, L, ()>) -> Decision<'_> {
        if self.exempt.has(call.facts) {
            return Decision::Pass;
        }
        let Some(shared) = &self.shared else {
            call.effects.bandwidth = call.effects.bandwidth.slower(self.bandwidth);
            return Decision::Pass;
        };
        let mut hasher = seeded(shared.hash_seed);
        if shared.scope == Scope::PerRoute {
            call.facts.route_name.hash(&mut hasher);
        }
        match shared.key.find(call.facts, hasher, &mut call.effects.scratch) {
            CountedBy::Key(key) => {
                let first = shared.limit_id();
                let rates = (0..).zip(&shared.rates).map(|(part, (direction, _))| {
                    let limit = first.of_window(u64::from(part));
                    KeyedRate { direction: *direction, limit, part, key, alone: self.alone(*direction) }
                });
                call.effects.keyed_rates.extend(rates);
                Decision::Pass
            }
            CountedBy::Nothing => Decision::Pass,
            CountedBy::Refused => {
                let problem = Problem { kind: "", title: "Forbidden", detail: "", violated_policy: &shared.name };
                let body = LocalBody::Problem(problem);
                Decision::Respond(LocalResponse { status: 403, reason: "bandwidth_no_key", body })
            }
        }
    }

    fn limits(&self) -> impl Iterator<Item = LimitTerms> {
        let terms = |shared: &Shared, (at, rate): (u64, Rate)| LimitTerms { id: shared.limit_id().of_window(at), rate };
        self.shared.iter().flat_map(move |shared| {
            (0..).zip(shared.rates.iter().map(|(_, rate)| *rate)).map(move |numbered| terms(shared, numbered))
        })
    }

    fn needs_route(&self) -> Option<&'static str> {
        let shared = self.shared.as_ref()?;
        let scope = (shared.scope == Scope::PerRoute).then_some("`per_route`");
        scope.or_else(|| shared.key.needs_route())
    }

    fn needs_consumer(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.key.needs_consumer())
    }

    fn protects(&self) -> bool {
        false
    }
}

impl ShardState<Plan> for Option<Box<Parts>> {
    fn new(plan: &Plan, shards: Shards, generation: u32) -> Option<Box<Parts>> {
        let shared = plan.shared.as_ref()?;
        let part = |LimitTerms { id, rate }| {
            let terms = Terms { version: generation.into(), rate };
            Part::new(id, terms, shards, shared.keys_max)
        };
        // tidy(hot): once for a shard and a plan; most policies keep nothing, so what they share is small.
        Some(Box::new(Parts::new(plan.limits().map(part)).of_bytes()))
    }

    fn parts(&mut self) -> Option<&mut Parts> {
        self.as_deref_mut()
    }
}

impl Plan {
    fn alone(&self, direction: Direction) -> Throttle {
        match direction {
            Direction::Download => self.bandwidth.download,
            Direction::Upload => self.bandwidth.upload,
        }
    }
}

impl Shared {
    /// Equal where a new plan counts the same things in the same directions under the same name, at whatever rate.
    fn limit_id(&self) -> LimitId {
        let mut hasher = seeded(self.hash_seed);
        ("bandwidth", &*self.name, &*self.key.written, self.key.absent, self.scope).hash(&mut hasher);
        self.rates.iter().for_each(|(direction, _)| direction.hash(&mut hasher));
        LimitId(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{NetworkSet, Tick};
    use crate::policy::facts::{Effects, Facts};
    use crate::policy::fixture::Fixture;
    use crate::policy::limit::ShardId;
    use crate::policy::limit_key::{Absent, KeyPart};

    fn decide<'p>(plan: &'p Plan, facts: &Facts<'_, impl Lookup>, effects: &mut Effects) -> Decision<'p> {
        plan.decide(&mut None, Call { facts, effects, memo: &mut (), now: Tick::ZERO })
    }

    #[test]
    fn who_is_not_exempt_is_slowed_down() {
        let download = Throttle { bytes_a_second: 1_000, after: 5 };
        let bandwidth = Bandwidth { download, ..Bandwidth::default() };
        let networks = NetworkSet::new(&["198.51.100.0/24".parse().unwrap()]);
        let plan = Plan { bandwidth, shared: None, exempt: Exempt { networks, ..Exempt::default() } };
        let mut fixture = Fixture::get("/");
        for (client, expected) in [("192.0.2.1", bandwidth), ("198.51.100.1", Bandwidth::default())] {
            fixture.client = client.parse().unwrap();
            let mut effects = Effects::default();
            assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
            assert_eq!(effects.bandwidth, expected, "{client}");
        }
    }

    fn of_a_header(absent: Absent) -> Plan {
        let throttle = Throttle { bytes_a_second: 16_000, after: 4_096 };
        let rate = Rate::new(1_000, Duration::from_secs(1), 256).unwrap();
        let key = Key { absent, ..Key::of(KeyPart::Header((*b"x-key").into()), "header:x-key") };
        let rates = Box::new([(Direction::Download, rate), (Direction::Upload, rate)]);
        let shared = Shared { name: "slow".into(), key, scope: Scope::Shared, rates, keys_max: 1_000, hash_seed: 7 };
        let bandwidth = Bandwidth { download: throttle, upload: throttle };
        Plan { bandwidth, shared: Some(Box::new(shared)), exempt: Exempt::default() }
    }

    #[test]
    fn requests_of_a_key_share_its_rates_and_no_others_do() {
        let plan = of_a_header(Absent::Refuse);
        let rates = |key: &str| {
            let mut effects = Effects::default();
            let fixture = Fixture::get("/").field("x-key", key);
            assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
            assert_eq!(effects.bandwidth, Bandwidth::default(), "none is slowed down by itself");
            effects.keyed_rates
        };
        let (one, other) = (rates("a"), rates("b"));
        assert_eq!(one, rates("a"));
        assert_eq!((one.len(), one[0].direction, one[1].direction), (2, Direction::Download, Direction::Upload));
        assert_ne!(one[0].key, other[0].key);
        let limits: Vec<LimitId> = plan.limits().map(|terms| terms.id).collect();
        assert_eq!(limits, [one[0].limit, one[1].limit]);
        assert_ne!(limits[0], limits[1]);
    }

    #[test]
    fn who_has_no_key_is_treated_as_it_says() {
        let mut effects = Effects::default();
        let (skips, refuses) = (of_a_header(Absent::Skip), of_a_header(Absent::Refuse));
        assert_eq!(decide(&skips, &Fixture::get("/").facts(), &mut effects), Decision::Pass);
        assert!(effects.keyed_rates.is_empty());
        let fixture = Fixture::get("/");
        let decision = decide(&refuses, &fixture.facts(), &mut effects);
        let Decision::Respond(response) = decision else { panic!("{decision:?}") };
        assert_eq!((response.status, response.reason), (403, "bandwidth_no_key"));
    }

    #[test]
    fn only_rates_that_are_shared_are_limits() {
        let alone = Plan { shared: None, ..of_a_header(Absent::Skip) };
        let shards = Shards { own: ShardId(0), count: 2 };
        assert_eq!(alone.limits().count(), 0);
        assert!(<Option<Box<Parts>> as ShardState<Plan>>::new(&alone, shards, 1).is_none());
        let mut parts = <Option<Box<Parts>> as ShardState<Plan>>::new(&of_a_header(Absent::Skip), shards, 1).unwrap();
        assert_eq!(parts.list().len(), 2);
    }
}
