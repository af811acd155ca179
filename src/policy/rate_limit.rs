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
use crate::cel::Program;
use crate::policy::decision::{Ask, AskOutcome, Decision};
use crate::policy::facts::{Effects, Facts, Outcome, Response};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::gcra::Rate;
use crate::policy::limit::{BanRule, Held, LimitId, LimitTerms, Part, Parts, Shards, Taken, Terms};
use crate::policy::limit_key::{CountedBy, Key, Lasting, seeded};
use crate::policy::limiting::{Exempt, Mode, OnTrouble, Scope, WhenFull};
use crate::policy::phase::Phase;
use crate::wire::template::Lookup;

mod cost;
mod kept;
mod named;
mod quotas;
mod refusal;
mod tiers;
mod told;
mod window;

pub(crate) use cost::Cost;
pub(crate) use kept::{Database, Kept, Quota};
pub(crate) use tiers::{NamedShares, Share, TierShares, Tiers};
pub(crate) use told::{Dialect, FieldsSent, Told};
pub(crate) use window::{Standing, Standings, Window};

/// A rate limit.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name; goes into `RateLimit` and identifies it over reloads.
    pub name: Arc<str>,
    /// How many; at least one window.
    pub windows: Box<[Window]>,
    /// Which of them hold for whom; without it all of them for everybody.
    pub tiers: Option<Tiers>,
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
    /// Where its windows of the calendar are counted, where that is not on the shards alone.
    pub kept: Option<Kept>,
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
    /// It waits for another shard's word about this one of its windows.
    Waits(u32),
    /// It passed, and is delayed.
    Delayed,
    /// It holds one slot of the only window, of terms with this version, until its response is known.
    Slot(u64),
    /// It holds slots of several windows, or several slots.
    Slots(Box<Slots>),
    /// It was not counted; when its response is known, it counts.
    Count(Box<Owed>),
}

/// Slots that a request holds until its response is known.
#[derive(Debug)]
struct Slots {
    /// Of each window, with what one unit of the cost is there.
    held: SmallVec<[(Share, Held); 4]>,
    /// What it took, in units of the cost.
    taken: u32,
    /// What the response says that it cost.
    told: Option<u32>,
}

/// What a request counts when its response is known.
#[derive(Debug)]
struct Owed {
    shares: Shares,
    cost: u32,
}

impl Kind for Plan {
    type State = Box<Parts>;
    type Memo = Memo;

    /// Limits by address protect what identifies clients; the others need to know who it is.
    fn phase(&self) -> Phase {
        let knows_nobody = self.key.is_address()
            && self.exempt.consumers.is_empty()
            && self.tiers.is_none()
            && !self.expression().is_some_and(Program::names_consumer);
        if knows_nobody { Phase::Screen } else { Phase::Admit }
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
                let cost = if counts { slots.told.unwrap_or(slots.taken) } else { 0 };
                for (share, held) in slots.held {
                    let part = &mut parts.list()[share.at()];
                    part.release(memo.key, held, share.of(cost).min(held.slots), now);
                    if cost > slots.taken {
                        part.charge(memo.key, share.of(cost - slots.taken), now);
                    }
                }
            }
            Pending::Count(owed) if counts => count(parts.list(), &owed.shares, memo.key, owed.cost, now),
            Pending::Count(_) | Pending::Nothing | Pending::Waits(_) | Pending::Delayed => {}
        }
    }

    fn limits(&self) -> impl Iterator<Item = LimitTerms> {
        let first = self.limit_id();
        (0..).zip(&self.windows).map(move |(at, window)| LimitTerms { id: first.of_window(at), rate: window.rate() })
    }

    fn needs_route(&self) -> Option<&'static str> {
        let scope = (self.scope == Scope::PerRoute).then_some("`per_route`");
        let tier = || self.tiers.as_ref().filter(|tiers| tiers.by.names_route()).map(|_| "`{route}` in `tier`");
        let cost =
            || self.expression().filter(|cost| cost.names_route()).map(|_| "`route` or `consumer.plan` in `cost`");
        scope.or_else(|| self.key.needs_route()).or_else(tier).or_else(cost)
    }

    fn needs_consumer(&self) -> bool {
        self.key.needs_consumer() || self.expression().is_some_and(Program::names_consumer)
    }

    fn expression(&self) -> Option<&Program> {
        self.cost.expression.as_ref()
    }
}

