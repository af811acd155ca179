// SPDX-License-Identifier: Apache-2.0
//! Hot. Requests per time for every key, exact over all shards (`limit`), with `Retry-After`, a problem body, and
//! fields that tell clients where they stand (`told`).
//!
//! A limit has one or several windows, and a request needs what it costs of each of them at one moment. Where one has
//! too little, what was taken of the others at that moment is put back. Only then does the request wait, if it does,
//! and afterwards it tries all of them again.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::base::Tick;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::{Effects, Facts, Outcome, Response};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::gcra::Rate;
use crate::policy::limit::{BanRule, Held, LimitId, LimitTerms, Part, Parts, Shards, Taken, Terms};
use crate::policy::limit_key::{CountedBy, Key, seeded};
use crate::policy::limiting::{Exempt, Mode, OnTrouble, Scope, WhenFull};
use crate::policy::phase::Phase;
use crate::policy::problem::{QUOTA_EXCEEDED, REDUCED_CAPACITY};
use crate::wire::template::Lookup;

mod cost;
mod told;
mod window;

pub(crate) use cost::Cost;
pub(crate) use told::{Dialect, FieldsSent, Told};
pub(crate) use window::Window;
use window::{Standing, Standings};

/// A rate limit.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name; goes into `RateLimit` and identifies it over reloads.
    pub name: Arc<str>,
    /// How many; at least one window.
    pub windows: Box<[Window]>,
    /// What is counted apart from each other.
    pub key: Key,
    /// Whether routes that share the policy share the counts.
    pub scope: Scope,
    /// What a request counts.
    pub cost: Cost,
    /// Who is not limited.
    pub exempt: Exempt,
    /// The status of a refusal, usually 429.
    pub status: u16,
    /// What a refused client reads as `detail`; may be empty.
    pub detail: Box<str>,
    /// What clients are told of where they stand.
    pub told: Told,
    /// Whether it refuses at all.
    pub mode: Mode,
    /// Ranges of statuses, both ends included: only requests that are answered with one of them count. Empty where all
    /// count. A request without a response counts in any case, so that nobody gets around the limit by leaving early.
    pub counted: Box<[(u16, u16)]>,
    /// Keys that all shards together remember, for each window. Above it the fullest make room.
    pub keys_max: usize,
    /// What a key has that comes again after it had to make room.
    pub when_full: WhenFull,
    /// How long a request waits for another shard at the first touch of a key, or when the shard's own tokens are used
    /// up.
    pub wait: Duration,
    /// What happens to a request that cannot be counted: it waited in vain, because another shard is overloaded, or its
    /// key has no room.
    pub uncountable: OnTrouble,
    /// Of a burst, so many requests pass at once beside the first, and those behind them are delayed until they come at
    /// the rate. Without it all of a burst pass at once. Only with one window, which refills.
    pub delay_after: Option<u32>,
    /// Who is refused too often is refused everything for a while.
    pub ban: Option<BanRule>,
    /// The seed of the hash of keys, so that no client can make its key collide with another's. Random, and the same on
    /// all shards for the life of the process.
    pub hash_seed: u64,
}

/// What it remembers of a request.
#[derive(Debug, Default)]
pub struct Memo {
    /// What the request is counted by, so that it is hashed once.
    key: u64,
    /// What is to be done later.
    pending: Pending,
}

/// What a request leaves open.
#[derive(Debug, Default)]
enum Pending {
    /// Nothing.
    #[default]
    Nothing,
    /// It waits for another shard's word about this window.
    Waits(u32),
    /// It passed, and is delayed.
    Delayed,
    /// It holds one slot of the only window, of terms with this version, until its response is known.
    Slot(u32),
    /// It holds slots of several windows, or several slots.
    Slots(Box<Slots>),
    /// It was not counted; when its response is known, it counts so much.
    Count(u32),
}

/// Slots that a request holds until its response is known.
#[derive(Debug)]
struct Slots {
    /// Of each window.
    held: SmallVec<[Held; 4]>,
    /// What was taken of each.
    taken: u32,
    /// What the response says that it cost.
    told: Option<u32>,
}

impl Kind for Plan {
    type State = Box<Parts>;
    type Memo = Memo;

    /// Limits by address protect what identifies clients; the others need to know who it is.
    fn phase(&self) -> Phase {
        if self.key.is_address() && self.exempt.consumers.is_empty() { Phase::Screen } else { Phase::Admit }
    }

