// SPDX-License-Identifier: Apache-2.0
//! When another attempt follows, and what it costs.

use std::rc::Rc;

use crate::balance::{Cluster, ClusterPlan, Endpoint, EndpointIndex, RetryBudgetPlan, Tried};
use crate::base::{Address, Fault, FaultKind, Rng, Tick, UpstreamId};
use crate::config::plan::RetryPlan;
use crate::edge::forward::retry::{Attempts, Bounds, STALE_MAX, Why};
use crate::edge::shard::scratch::Resend;
use crate::edge::upstream::load::Load;
use crate::link::{Counters, UpstreamCounter, UpstreamKey};
use crate::wire::grpc::{Code, CodeSet};

/// An upstream with two endpoints, and a route's `retry`.
struct Upstream {
    load: Rc<Load>,
    counters: Counters,
    plan: RetryPlan,
}

impl Upstream {
    /// Its budget allows so many retries within ten seconds.
    fn with_budget(per_second_min: u32) -> Upstream {
        let retry_budget = RetryBudgetPlan { per_cent: 0, per_second_min };
        let plan = ClusterPlan { retry_budget, outlier: None, ..ClusterPlan::default() };
        let endpoints = [1, 2].map(|port| Endpoint {
            address: Address::Inet(([127, 0, 0, 1], port).into()),
            name: "origin".into(),
            weight: 1,
            backup: false,
        });
        let retry = RetryPlan {
            tries: 3,
            per_try: None,
            statuses: vec![503],
            grpc_statuses: CodeSet::of(&[Code::Unavailable]),
            non_idempotent: false,
            body_bytes_max: 0,
        };
        let key = UpstreamKey { name: 0, since: 0 };
        let load = Load::new(Cluster::new(&plan, &endpoints), key, Rc::default());
        Upstream { load, counters: Counters::new(0, 1, 0), plan: retry }
    }

    fn bounds(&self) -> Bounds<'_> {
        Bounds {
            plan: &self.plan,
            load: &self.load,
            counters: &self.counters,
            upstream: UpstreamId(0),
            idempotent: true,
            resend: Resend::Possible,
            deadline: Tick::NEVER,
        }
    }

    fn pick(&self) -> EndpointIndex {
        let mut cluster = self.load.cluster.borrow_mut();
        cluster.pick(None, None, &Tried::NONE, Tick::ZERO, &mut Rng::new(1)).unwrap()
    }

    fn response(&self, status: u16) -> Why {
        Why::Response { status, code: None, from: self.pick() }
    }

    fn count(&self, counter: UpstreamCounter) -> u64 {
        self.counters.upstream_value(0, counter)
    }
}

fn failed(fault: Fault) -> Why {
    Why::Fault { fault, code: None }
}

/// How many attempts are made of a request of which each ends so.
fn attempts(bounds: &Bounds<'_>, why: Why) -> u32 {
    let mut attempts = Attempts::NONE;
    loop {
        let made = attempts.begin();
        let mut cluster = bounds.load.cluster.borrow_mut();
        let picked = cluster.pick(None, None, &attempts.tried, Tick::ZERO, &mut Rng::new(1));
        drop(cluster);
        picked.into_iter().for_each(|index| attempts.tried.insert(index));
        if !attempts.may_follow(bounds, why, Tick::ZERO) {
            return made;
        }
    }
}

#[test]
fn attempts_end_with_the_plan_of_the_route() {
    let upstream = Upstream::with_budget(100);
    let bounds = upstream.bounds();
    let closed = Fault::last(FaultKind::UpstreamClosed);
    assert_eq!(attempts(&bounds, upstream.response(503)), 3);
    assert_eq!(attempts(&bounds, failed(closed)), 3);
    assert_eq!(upstream.count(UpstreamCounter::Retries), 4);
    assert_eq!(upstream.count(UpstreamCounter::RetriesDenied), 0);
    assert_eq!(attempts(&bounds, upstream.response(500)), 1, "a status that is not listed");
    assert_eq!(attempts(&bounds, failed(Fault::last(FaultKind::BodyTooLarge))), 1, "nothing of the endpoint's");
}

#[test]
fn what_may_have_been_processed_is_repeated_only_where_that_does_no_harm() {
    let upstream = Upstream::with_budget(100);
    let bounds = Bounds { idempotent: false, ..upstream.bounds() };
    let closed = Fault::last(FaultKind::UpstreamClosed);
    assert_eq!(attempts(&bounds, failed(closed)), 1);
    assert_eq!(attempts(&bounds, failed(closed.on_reused())), 1);
    assert_eq!(attempts(&bounds, upstream.response(503)), 1);
    assert_eq!(attempts(&bounds, failed(Fault::unsent(FaultKind::ConnectFailed))), 4, "it was never sent");
    let code = Some(Code::Unavailable);
    assert_eq!(attempts(&bounds, Why::Response { status: 200, code, from: upstream.pick() }), 3);
    assert_eq!(attempts(&bounds, Why::Fault { fault: closed, code }), 3, "a reset with that meaning");
    let allowed = RetryPlan { non_idempotent: true, ..upstream.plan.clone() };
    assert_eq!(attempts(&Bounds { plan: &allowed, ..bounds }, upstream.response(503)), 3);
}

