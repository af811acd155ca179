// SPDX-License-Identifier: Apache-2.0
//! Hot. What the caller's plan allows: which routes, methods and paths, how many requests in which time, and how many
//! at once. Which plan holds, and how much it allows, is in the directory (`Facts::in_force`), so that a change of
//! either holds for the next request.
//!
//! A request is counted by who has subscribed (an app, or a consumer) and for which product, not by the plan: who gets
//! another plan goes on with what was used. Windows are limits like any other (`policy/limit`), of which each key has
//! its own number of slots (`Part::by_key`): one part for each unit of the calendar, one for all other spans, and one
//! for requests that are served at once. Parts of the calendar may be counted in a database (`quotas`).

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::base::Tick;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
use crate::policy::directory;
use crate::policy::directory::{InForce, Period};
use crate::policy::facts::{Effects, Facts};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::calendar::{Calendar, Unit};
use crate::policy::limit::gcra::Rate;
use crate::policy::limit::parent::OnOutage;
use crate::policy::limit::{LimitId, LimitTerms, Part, Parts, Seat, Shards, Taken, Terms};
use crate::policy::limit_key::seeded;
use crate::policy::limiting::{Mode, OnTrouble};
use crate::policy::phase::Phase;
use crate::policy::problem::QUOTA_EXCEEDED;
use crate::policy::rate_limit::{Kept, Standing, Standings, Told, Window};
use crate::policy::readings;
use crate::wire::template::Lookup;

mod quotas;

/// Holds callers to their plans.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name; identifies its counts over reloads. Routes that share the policy share them.
    pub name: Arc<str>,
    /// What a client reads as `detail` that is refused for what its plan does not contain; empty for what exactly that
    /// is.
    pub detail: Box<str>,
    /// Whether it refuses at all.
    pub mode: Mode,
    /// What clients are told of where they stand.
    pub told: Told,
    /// Subscribers that all shards together remember, for each period. One that has used something is not forgotten.
    pub keys_max: usize,
    /// How long a request waits for another shard's word.
    pub wait: Duration,
    /// What happens to a request that cannot be counted.
    pub uncountable: OnTrouble,
    /// Where windows of the calendar are counted, where that is not on the shards alone.
    pub kept: Option<Kept>,
    /// The seed of the hash of keys.
    pub hash_seed: u64,
}

/// What it remembers of a request.
#[derive(Debug, Default)]
pub enum Memo {
    /// Nothing.
    #[default]
    Nothing,
    /// It waits for another shard's word about this one of its windows; behind the last of them, about its seat.
    Waits(u32),
    /// It is served, and counts until this is dropped.
    Seat(#[allow(dead_code, reason = "it only has to be there")] Seat),
}

/// What a caller's plans do not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacking {
    Route,
    Method,
    Path,
    /// Its path may be another one to the origin.
    ClearPath,
}

impl Lacking {
    /// The reason for the log, and what the client reads.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Lacking::Route => ("plan_route", "No plan of the caller contains this route."),
            Lacking::Method => ("plan_method", "The caller's plan does not contain this method."),
            Lacking::Path => ("plan_path", "The caller's plan does not contain this path."),
            Lacking::ClearPath => ("plan_path", "The path has an encoded slash, dot or backslash, `;` or `//`."),
        }
    }
}

impl Kind for Plan {
    type State = Box<Parts>;
    type Memo = Memo;

    fn phase(&self) -> Phase {
        Phase::Admit
    }

    fn decide<L: Lookup>(&self, parts: &mut Box<Parts>, call: Call<'_, L, Memo>) -> Decision<'_> {
        self.admit(parts, None, call)
    }

    fn resume<L: Lookup>(
        &self,
        parts: &mut Box<Parts>,
        call: Call<'_, L, Memo>,
        outcome: AskOutcome<'_>,
    ) -> Decision<'_> {
        match (std::mem::take(call.memo), outcome) {
            (Memo::Waits(at), AskOutcome::Woken) => self.admit(parts, Some(Waited::Woken(at as usize)), call),
            (Memo::Waits(at), _) => self.admit(parts, Some(Waited::InVain(at as usize)), call),
            (Memo::Nothing | Memo::Seat(_), _) => Decision::Respond(LocalResponse::INTERNAL),
        }
    }

