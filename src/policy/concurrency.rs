// SPDX-License-Identifier: Apache-2.0
//! Hot. Requests of a key that are served at once, exact over all shards (`limit`).
//!
//! A request has its place from this decision until its exchange is over: a streamed response, a gRPC call, a WebSocket
//! and a tunnel count until their end.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Tick;
use crate::base::ascii::push_decimal;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::{Effects, Facts};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::gcra::Rate;
use crate::policy::limit::{LimitId, LimitTerms, Part, Parts, Seat, Shards, Taken, Terms};
use crate::policy::limit_key::{CountedBy, Key, seeded};
use crate::policy::limiting::{Exempt, Mode, OnTrouble, Scope};
use crate::policy::phase::Phase;
use crate::wire::status::reason;
use crate::wire::template::Lookup;

/// A limit on requests that are served at once.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name; identifies it over reloads.
    pub name: Arc<str>,
    /// How many: `Rate::in_flight`.
    pub rate: Rate,
    /// What is counted apart from each other.
    pub key: Key,
    /// Whether routes that share the policy share the counts.
    pub scope: Scope,
    /// Who is not limited.
    pub exempt: Exempt,
    /// The status of a refusal, 429 or 503.
    pub status: u16,
    /// What a refused client reads as `detail`; may be empty.
    pub detail: Box<str>,
    /// What `Retry-After` says in a refusal, in seconds; `None`: nothing.
    pub retry_after: Option<u64>,
    /// Whether it refuses at all.
    pub mode: Mode,
    /// Keys that all shards together remember. One that is in use is never forgotten.
    pub keys_max: usize,
    /// How long a request waits for another shard's word.
    pub wait: Duration,
    /// What happens to a request that cannot be counted.
    pub uncountable: OnTrouble,
    /// The seed of the hash of keys.
    pub hash_seed: u64,
}

impl Kind for Plan {
    type State = Box<Parts>;
    /// The place that the request has.
    type Memo = Option<Seat>;

    fn phase(&self) -> Phase {
        if self.key.is_address() && self.exempt.consumers.is_empty() { Phase::Screen } else { Phase::Admit }
    }

    fn decide<L: Lookup>(&self, parts: &mut Box<Parts>, call: Call<'_, L, Option<Seat>>) -> Decision<'_> {
        if self.exempt.has(call.facts) {
            return Decision::Pass;
        }
        match self.key_of(call.facts, call.effects) {
            CountedBy::Key(key) => {
                let part = &mut parts.list()[0];
                let taken = part.take(key, 1, call.now);
                self.judge(taken, key, part, call)
            }
            CountedBy::Nothing => Decision::Pass,
            CountedBy::Refused if self.mode == Mode::Report => self.report("concurrency_no_key", call.effects),
            CountedBy::Refused => self.respond(403, "concurrency_no_key"),
        }
    }

    fn resume<L: Lookup>(
        &self,
        parts: &mut Box<Parts>,
        call: Call<'_, L, Option<Seat>>,
        outcome: AskOutcome<'_>,
    ) -> Decision<'_> {
        let CountedBy::Key(key) = self.key_of(call.facts, call.effects) else { return Decision::Pass };
        let part = &mut parts.list()[0];
        match outcome {
            AskOutcome::Woken => {
                let taken = part.retake(key, 1, call.now);
                self.judge(taken, key, part, call)
            }
            AskOutcome::Expired | AskOutcome::Failed | AskOutcome::Subrequest(_) => {
                if part.take_here(key, 1, call.now).is_none() {
                    return self.trouble("concurrency_wait", call.effects);
                }
                *call.memo = part.seat(key, call.now);
                Decision::Pass
            }
        }
    }

    fn limits(&self) -> impl Iterator<Item = LimitTerms> {
        std::iter::once(LimitTerms { id: self.limit_id(), rate: self.rate })
    }

