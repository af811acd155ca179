// SPDX-License-Identifier: Apache-2.0
//! Hot. Refuses what the caller's plans do not contain: another route, method or path. How much of it a plan allows is
//! for the policies that limit, which ask for the same plan (`Facts::plan`).

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::directory;
use crate::policy::facts::Facts;
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::template::Lookup;

/// Refuses what the caller's plans do not contain.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What a refused client reads as `detail`; empty for what exactly is not contained.
    pub detail: Box<str>,
    /// Whether it refuses at all.
    pub mode: Mode,
}

/// Whether it refuses at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It notes what it would refuse in `Effects::reported`.
    Report,
}

/// What a caller's plans do not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacking {
    Route,
    Method,
    Path,
}

impl Lacking {
    /// The reason for the log, and what the client reads.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Lacking::Route => ("plan_route", "No plan of the caller contains this route."),
            Lacking::Method => ("plan_method", "The caller's plan does not contain this method."),
            Lacking::Path => ("plan_path", "The caller's plan does not contain this path."),
        }
    }
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Admit
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        let Some(lacking) = lacking(call.facts) else { return Decision::Pass };
        let (reason, words) = lacking.words();
        if self.mode == Mode::Report {
            call.effects.reported = Some(reason);
            return Decision::Pass;
        }
        let detail = if self.detail.is_empty() { words } else { &self.detail };
        let problem = Problem { kind: "", title: "Forbidden", detail, violated_policy: "" };
        Decision::Respond(LocalResponse { status: 403, reason, body: LocalBody::Problem(problem) })
    }

    fn needs_route(&self) -> Option<&'static str> {
        Some("`plan`")
    }

    fn needs_consumer(&self) -> bool {
        true
    }
}

/// What the plan that holds does not contain.
fn lacking<L>(facts: &Facts<'_, L>) -> Option<Lacking> {
    let Some(plan) = facts.plan() else { return Some(Lacking::Route) };
    let directory::Plan { methods, paths, .. } = plan;
    let method = facts.request.method_text();
    if !methods.is_empty() && !methods.iter().any(|allowed| allowed.as_bytes() == method) {
        return Some(Lacking::Method);
    }
    let within = || paths.iter().any(|prefix| facts.path.starts_with(prefix.as_bytes()));
    (!paths.is_empty() && !within()).then_some(Lacking::Path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{ConsumerId, PlanId};
    use crate::policy::directory::{
        Catalogue, Consumer, Directory, Own, Parts, Profile, Revision, Snapshot, Standing, Subscription,
    };
    use crate::policy::facts::Effects;
    use crate::policy::fixture::{Fixture, decide};
    use crate::policy::identity::Identity;

    fn enforce() -> Plan {
        Plan { detail: Box::default(), mode: Mode::Enforce }
    }

    fn directory() -> Directory {
        let list = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        let plan = directory::Plan {
            name: "gold".into(),
            routes: list(&["maps", "tiles"]),
            methods: list(&["GET", "HEAD"]),
            paths: list(&["/v1/", "/v2/public/"]),
            ..directory::Plan::default()
        };
        let subscriptions = Box::new([Subscription { product: None, plan: PlanId(0) }]);
        let profile = Arc::new(Profile { subscriptions, ..Profile::default() });
        let consumer = |number, profile| {
            Consumer::new(ConsumerId(number), &format!("c{number}"), Standing::Active, profile, Own::default())
        };
        let consumers = vec![consumer(1, profile), consumer(2, Arc::default())];
        let catalogue = Arc::new(Catalogue { plans: vec![Some(Arc::new(plan))], ..Catalogue::default() });
        Directory::new(Arc::new(Snapshot::new(Revision(1), Parts { consumers, catalogue, ..Parts::default() })))
    }

    #[test]
    fn what_no_plan_contains_is_refused() {
        const CASES: &[(u32, &str, &str, &str, Option<&str>)] = &[
            (1, "maps", "GET", "/v1/a", None),
            (1, "tiles", "HEAD", "/v2/public/", None),
            (1, "search", "GET", "/v1/a", Some("plan_route")),
            (1, "map", "GET", "/v1/a", Some("plan_route")),
            (1, "maps", "POST", "/v1/a", Some("plan_method")),
            (1, "maps", "get", "/v1/a", Some("plan_method")),
            (1, "maps", "GET", "/v2/private", Some("plan_path")),
            (1, "maps", "GET", "/V1/a", Some("plan_path")),
            (2, "maps", "GET", "/v1/a", Some("plan_route")),
            (3, "maps", "GET", "/v1/a", Some("plan_route")),
            (0, "maps", "GET", "/v1/a", Some("plan_route")),
        ];
        for (number, route, method, path, expected) in CASES {
            let mut fixture = Fixture::new(method, path);
            fixture.directory = directory();
            fixture.route_name = route;
            if *number > 0 {
                fixture.identity = Identity::of(ConsumerId(*number), "test");
            }
            let mut effects = Effects::default();
            let refused = match decide(&enforce(), &fixture.facts(), &mut effects) {
                Decision::Respond(response) => Some((response.status, response.reason)),
                _ => None,
            };
            assert_eq!(refused, expected.map(|reason| (403, reason)), "{number} {route} {method} {path}");
            let report = Plan { mode: Mode::Report, ..enforce() };
            assert_eq!(decide(&report, &fixture.facts(), &mut effects), Decision::Pass);
            assert_eq!(effects.reported, *expected);
        }
    }
}