    fn limits(&self) -> impl Iterator<Item = LimitTerms> {
        let first = self.limit_id();
        (0..).zip(self.slots()).map(move |(at, (rate, _))| LimitTerms { id: first.of_window(at), rate })
    }

    fn needs_route(&self) -> Option<&'static str> {
        Some("`plan`")
    }

    fn needs_consumer(&self) -> bool {
        true
    }
}

impl ShardState<Plan> for Box<Parts> {
    fn new(plan: &Plan, shards: Shards, generation: u32) -> Box<Parts> {
        let parts = plan.limits().zip(plan.slots()).map(|(LimitTerms { id, rate }, (_, unit))| {
            let terms = Terms { version: generation.into(), rate };
            let part = Part::new(id, terms, shards, plan.keys_max).by_key();
            match unit {
                Some(unit) => part.in_windows(Calendar { unit, zone: jiff::tz::TimeZone::UTC }),
                None => part,
            }
        });
        // tidy(hot): once for a shard and a plan; most policies keep nothing, so what they share is small.
        Box::new(Parts::new(parts).told_of_passes())
    }

    fn parts(&mut self) -> Option<&mut Parts> {
        Some(self)
    }
}

/// The part that a window is counted in.
fn place(window: &Window) -> usize {
    let unit = window.calendar().map(|calendar| calendar.unit);
    Period::UNITS.iter().position(|known| Some(*known) == unit).unwrap_or(ROLLING)
}

/// The rate of a window, in a part that leases its tokens or does not.
fn rate_in(part: &Part, window: &Window) -> Rate {
    let rate = window.rate();
    match part.is_leased() {
        true => part.terms().rate.with_slots(rate.burst()).unwrap_or(rate),
        false => rate,
    }
}

/// The key under which a window of a subscriber is counted: those of all spans are in one part.
fn key_of(subscriber: u64, window: &Window) -> u64 {
    match window.calendar() {
        Some(_) => subscriber,
        None => subscriber.wrapping_add((window.rate().fill_time().as_nanos() as u64).wrapping_mul(SPAN_STEP)),
    }
}

/// How a wait ended: for one of the windows, or for the seat behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    Woken(usize),
    InVain(usize),
}

/// One request and what it is counted by.
struct Counting<'a> {
    subscriber: u64,
    /// The state of the directory that the plan is of.
    version: u64,
    plan: &'a directory::Plan,
    now: Tick,
}

impl Counting<'_> {
    /// Takes one of a window, or a seat.
    fn take(&self, part: &mut Part, key: u64, rate: Rate, waited: Option<Waited>, at: usize) -> Taken {
        let terms = Terms { version: self.version, rate };
        match waited {
            Some(Waited::Woken(woken)) if woken == at => part.retake_under(key, &terms, 1, self.now),
            Some(Waited::InVain(expired)) if expired == at => {
                part.take_here(key, 1, self.now).map_or(Taken::Wait, Taken::Yes)
            }
            Some(_) | None => part.take_under(key, &terms, 1, self.now),
        }
    }

    /// Puts back what a request took of the first windows at this very moment.
    fn give_back(&self, list: &mut [Part], windows: &[Window]) {
        for window in windows {
            list[place(window)].give_back(key_of(self.subscriber, window), 1, self.now);
        }
    }
}

impl Plan {
    /// Equal where a new plan counts the same things under the same name, in the same place.
    fn limit_id(&self) -> LimitId {
        let mut hasher = seeded(self.hash_seed);
        ("plan", &*self.name).hash(&mut hasher);
        self.kept.map(|kept| kept.database).hash(&mut hasher);
        LimitId(hasher.finish())
    }

