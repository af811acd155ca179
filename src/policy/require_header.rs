// SPDX-License-Identifier: Apache-2.0
//! Hot. Header fields that a request must have, with the matchers that routes have.

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::route::{FieldMatch, HeaderTests};
use crate::wire::status::reason;
use crate::wire::template::Lookup;

/// What a request must have, and what one without it gets.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All of them must hold; the first one that does not decides what the client reads.
    pub required: Box<[Required]>,
    /// The status of a refusal, 400 to 599.
    pub status: u16,
}

/// One field that a request must have.
#[derive(Clone, Debug)]
pub struct Required {
    /// Its name and its value. Of several lines with the name, each must match.
    pub field: FieldMatch,
    /// What a refused client reads as `detail`; may be empty.
    pub detail: Box<str>,
}

impl ShardState<Plan> for HeaderTests {
    fn new(plan: &Plan, _: Shards, _: u32) -> HeaderTests {
        HeaderTests::new(plan.required.iter().map(|required| &required.field))
    }
}

impl Kind for Plan {
    type State = HeaderTests;
    type Memo = ();

    fn phase(&self) -> Phase {
        // Behind preflights, which browsers send without the headers of the request that they ask for.
        Phase::Admit
    }

    fn decide<L: Lookup>(&self, tests: &mut HeaderTests, call: Call<'_, L, ()>) -> Decision<'_> {
        let Some(failed) = tests.first_that_fails(call.facts.request) else { return Decision::Pass };
        let (title, detail) = (reason(self.status), &self.required[failed].detail);
        let problem = Problem { kind: "", title, detail, violated_policy: "" };
        let body = LocalBody::Problem(problem);
        Decision::Respond(LocalResponse { status: self.status, reason: "header_required", body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tick;
    use crate::policy::facts::Effects;
    use crate::policy::fixture::Fixture;
    use crate::route::{ValueMatch, WholeRegex};

    /// The status and the detail of a refusal; `None` where the request passes.
    fn refused(required: &[(&str, ValueMatch)], request: &Fixture) -> Option<(u16, String)> {
        let required = required.iter().map(|(name, value)| Required {
            field: FieldMatch { name: (*name).into(), value: value.clone() },
            detail: format!("no {name}").into(),
        });
        let plan = Plan { required: required.collect(), status: 428 };
        let mut tests = HeaderTests::new(plan.required.iter().map(|required| &required.field));
        let facts = request.facts();
        let call = Call { facts: &facts, effects: &mut Effects::default(), memo: &mut (), now: Tick::ZERO };
        match plan.decide(&mut tests, call) {
            Decision::Pass => None,
            Decision::Respond(LocalResponse { status, body: LocalBody::Problem(problem), .. }) => {
                Some((status, problem.detail.to_owned()))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_required_field_is_there_in_any_case_and_with_any_value() {
        let required = [("X-Tenant", ValueMatch::Present)];
        assert_eq!(refused(&required, &Fixture::get("/").field("x-tenant", "")), None);
        let missing = Some((428, "no X-Tenant".to_owned()));
        assert_eq!(refused(&required, &Fixture::get("/").field("x-tenant-id", "a")), missing);
    }

    #[test]
    fn each_of_several_lines_must_match_as_a_whole() {
        let regex = ValueMatch::Regex(WholeRegex::new("[a-z]{3}").unwrap());
        let required = [("host", ValueMatch::Present), ("x-a", regex), ("x-b", ValueMatch::Exact("1".into()))];
        let request = |a: [&str; 2], b: &str| {
            Fixture::get("/").field("Host", "h").field("x-a", a[0]).field("x-a", a[1]).field("x-b", b)
        };
        assert_eq!(refused(&required, &request(["xyz", "abc"], "1")), None);
        for wrong in [["", "abc"], ["abc", "ab"], ["abcd", "abc"]] {
            assert_eq!(refused(&required, &request(wrong, "1")), Some((428, "no x-a".to_owned())), "{wrong:?}");
        }
        assert_eq!(refused(&required, &request(["abc", "abc"], "10")), Some((428, "no x-b".to_owned())));
        let twice = request(["abc", "abc"], "1").field("X-B", "2");
        assert_eq!(refused(&required, &twice), Some((428, "no x-b".to_owned())));
    }

    #[test]
    fn the_first_field_that_is_missing_is_named() {
        let required = [("x-a", ValueMatch::Present), ("x-b", ValueMatch::Present)];
        assert_eq!(refused(&required, &Fixture::get("/")), Some((428, "no x-a".to_owned())));
        assert_eq!(refused(&required, &Fixture::get("/").field("x-a", "1")), Some((428, "no x-b".to_owned())));
        assert_eq!(refused(&[("x-a", ValueMatch::Absent)], &Fixture::get("/")), None);
    }
}