    fn needs_route(&self) -> Option<&'static str> {
        let scope = (self.scope == Scope::PerRoute).then_some("`per_route`");
        scope.or_else(|| self.key.needs_route())
    }

    fn needs_consumer(&self) -> bool {
        self.key.needs_consumer()
    }
}

impl ShardState<Plan> for Box<Parts> {
    fn new(plan: &Plan, shards: Shards, generation: u32) -> Box<Parts> {
        let terms = Terms { version: generation.into(), rate: plan.rate };
        // tidy(hot): once for a shard and a plan; most policies keep nothing, so what they share is small.
        Box::new(Parts::new(std::iter::once(Part::new(plan.limit_id(), terms, shards, plan.keys_max))))
    }

    fn parts(&mut self) -> Option<&mut Parts> {
        Some(self)
    }
}

impl Plan {
    /// Equal where a new plan counts the same things under the same name, however many may be served at once.
    fn limit_id(&self) -> LimitId {
        let mut hasher = seeded(self.hash_seed);
        ("concurrency", &*self.name, &*self.key.written, self.key.absent, self.scope).hash(&mut hasher);
        LimitId(std::hash::Hasher::finish(&hasher))
    }

    fn judge<L>(&self, taken: Taken, key: u64, part: &mut Part, call: Call<'_, L, Option<Seat>>) -> Decision<'_> {
        match taken {
            Taken::Yes(_) => {
                *call.memo = part.seat(key, call.now);
                Decision::Pass
            }
            Taken::No(_) if self.mode == Mode::Report => {
                part.report();
                self.report("concurrency_limited", call.effects)
            }
            Taken::No(_) => self.refuse(call.effects),
            Taken::Wait if self.mode == Mode::Report => {
                part.forgo(key, 1);
                Decision::Pass
            }
            Taken::Wait => Decision::Ask(Ask::Peer { limit: part.limit(), key, until: self.until(call.now) }),
            Taken::NoRoom => self.trouble("concurrency_no_room", call.effects),
        }
    }

    fn until(&self, now: Tick) -> Tick {
        now.after(self.wait)
    }

    fn trouble(&self, reason: &'static str, effects: &mut Effects) -> Decision<'_> {
        match self.uncountable.in_mode(self.mode) {
            OnTrouble::Admit => self.report(reason, effects),
            OnTrouble::Refuse => self.refuse(effects),
            OnTrouble::Unavailable => {
                self.add_retry_after(effects);
                self.respond(503, reason)
            }
        }
    }

    fn report(&self, reason: &'static str, effects: &mut Effects) -> Decision<'_> {
        effects.reported = Some(reason);
        Decision::Pass
    }

    fn refuse(&self, effects: &mut Effects) -> Decision<'_> {
        self.add_retry_after(effects);
        self.respond(self.status, "concurrency_limited")
    }

    fn add_retry_after(&self, effects: &mut Effects) {
        if let Some(seconds) = self.retry_after {
            effects.to_client.add_with(b"Retry-After", |out| push_decimal(out, seconds));
        }
    }

    fn respond(&self, status: u16, word: &'static str) -> Decision<'_> {
        let title = reason(status);
        let problem = Problem { kind: "", title, detail: &self.detail, violated_policy: &self.name };
        Decision::Respond(LocalResponse { status, reason: word, body: LocalBody::Problem(problem) })
    }

    fn key_of<L: Lookup>(&self, facts: &Facts<'_, L>, effects: &mut Effects) -> CountedBy {
        let mut hasher = seeded(self.hash_seed);
        if self.scope == Scope::PerRoute {
            facts.route_name.hash(&mut hasher);
        }
        self.key.find(facts, hasher, &mut effects.scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;
    use crate::policy::fixture::{Fixture, NamedValues, added};
    use crate::policy::limit::ShardId;
    use crate::policy::{Policy, PolicyMemo, PolicyState};

    fn plan(most: u32) -> Plan {
        Plan {
            name: Arc::from("at-once"),
            rate: Rate::in_flight(most).unwrap(),
            key: Key::address(),
            scope: Scope::Shared,
            exempt: Exempt::default(),
            status: 429,
            detail: Box::from(""),
            retry_after: Some(1),
            mode: Mode::Enforce,
            keys_max: 1_000,
            wait: Duration::from_secs(1),
            uncountable: OnTrouble::Unavailable,
            hash_seed: 0,
        }
    }

    fn shards(own: u32, count: u32) -> Shards {
        Shards { own: ShardId(own), count }
    }

    fn call<'a>(
        facts: &'a Facts<'a, NamedValues>,
        effects: &'a mut Effects,
        memo: &'a mut PolicyMemo,
        millis: u64,
    ) -> Call<'a, NamedValues, PolicyMemo> {
        Call { facts, effects, memo, now: Tick::ZERO.after_ms(millis) }
    }

    /// What remembers a request that runs; `None` where it was refused.
    fn begin(policy: &Policy, state: &mut PolicyState, millis: u64) -> Option<PolicyMemo> {
        let (fixture, mut effects, mut memo) = (Fixture::get("/"), Effects::default(), PolicyMemo::Unused);
        match policy.decide(state, call(&fixture.facts(), &mut effects, &mut memo, millis)) {
            Decision::Pass => Some(memo),
            Decision::Respond(response) => {
                assert_eq!((response.status, response.reason), (429, "concurrency_limited"));
                assert_eq!(added(&effects.to_client), [("Retry-After", "1")]);
                None
            }
            Decision::Ask(_) => panic!("the home is here"),
        }
    }

    #[test]
    fn as_many_as_are_allowed_run_at_once_however_long_they_run() {
        let policy = Policy::Concurrency(plan(2));
        let mut state = policy.state(shards(0, 1), 0);
        let mut now = 0;
        for _ in 0..10 {
            let first = begin(&policy, &mut state, now).unwrap();
            let second = begin(&policy, &mut state, now).unwrap();
            now += 3_600_000;
            state.parts().unwrap().sweep(Tick::ZERO.after_ms(now), Wall(0));
            assert!(begin(&policy, &mut state, now).is_none(), "time alone frees no place");
            drop(first);
            let third = begin(&policy, &mut state, now).unwrap();
            assert!(begin(&policy, &mut state, now).is_none());
            drop((second, third));
        }
        let counts = state.parts().unwrap().take_counts();
        assert_eq!((counts.admitted, counts.refused, counts.returned), (30, 20, 0));
        // Idle for a while, the key is forgotten.
        for later in [0, 10_000] {
            state.parts().unwrap().sweep(Tick::ZERO.after_ms(now + later), Wall(0));
        }
        assert_eq!(state.parts().unwrap().take_counts().held, 0);
    }

    #[test]
    fn a_smaller_number_after_a_reload_counts_those_that_run() {
        let policy = Policy::Concurrency(plan(3));
        let mut state = policy.state(shards(0, 1), 0);
        let running: Vec<_> = (0..3).map(|_| begin(&policy, &mut state, 0).unwrap()).collect();
        let smaller = Policy::Concurrency(plan(1));
        state.parts().unwrap().follow(smaller.limits().into_iter(), 1, Tick::ZERO);
        assert!(begin(&smaller, &mut state, 1).is_none());
        drop(running);
        let one = begin(&smaller, &mut state, 2).unwrap();
        assert!(begin(&smaller, &mut state, 2).is_none());
        drop(one);
        assert!(begin(&smaller, &mut state, 3).is_some());
    }

    #[test]
    fn where_it_only_reports_everybody_passes() {
        let policy = Policy::Concurrency(Plan { mode: Mode::Report, ..plan(1) });
        let mut state = policy.state(shards(0, 1), 0);
        let (fixture, mut memos) = (Fixture::get("/"), Vec::new());
        for reported in [None, Some("concurrency_limited")] {
            let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
            let decision = policy.decide(&mut state, call(&fixture.facts(), &mut effects, &mut memo, 0));
            assert_eq!((decision, effects.reported), (Decision::Pass, reported));
            memos.push(memo);
        }
    }
}