    fn decide<L: Lookup>(&self, parts: &mut Box<Parts>, call: Call<'_, L, Memo>) -> Decision<'_> {
        if self.exempt.has(call.facts) {
            return Decision::Pass;
        }
        let key = match self.key_of(call.facts, call.effects) {
            CountedBy::Key(key) => key,
            CountedBy::Nothing => return Decision::Pass,
            CountedBy::Refused => return self.refuse_unknown(call.effects),
        };
        call.memo.key = key;
        parts.look(call.now, call.facts.wall);
        if self.ban.is_some()
            && let Some(left) = parts.list()[0].banned(key, call.now)
        {
            return self.refuse_banned(left, call.effects);
        }
        self.try_all(parts, None, call)
    }

    fn resume<L: Lookup>(
        &self,
        parts: &mut Box<Parts>,
        call: Call<'_, L, Memo>,
        outcome: AskOutcome<'_>,
    ) -> Decision<'_> {
        parts.look(call.now, call.facts.wall);
        match (std::mem::take(&mut call.memo.pending), outcome) {
            (Pending::Delayed, AskOutcome::Woken) => Decision::Pass,
            (Pending::Delayed, _) => self.trouble("rate_limit_wait", call.effects),
            (Pending::Waits(at), AskOutcome::Woken) => self.try_all(parts, Some(at as usize), call),
            (_, AskOutcome::Woken) => self.try_all(parts, None, call),
            (_, AskOutcome::Expired | AskOutcome::Failed | AskOutcome::Subrequest(_)) => self.take_here(parts, call),
        }
    }

    fn adapt<L: Lookup>(&self, memo: &mut Memo, response: Response<'_>, _: &L, _: &mut Effects) {
        if let Pending::Slots(slots) = &mut memo.pending {
            slots.told = self.cost.told(response);
        }
    }

    fn settle(&self, parts: &mut Box<Parts>, memo: &mut Memo, outcome: Outcome, now: Tick) {
        let counts = match outcome {
            _ if self.counted.is_empty() => true,
            Outcome::Status(status) => self.counted.iter().any(|(first, last)| (*first..=*last).contains(&status)),
            Outcome::NoResponse => true,
        };
        match std::mem::take(&mut memo.pending) {
            Pending::Slot(version) => {
                parts.list()[0].release(memo.key, Held { version, slots: 1 }, u32::from(counts), now);
            }
            Pending::Slots(slots) => {
                for (part, held) in parts.list().iter_mut().zip(slots.held) {
                    let cost = if counts { slots.told.unwrap_or(slots.taken) } else { 0 };
                    part.release(memo.key, held, cost.min(held.slots), now);
                    if cost > slots.taken {
                        part.charge(memo.key, cost - slots.taken, now);
                    }
                }
            }
            Pending::Count(cost) if counts => count(parts.list(), memo.key, cost, now),
            Pending::Count(_) | Pending::Nothing | Pending::Waits(_) | Pending::Delayed => {}
        }
    }

    fn limits(&self) -> impl Iterator<Item = LimitTerms> {
        let first = self.limit_id();
        (0..).zip(&self.windows).map(move |(at, window)| LimitTerms { id: first.of_window(at), rate: window.rate })
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
        let part = |(window, limit): (&Window, LimitTerms)| {
            let terms = Terms { version: generation, rate: limit.rate };
            let part = Part::new(limit.id, terms, shards, plan.keys_max);
            let part = match plan.when_full {
                WhenFull::Forget => part,
                WhenFull::Share => part.remembering_forgotten(),
            };
            match window.calendar.clone() {
                Some(calendar) => part.in_windows(calendar),
                None => part,
            }
        };
        let mut parts = Parts::new(plan.windows.iter().zip(plan.limits()).map(part));
        if let Some(rule) = plan.ban {
            parts.list()[0].ban_by(rule, plan.keys_max);
        }
        // tidy(hot): once for a shard and a plan; most policies keep nothing, so what they share is small.
        Box::new(parts)
    }

    fn parts(&mut self) -> Option<&mut Parts> {
        Some(self)
    }
}

