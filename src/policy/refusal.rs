// SPDX-License-Identifier: Apache-2.0
//! Hot. The refusals that policies which identify callers have in common.

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::Effects;

/// 401, with the challenge that says how to be identified (RFC 9110 section 11.6.1).
pub(super) fn refuse_unidentified<'p>(
    challenge: &[u8],
    reason: &'static str,
    detail: &'static str,
    effects: &mut Effects,
) -> Decision<'p> {
    effects.to_client.add(b"WWW-Authenticate", challenge);
    respond(401, "Unauthorized", reason, detail)
}

/// 503: what decides cannot say so in time.
pub(super) fn refuse_busy<'p>(reason: &'static str, detail: &'static str, effects: &mut Effects) -> Decision<'p> {
    effects.to_client.add(b"Retry-After", b"1");
    respond(503, "Service Unavailable", reason, detail)
}

fn respond<'p>(status: u16, title: &'static str, reason: &'static str, detail: &'static str) -> Decision<'p> {
    let problem = Problem { kind: "", title, detail, violated_policy: "" };
    Decision::Respond(LocalResponse { status, reason, body: LocalBody::Problem(problem) })
}