#[test]
fn an_attempt_that_nobody_failed_is_free_a_few_times() {
    let upstream = Upstream::with_budget(0);
    let bounds = upstream.bounds();
    let closed = Fault::last(FaultKind::UpstreamClosed).on_reused();
    assert_eq!(attempts(&bounds, failed(closed)), 1 + STALE_MAX);
    assert_eq!(upstream.count(UpstreamCounter::RetriesDenied), 0, "no budget was asked for");
    let refused = Fault::refused(FaultKind::UpstreamClosed);
    assert_eq!(attempts(&bounds, failed(refused)), 1 + STALE_MAX);
    assert_eq!(upstream.count(UpstreamCounter::RetriesDenied), 1, "the next one costs");
    let rich = Upstream::with_budget(100);
    assert_eq!(attempts(&rich.bounds(), failed(refused)), 3 + STALE_MAX, "then the attempts of the route");
}

#[test]
fn what_reached_no_endpoint_goes_on_to_all_of_them() {
    let upstream = Upstream::with_budget(0);
    let unsent = failed(Fault::unsent(FaultKind::ConnectFailed));
    assert_eq!(attempts(&upstream.bounds(), unsent), 2, "both endpoints, without a budget");
    assert_eq!(upstream.count(UpstreamCounter::RetriesDenied), 1, "asking one again costs");
    let once = RetryPlan { tries: 1, ..upstream.plan.clone() };
    assert_eq!(attempts(&Bounds { plan: &once, ..upstream.bounds() }, unsent), 1, "the route wants no retries");
}

#[test]
fn behind_a_closed_connection_comes_a_new_one() {
    let upstream = Upstream::with_budget(0);
    let mut attempts = Attempts::NONE;
    attempts.begin();
    assert!(attempts.trust(true).in_kept() && attempts.trust(false).in_kept());
    let closed = failed(Fault::last(FaultKind::UpstreamClosed).on_reused());
    assert!(attempts.may_follow(&upstream.bounds(), closed, Tick::ZERO));
    assert!(!attempts.trust(true).in_kept() && !attempts.trust(false).in_kept());
}

#[test]
fn a_closed_connection_says_nothing_of_its_endpoint_and_a_refusal_does() {
    let upstream = Upstream::with_budget(0);
    let index = upstream.pick();
    for (fault, remembered) in
        [(Fault::last(FaultKind::UpstreamClosed).on_reused(), false), (Fault::refused(FaultKind::UpstreamClosed), true)]
    {
        let mut attempts = Attempts::NONE;
        attempts.begin();
        attempts.tried.insert(index);
        assert!(attempts.may_follow(&upstream.bounds(), failed(fault), Tick::ZERO));
        assert_eq!(attempts.tried.contains(index), remembered);
    }
}

#[test]
fn a_budget_that_is_used_up_says_no() {
    let upstream = Upstream::with_budget(0);
    assert_eq!(attempts(&upstream.bounds(), upstream.response(503)), 1);
    assert_eq!(upstream.count(UpstreamCounter::RetriesDenied), 1);
    assert_eq!(upstream.count(UpstreamCounter::Retries), 0);
}

#[test]
fn no_attempt_follows_a_lost_body_a_deadline_or_a_response_on_its_way() {
    let upstream = Upstream::with_budget(100);
    let bounds = upstream.bounds();
    let why = upstream.response(503);
    assert_eq!(attempts(&Bounds { resend: Resend::Impossible, ..bounds }, why), 1);
    assert_eq!(attempts(&Bounds { deadline: Tick::ZERO, ..bounds }, why), 1);
    let mut begun = Attempts::NONE;
    begun.begin();
    begun.respond();
    assert!(!begun.may_follow(&bounds, failed(Fault::last(FaultKind::UpstreamTruncated)), Tick::ZERO));
    upstream.load.cluster.borrow_mut().set_endpoints(&[], Tick::ZERO);
    assert_eq!(attempts(&bounds, why), 1, "no endpoint could be asked");
    assert_eq!(upstream.count(UpstreamCounter::Retries) + upstream.count(UpstreamCounter::RetriesDenied), 0);
}