impl Plan {
    /// A limit of one window that refills, with everything else as most users want it.
    pub fn new(name: &str, rate: Rate, key: Key) -> Plan {
        let window = Window { name: name.into(), rate, calendar: None, unit: None };
        // tidy(hot): once for a plan, by the compiler.
        let windows = Box::new([window]);
        Plan {
            name: Arc::from(name),
            windows,
            key,
            scope: Scope::Shared,
            cost: Cost::default(),
            exempt: Exempt::default(),
            status: 429,
            detail: Box::from(""),
            told: Told::default(),
            mode: Mode::Enforce,
            counted: Box::default(),
            keys_max: 100_000,
            when_full: WhenFull::Forget,
            wait: Duration::from_secs(1),
            uncountable: OnTrouble::Unavailable,
            delay_after: None,
            ban: None,
            hash_seed: 0,
        }
    }

    /// Equal where a new plan counts the same things in the same windows under the same name, however many. A limit
    /// whose identity changed, and every limit of a new process, starts full.
    pub fn limit_id(&self) -> LimitId {
        let mut hasher = seeded(self.hash_seed);
        (&*self.name, &*self.key.written, self.key.absent, self.scope, self.ban).hash(&mut hasher);
        for window in &self.windows {
            let calendar = window.calendar.as_ref();
            (calendar.map(|calendar| (calendar.unit, calendar.zone.iana_name()))).hash(&mut hasher);
        }
        LimitId(hasher.finish())
    }

    /// Takes what a request costs of all windows, or of none. `waited` is the window whose word it has waited for.
    fn try_all<L: Lookup>(&self, parts: &mut Parts, waited: Option<usize>, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let (key, cost) = (memo.key, self.cost.of(facts, effects));
        let list = parts.list();
        let mut standings = Standings::new();
        let mut stopped = None;
        for (at, part) in list.iter_mut().enumerate() {
            let taken = if waited == Some(at) { part.retake(key, cost, now) } else { part.take(key, cost, now) };
            let Taken::Yes(standing) = taken else {
                stopped = Some((at, taken));
                break;
            };
            standings.push(Standing { at, state: standing });
        }
        let Some((at, taken)) = stopped else {
            return self.pass(standings, cost, parts, Call { facts, effects, memo, now });
        };
        if taken == Taken::Wait && self.mode == Mode::Report {
            return self.count_later(list, at, cost, Call { facts, effects, memo, now });
        }
        list[..at].iter_mut().for_each(|part| part.give_back(key, cost, now));
        match taken {
            Taken::No(standing) if self.mode == Mode::Enforce => {
                standings.push(Standing { at, state: standing });
                let retry_after = standing.next.max(list[at].wait(key, cost, now));
                list[0].note_refusal(key, now);
                self.told.standings((&self.name, &self.windows), &mut standings, facts.wall, effects);
                self.refuse(retry_after, effects)
            }
            Taken::Yes(_) | Taken::No(_) => {
                list[at].report();
                effects.reported = Some("rate_limited");
                Decision::Pass
            }
            Taken::Wait => {
                memo.pending = Pending::Waits(at as u32);
                Decision::Ask(Ask::Peer { limit: list[at].limit(), key, until: now.after(self.wait) })
            }
            Taken::NoRoom => self.trouble("rate_limit_no_room", effects),
        }
    }

    /// Where it only reports, nobody waits: the next grant of this window pays, or the request counts when its response
    /// is known.
    fn count_later<L>(&self, list: &mut [Part], at: usize, cost: u32, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { effects, memo, now, .. } = call;
        let (before, rest) = list.split_at_mut(at);
        if self.waits_for_response() {
            before.iter_mut().for_each(|part| part.give_back(memo.key, cost, now));
            rest[0].forgo(memo.key, cost);
            memo.pending = Pending::Count(cost);
            effects.settles = true;
        } else {
            rest[0].owe(memo.key, cost);
            count(&mut rest[1..], memo.key, cost, now);
        }
        Decision::Pass
    }

    /// Takes what is here for a request whose wait has expired.
    fn take_here<L: Lookup>(&self, parts: &mut Parts, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let (key, cost) = (memo.key, self.cost.of(facts, effects));
        let list = parts.list();
        let mut standings = Standings::new();
        for at in 0..list.len() {
            let Some(standing) = list[at].take_here(key, cost, now) else {
                list[..at].iter_mut().for_each(|part| part.give_back(key, cost, now));
                return self.trouble("rate_limit_wait", effects);
            };
            standings.push(Standing { at, state: standing });
        }
        self.pass(standings, cost, parts, Call { facts, effects, memo, now })
    }