impl ShardState<Plan> for Box<Parts> {
    fn new(plan: &Plan, shards: Shards, generation: u32) -> Box<Parts> {
        let part = |(window, limit): (&Window, LimitTerms)| {
            let terms = Terms { version: generation.into(), rate: limit.rate };
            let part = Part::new(limit.id, terms, shards, plan.keys_max);
            let part = match plan.when_full {
                WhenFull::Forget => part,
                WhenFull::Share => part.remembering_forgotten(),
            };
            match window.calendar().cloned() {
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
        let window = Window::new(name.into(), rate, None, None);
        // tidy(hot): once for a plan, by the compiler.
        let windows = Box::new([window]);
        Plan {
            name: Arc::from(name),
            windows,
            tiers: None,
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
            kept: None,
            hash_seed: 0,
        }
    }

    /// Equal where a new plan counts the same things in the same windows under the same name, however many. A limit
    /// whose identity changed, and every limit of a new process, starts full.
    pub fn limit_id(&self) -> LimitId {
        let mut hasher = seeded(self.hash_seed);
        (&*self.name, &*self.key.written, self.key.absent, self.scope, self.ban).hash(&mut hasher);
        self.kept.map(|kept| kept.database).hash(&mut hasher);
        for window in &self.windows {
            let calendar = window.calendar();
            (calendar.map(|calendar| (calendar.unit, calendar.zone.iana_name()))).hash(&mut hasher);
        }
        LimitId(hasher.finish())
    }

    /// Takes what a request costs of all its windows, or of none. `waited` is the one whose word it has waited for.
    fn try_all<L: Lookup>(&self, parts: &mut Parts, waited: Option<usize>, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let (key, cost) = (memo.key, self.cost.of(facts, effects));
        let shares = self.shares(facts, effects);
        let list = parts.list();
        let mut standings = Standings::new();
        let mut stopped = None;
        for (number, share) in shares.iter().enumerate() {
            let (part, units) = (&mut list[share.at()], share.of(cost));
            let retakes = waited == Some(number);
            let taken = if retakes { part.retake(key, units, now) } else { part.take(key, units, now) };
            let Taken::Yes(state) = taken else {
                stopped = Some((number, taken));
                break;
            };
            standings.push(share.standing(part, key, state, now));
        }
        let Some((number, taken)) = stopped else {
            return self.pass((standings, shares, cost), parts, Call { facts, effects, memo, now });
        };
        let (share, before) = (shares[number], &shares[..number]);
        if taken == Taken::Wait && self.mode == Mode::Report {
            return self.count_later(list, (shares, number, cost), Call { facts, effects, memo, now });
        }
        give_back(list, before, key, cost, now);
        let part = &mut list[share.at()];
        match taken {
            Taken::No(state) if self.mode == Mode::Enforce => {
                let standing = share.standing(part, key, state, now);
                let retry_after = standing.state.next.max(part.wait(key, share.of(cost), now));
                standings.push(standing);
                list[0].note_refusal(key, now);
                self.told.standings((&self.name, &self.windows), &mut standings, facts.wall, effects);
                self.refuse(retry_after, effects)
            }
            Taken::Yes(_) | Taken::No(_) => {
                part.report();
                effects.reported = Some("rate_limited");
                Decision::Pass
            }
            Taken::Wait => {
                memo.pending = Pending::Waits(number as u32);
                Decision::Ask(Ask::Peer { limit: part.limit(), key, until: now.after(self.wait) })
            }
            Taken::NoRoom if part.is_leased() => self.trouble("rate_limit_outage", effects),
            Taken::NoRoom => self.trouble("rate_limit_no_room", effects),
        }
    }

    /// The windows that hold for a request.
    fn shares<L: Lookup>(&self, facts: &Facts<'_, L>, effects: &mut Effects) -> Shares {
        match &self.tiers {
            None => (0..self.windows.len()).map(Share::whole).collect(),
            Some(tiers) => tiers.shares_of(facts, effects).iter().copied().collect(),
        }
    }

    /// Where it only reports, nobody waits: the next grant of this window pays, or the request counts when its response
    /// is known.
    fn count_later<L>(
        &self,
        list: &mut [Part],
        (shares, number, cost): (Shares, usize, u32),
        call: Call<'_, L, Memo>,
    ) -> Decision<'_> {
        let Call { effects, memo, now, .. } = call;
        let share = shares[number];
        if self.waits_for_response() {
            give_back(list, &shares[..number], memo.key, cost, now);
            list[share.at()].forgo(memo.key, share.of(cost));
            // tidy(hot): only where a limit reports and counts by the response; a memo has no room for it.
            memo.pending = Pending::Count(Box::new(Owed { shares, cost }));
            effects.settles = true;
        } else {
            list[share.at()].owe(memo.key, share.of(cost));
            count(list, &shares[number + 1..], memo.key, cost, now);
        }
        Decision::Pass
    }

    /// Takes what is here for a request whose wait has expired.
    fn take_here<L: Lookup>(&self, parts: &mut Parts, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let (key, cost) = (memo.key, self.cost.of(facts, effects));
        let shares = self.shares(facts, effects);
        let list = parts.list();
        let mut standings = Standings::new();
        for (number, share) in shares.iter().enumerate() {
            let part = &mut list[share.at()];
            let Some(state) = part.take_here(key, share.of(cost), now) else {
                give_back(list, &shares[..number], key, cost, now);
                return self.trouble("rate_limit_wait", effects);
            };
            standings.push(share.standing(part, key, state, now));
        }
        self.pass((standings, shares, cost), parts, Call { facts, effects, memo, now })
    }

    /// Tokens of all windows were taken.
    fn pass<L>(
        &self,
        (mut standings, shares, cost): (Standings, Shares, u32),
        parts: &mut Parts,
        call: Call<'_, L, Memo>,
    ) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let list = parts.list();
        if self.waits_for_response() {
            memo.pending = self.hold(list, &shares, (memo.key, cost), now);
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

    fn hold(&self, list: &mut [Part], shares: &[Share], (key, cost): (u64, u32), now: Tick) -> Pending {
        if let [part] = list
            && cost == 1
            && self.tiers.is_none()
            && self.cost.response_field.is_none()
        {
            return part.hold(key, 1, now).map_or(Pending::Nothing, |held| Pending::Slot(held.version));
        }
        let held = shares.iter().map(|share| {
            // Where another shard has got the slots already, the request counts.
            let held = list[share.at()].hold(key, share.of(cost), now);
            (*share, held.unwrap_or(Held { version: 0, slots: 0 }))
        });
        let slots = Slots { held: held.collect(), taken: cost, told: None };
        // tidy(hot): only where the response decides about several slots; a memo has no room for them.
        Pending::Slots(Box::new(slots))
    }

    /// Is it known only with the response what a request counts?
    fn waits_for_response(&self) -> bool {
        !self.counted.is_empty() || self.cost.response_field.is_some()
    }

    fn key_of<L: Lookup>(&self, facts: &Facts<'_, L>, effects: &mut Effects) -> CountedBy {
        match self.kept {
            None => self.key_by(seeded(self.hash_seed), facts, effects),
            Some(_) => self.key_by(Lasting::default(), facts, effects),
        }
    }

    fn key_by<L: Lookup>(&self, mut hasher: impl Hasher, facts: &Facts<'_, L>, effects: &mut Effects) -> CountedBy {
        if self.scope == Scope::PerRoute {
            facts.route_name.hash(&mut hasher);
        }
        self.key.find(facts, hasher, &mut effects.scratch)
    }
}

/// Puts back what a request took of these windows at this very moment.
fn give_back(list: &mut [Part], shares: &[Share], key: u64, cost: u32, now: Tick) {
    for share in shares {
        list[share.at()].give_back(key, share.of(cost), now);
    }
}

/// Counts a request that passed in any case.
fn count(list: &mut [Part], shares: &[Share], key: u64, cost: u32, now: Tick) {
    for share in shares {
        let part = &mut list[share.at()];
        match part.take(key, share.of(cost), now) {
            Taken::Yes(_) | Taken::NoRoom => {}
            Taken::No(_) => part.report(),
            Taken::Wait => part.owe(key, share.of(cost)),
        }
    }
}

/// The windows of one request.
type Shares = SmallVec<[Share; 4]>;

#[cfg(test)]
mod tests;
