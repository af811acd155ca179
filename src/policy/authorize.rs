// SPDX-License-Identifier: Apache-2.0
//! Hot. Who may: groups, scopes, consumers, tenants, networks, countries, expressions, for a whole route or by method
//! and path.
//!
//! Everything that cannot be judged is refused: a path that two servers may read differently where rules look at paths,
//! an expression that fails. Fields and parameters that change the method at an origin are removed where rules look at
//! methods.

mod requirement;
mod rule;

use smallvec::SmallVec;

use crate::cel::Program;
use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::{Effects, Facts};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::policy::readings;
use crate::wire::template::Lookup;

pub(crate) use requirement::{Details, Lack, Requirement};
pub(crate) use rule::{Case, PathRule, Rule};

/// What is required.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of every request.
    pub always: Requirement,
    /// By method and path: the first that takes a request says what else is required of it.
    pub rules: Box<[Rule]>,
    /// What becomes of a request that no rule takes, where there are rules.
    pub otherwise: Otherwise,
    /// Expressions of which none may hold.
    pub deny: Box<[Program]>,
    /// How much a refused client is told.
    pub verbosity: Verbosity,
}

/// What becomes of a request that no rule takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It is refused.
    Refused,
    /// It passes.
    Passes,
}

/// How much a refused client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// That it is refused.
    Terse,
    /// What is missing, too.
    Verbose,
}

/// A shard's own expressions: their patterns have scratch memory, in which threads would meet at a lock.
#[derive(Debug)]
pub struct Expressions {
    deny: Box<[Program]>,
    always: Box<[Program]>,
    rules: Box<[Box<[Program]>]>,
}

impl ShardState<Plan> for Expressions {
    fn new(plan: &Plan, _: Shards, _: u32) -> Expressions {
        Expressions {
            deny: plan.deny.clone(),
            always: plan.always.allow.clone(),
            rules: plan.rules.iter().map(|rule| rule.requirement.allow.clone()).collect(),
        }
    }
}

impl Kind for Plan {
    type State = Expressions;
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Admit
    }

    fn decide<L: Lookup>(&self, own: &mut Expressions, call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        if own.deny.iter().any(|deny| deny.holds(facts) != Ok(false)) {
            return self.refuse(Lack::DENIED, facts, effects);
        }
        if let Some(lack) = self.always.lack(&own.always, facts) {
            return self.refuse(lack, facts, effects);
        }
        if self.rules.is_empty() {
            return Decision::Pass;
        }
        if self.rules.iter().any(Rule::looks_at_path) && readings::is_ambiguous(facts.path) {
            return self.refuse(Lack::AMBIGUOUS_PATH, facts, effects);
        }
        if self.rules.iter().any(Rule::looks_at_method) {
            readings::remove_overrides(facts.request, effects);
        }
        let mut lower: SmallVec<[u8; 128]> = SmallVec::new();
        if self.rules.iter().any(Rule::ignores_case) {
            lower.extend_from_slice(facts.path);
            lower.make_ascii_lowercase();
        }
        let mut rules = self.rules.iter().zip(&own.rules);
        let Some((rule, allow)) = rules.find(|(rule, _)| rule.takes(facts.request, facts.path, &lower)) else {
            return match self.otherwise {
                Otherwise::Refused => self.refuse(Lack::RULE, facts, effects),
                Otherwise::Passes => Decision::Pass,
            };
        };
        match rule.requirement.lack(allow, facts) {
            Some(lack) => self.refuse(lack, facts, effects),
            None => Decision::Pass,
        }
    }

    fn needs_consumer(&self) -> bool {
        let asks = |requirement: &Requirement| requirement.asks_identity();
        asks(&self.always)
            || self.rules.iter().any(|rule| asks(&rule.requirement))
            || self.deny.iter().any(Program::names_consumer)
    }

    fn needs_route(&self) -> Option<&'static str> {
        let requirements = self.rules.iter().map(|rule| &rule.requirement).chain([&self.always]);
        let mut programs = requirements.flat_map(|requirement| &requirement.allow).chain(&self.deny);
        programs.any(Program::names_route).then_some("an expression with `route` or `consumer.plan`")
    }
}

impl Plan {
    fn refuse<'p, L: Lookup>(&'p self, lack: Lack<'p>, facts: &Facts<'_, L>, effects: &mut Effects) -> Decision<'p> {
        if facts.identity.claims.is_some() {
            challenge(&lack, self.verbosity, effects);
        }
        let detail = if self.verbosity == Verbosity::Verbose { lack.detail } else { "" };
        let problem = Problem { kind: "", title: "Forbidden", detail, violated_policy: "" };
        Decision::Respond(LocalResponse { status: 403, reason: lack.reason, body: LocalBody::Problem(problem) })
    }
}

/// Tells a client that came with a token that the token is not enough (RFC 6750 section 3.1).
fn challenge(lack: &Lack<'_>, verbosity: Verbosity, effects: &mut Effects) {
    const START: &[u8] = b"Bearer error=\"insufficient_scope\"";
    if lack.scopes.is_empty() || verbosity == Verbosity::Terse {
        effects.to_client.add(b"WWW-Authenticate", START);
        return;
    }
    let mut value: SmallVec<[u8; 128]> = SmallVec::from_slice(START);
    value.extend_from_slice(b", scope=\"");
    for (at, scope) in lack.scopes.iter().enumerate() {
        value.extend_from_slice(if at > 0 { b" " } else { b"" });
        value.extend_from_slice(scope.as_bytes());
    }
    value.push(b'"');
    effects.to_client.add(b"WWW-Authenticate", &value);
}

#[cfg(test)]
mod tests;