    /// Tokens of all windows were taken.
    fn pass<L>(&self, mut standings: Standings, cost: u32, parts: &mut Parts, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let list = parts.list();
        if self.waits_for_response() {
            memo.pending = self.hold(list, memo.key, cost, now);
            effects.settles |= !matches!(memo.pending, Pending::Nothing);
        }
        self.told.standings((&self.name, &self.windows), &mut standings, facts.wall, effects);
        let Some(free) = self.delay_after.filter(|_| self.mode == Mode::Enforce) else { return Decision::Pass };
        let delay = list[0].delay(memo.key, free, now);
        if delay.is_zero() {
            return Decision::Pass;
        }
        memo.pending = Pending::Delayed;
        Decision::Ask(Ask::Pause { until: now.after(delay) })
    }

    fn hold(&self, list: &mut [Part], key: u64, cost: u32, now: Tick) -> Pending {
        if let [part] = list
            && cost == 1
            && self.cost.response_field.is_none()
        {
            return part.hold(key, 1, now).map_or(Pending::Nothing, |held| Pending::Slot(held.version));
        }
        let held = list.iter_mut().map(|part| {
            // Where another shard has got the slots already, the request counts.
            part.hold(key, cost, now).unwrap_or(Held { version: 0, slots: 0 })
        });
        let slots = Slots { held: held.collect(), taken: cost, told: None };
        // tidy(hot): only where the response decides about several slots; a memo has no room for them.
        Pending::Slots(Box::new(slots))
    }

    /// Is it known only with the response what a request counts?
    fn waits_for_response(&self) -> bool {
        !self.counted.is_empty() || self.cost.response_field.is_some()
    }

    fn trouble(&self, reason: &'static str, effects: &mut Effects) -> Decision<'_> {
        if self.mode == Mode::Report {
            effects.reported = Some(reason);
            return Decision::Pass;
        }
        match self.uncountable {
            OnTrouble::Admit => {
                effects.reported = Some(reason);
                Decision::Pass
            }
            OnTrouble::Refuse => self.refuse(Duration::ZERO, effects),
            OnTrouble::Unavailable => {
                self.told.retry_after(Duration::ZERO, effects);
                let problem = Problem {
                    kind: REDUCED_CAPACITY,
                    title: "Temporarily out of capacity",
                    detail: "",
                    violated_policy: &self.name,
                };
                Decision::Respond(LocalResponse { status: 503, reason, body: LocalBody::Problem(problem) })
            }
        }
    }

    fn refuse(&self, retry_after: Duration, effects: &mut Effects) -> Decision<'_> {
        self.told.retry_after(retry_after, effects);
        self.refusal("rate_limited")
    }

    fn refuse_banned(&self, left: Duration, effects: &mut Effects) -> Decision<'_> {
        if self.mode == Mode::Report {
            effects.reported = Some("rate_limit_banned");
            return Decision::Pass;
        }
        self.told.retry_after(left, effects);
        self.refusal("rate_limit_banned")
    }

    /// What it would be counted by is missing.
    fn refuse_unknown(&self, effects: &mut Effects) -> Decision<'_> {
        if self.mode == Mode::Report {
            effects.reported = Some("rate_limit_no_key");
            return Decision::Pass;
        }
        let problem = Problem { kind: "", title: "Forbidden", detail: &self.detail, violated_policy: &self.name };
        let body = LocalBody::Problem(problem);
        Decision::Respond(LocalResponse { status: 403, reason: "rate_limit_no_key", body })
    }

    fn refusal(&self, reason: &'static str) -> Decision<'_> {
        let problem = Problem {
            kind: QUOTA_EXCEEDED,
            title: "Too many requests",
            detail: &self.detail,
            violated_policy: &self.name,
        };
        Decision::Respond(LocalResponse { status: self.status, reason, body: LocalBody::Problem(problem) })
    }

    fn key_of<L: Lookup>(&self, facts: &Facts<'_, L>, effects: &mut Effects) -> CountedBy {
        let mut hasher = seeded(self.hash_seed);
        if self.scope == Scope::PerRoute {
            facts.route_name.hash(&mut hasher);
        }
        self.key.find(facts, hasher, &mut effects.scratch)
    }
}

/// Counts a request that passed in any case.
fn count(list: &mut [Part], key: u64, cost: u32, now: Tick) {
    for part in list {
        match part.take(key, cost, now) {
            Taken::Yes(_) | Taken::NoRoom => {}
            Taken::No(_) => part.report(),
            Taken::Wait => part.owe(key, cost),
        }
    }
}

#[cfg(test)]
mod tests;