    /// One slot of each part, with the unit of the calendar that it counts in.
    fn slots(&self) -> impl Iterator<Item = (Rate, Option<Unit>)> {
        // One request is more than none, and a second more than no time.
        let calendar = Period::UNITS.map(|unit| match self.is_kept(unit) {
            true => (Rate::leased(1), Some(unit)),
            false => (Rate::counted(1), Some(unit)),
        });
        let others = [Rate::new(1, Duration::from_secs(1), 1), Rate::in_flight(1)].map(|rate| (rate, None));
        calendar.into_iter().chain(others).filter_map(|(rate, unit)| Some((rate?, unit)))
    }

    /// Lets a request pass that the caller's plan allows, and counts it.
    fn admit<L: Lookup>(&self, parts: &mut Parts, waited: Option<Waited>, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Some(in_force) = call.facts.in_force() else { return self.lacks(Lacking::Route, call.effects) };
        if let Some(lacking) = lacking(in_force.plan, call.facts) {
            return self.lacks(lacking, call.effects);
        }
        if !in_force.plan.methods.is_empty() {
            readings::remove_overrides(call.facts.request, call.effects);
        }
        if in_force.plan.windows.is_empty() && in_force.plan.at_once.is_none() {
            return Decision::Pass;
        }
        let InForce { plan, product, app, consumer } = in_force;
        let subscriber = self.subscriber(consumer, app, product);
        let version = call.facts.directory.revision().0;
        let counting = Counting { subscriber, version, plan, now: call.now };
        self.count(&counting, parts, waited, call)
    }

