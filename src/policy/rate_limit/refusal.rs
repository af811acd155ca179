// SPDX-License-Identifier: Apache-2.0
//! Hot. What a client gets that is above a limit, or that cannot be counted.

use std::time::Duration;

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::Effects;
use crate::policy::limit::parent::OnOutage;
use crate::policy::limiting::{Mode, OnTrouble};
use crate::policy::problem::QUOTA_EXCEEDED;
use crate::policy::rate_limit::Plan;

impl Plan {
    pub(super) fn trouble(&self, reason: &'static str, effects: &mut Effects) -> Decision<'_> {
        let passes = self.kept.is_some_and(|kept| kept.on_outage == OnOutage::Open);
        let trouble = if passes { OnTrouble::Admit } else { self.uncountable };
        match trouble.in_mode(self.mode) {
            OnTrouble::Admit => {
                effects.reported = Some(reason);
                Decision::Pass
            }
            OnTrouble::Refuse => self.refuse(Duration::ZERO, effects),
            OnTrouble::Unavailable => self.told.unavailable(reason, &self.name, effects),
        }
    }

    pub(super) fn refuse(&self, retry_after: Duration, effects: &mut Effects) -> Decision<'_> {
        self.told.retry_after(retry_after, effects);
        self.refusal("rate_limited")
    }

    pub(super) fn refuse_banned(&self, left: Duration, effects: &mut Effects) -> Decision<'_> {
        if self.mode == Mode::Report {
            effects.reported = Some("rate_limit_banned");
            return Decision::Pass;
        }
        self.told.retry_after(left, effects);
        self.refusal("rate_limit_banned")
    }

    /// What it would be counted by is missing.
    pub(super) fn refuse_unknown(&self, effects: &mut Effects) -> Decision<'_> {
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
}