    fn count<L: Lookup>(
        &self,
        counting: &Counting<'_>,
        parts: &mut Parts,
        waited: Option<Waited>,
        call: Call<'_, L, Memo>,
    ) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let list = parts.list();
        let windows = &counting.plan.windows;
        let mut standings = Standings::new();
        for (at, window) in windows.iter().enumerate() {
            let (part, key) = (&mut list[place(window)], key_of(counting.subscriber, window));
            part.look(now, || facts.wall);
            let taken = counting.take(part, key, rate_in(part, window), waited, at);
            let (Taken::Yes(state) | Taken::No(state)) = taken else {
                return self.stopped((counting, at, key), taken, (list, waited), (effects, memo));
            };
            standings.push(Standing { at, units: 1, state });
            if let Taken::No(_) = taken {
                let wait = state.next.max(part.wait(key, 1, now));
                counting.give_back(list, &windows[..at]);
                if self.mode == Mode::Report {
                    list[place(window)].report();
                    return report("plan_limited", effects);
                }
                self.told.standings(("", windows), &mut standings, facts.wall, effects);
                self.told.retry_after(wait, effects);
                return self.refuse("plan_limited", "The caller's plan allows no more requests for now.");
            }
        }
        if let Some(rate) = counting.plan.at_once {
            let (part, key) = (&mut list[AT_ONCE], counting.subscriber);
            match counting.take(part, key, rate, waited, windows.len()) {
                Taken::Yes(_) => *memo = part.seat(key, now).map_or(Memo::Nothing, Memo::Seat),
                Taken::No(_) => {
                    counting.give_back(list, windows);
                    if self.mode == Mode::Report {
                        list[AT_ONCE].report();
                        return report("plan_concurrency", effects);
                    }
                    self.told.retry_after(Duration::ZERO, effects);
                    return self.refuse("plan_concurrency", "The caller's plan allows no more requests at once.");
                }
                taken @ (Taken::Wait | Taken::NoRoom) => {
                    return self.stopped((counting, windows.len(), key), taken, (list, waited), (effects, memo));
                }
            }
        }
        self.told.standings(("", windows), &mut standings, facts.wall, effects);
        parts.pass();
        Decision::Pass
    }

    /// A request cannot be counted, at least not yet: `at` is the number of the window, or of all for the seat.
    fn stopped(
        &self,
        (counting, at, key): (&Counting<'_>, usize, u64),
        taken: Taken,
        (list, waited): (&mut [Part], Option<Waited>),
        (effects, memo): (&mut Effects, &mut Memo),
    ) -> Decision<'_> {
        let (windows, now) = (&counting.plan.windows, counting.now);
        counting.give_back(list, &windows[..at]);
        let part = &mut list[windows.get(at).map_or(AT_ONCE, place)];
        let reason = match (taken, waited) {
            (Taken::Wait, Some(Waited::InVain(expired))) if expired == at => "plan_wait",
            (Taken::Wait, _) if self.mode == Mode::Report => {
                // Nobody waits where nothing is refused: the next grant pays.
                if at < windows.len() {
                    part.owe(key, 1)
                } else {
                    part.forgo(key, 1)
                }
                return Decision::Pass;
            }
            (Taken::Wait, _) => {
                *memo = Memo::Waits(at as u32);
                return Decision::Ask(Ask::Peer { limit: part.limit(), key, until: now.after(self.wait) });
            }
            (Taken::NoRoom, _) if part.is_leased() => "plan_outage",
            (Taken::NoRoom | Taken::Yes(_) | Taken::No(_), _) => "plan_no_room",
        };
        let passes = part.is_leased() && self.kept.is_some_and(|kept| kept.on_outage == OnOutage::Open);
        let trouble = if passes { OnTrouble::Admit } else { self.uncountable };
        match trouble.in_mode(self.mode) {
            OnTrouble::Admit => report(reason, effects),
            OnTrouble::Refuse => {
                self.told.retry_after(Duration::ZERO, effects);
                self.refuse("plan_limited", "The caller's plan allows no more requests for now.")
            }
            OnTrouble::Unavailable => self.told.unavailable(reason, &self.name, effects),
        }
    }

    fn refuse(&self, reason: &'static str, detail: &'static str) -> Decision<'_> {
        let problem = Problem { kind: QUOTA_EXCEEDED, title: "Too many requests", detail, violated_policy: &self.name };
        Decision::Respond(LocalResponse { status: 429, reason, body: LocalBody::Problem(problem) })
    }

    fn lacks(&self, lacking: Lacking, effects: &mut Effects) -> Decision<'_> {
        let (reason, words) = lacking.words();
        if self.mode == Mode::Report {
            return report(reason, effects);
        }
        let detail = if self.detail.is_empty() { words } else { &self.detail };
        let problem = Problem { kind: "", title: "Forbidden", detail, violated_policy: "" };
        Decision::Respond(LocalResponse { status: 403, reason, body: LocalBody::Problem(problem) })
    }
}

fn report<'p>(reason: &'static str, effects: &mut Effects) -> Decision<'p> {
    effects.reported = Some(reason);
    Decision::Pass
}

/// What the plan that holds does not contain.
fn lacking<L>(plan: &directory::Plan, facts: &Facts<'_, L>) -> Option<Lacking> {
    let directory::Plan { methods, paths, .. } = plan;
    let method = facts.request.method_text();
    if !methods.is_empty() && !methods.iter().any(|allowed| allowed.as_bytes() == method) {
        return Some(Lacking::Method);
    }
    if paths.is_empty() {
        return None;
    }
    if readings::is_ambiguous(facts.path) {
        return Some(Lacking::ClearPath);
    }
    let within = paths.iter().any(|prefix| facts.path.starts_with(prefix.as_bytes()));
    (!within).then_some(Lacking::Path)
}

/// The part of all spans that are no unit of the calendar.
const ROLLING: usize = Period::UNITS.len();
/// The part of requests that are served at once.
const AT_ONCE: usize = ROLLING + 1;
/// Odd, so that no two spans of a subscriber are one.
const SPAN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests;
