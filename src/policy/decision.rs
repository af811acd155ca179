// SPDX-License-Identifier: Apache-2.0
//! Hot. What a policy may decide: go on, a response of the gateway's own, or a wait for something.
//!
//! `LocalResponse` and `Ask` borrow from the policy's plan, so refusing costs no allocation.

use std::time::Duration;

use crate::base::ascii::push_decimal;
use crate::base::{Tick, UpstreamId};
use crate::policy::facts::Response;
use crate::policy::limit::LimitId;
use crate::policy::problem;
use crate::policy::text::append_json_string;

/// What a policy decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision<'p> {
    /// Go on, with what `Effects` says.
    Pass,
    /// Stop here and send this.
    Respond(LocalResponse<'p>),
    /// Do this, then call `resume`.
    Ask(Ask<'p>),
}

/// A response that the gateway makes itself; its extra fields are in `Effects::to_client`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponse<'p> {
    /// The status.
    pub status: u16,
    /// Why, for logs, metrics and the problem's `type`: one word of `[a-z_]`, which has a row in `problem`. A policy
    /// that identifies callers says `…_missing` where the request has no credentials of its kind, and something else
    /// where they are wrong.
    pub reason: &'static str,
    /// What the client reads.
    pub body: LocalBody<'p>,
}

impl LocalResponse<'_> {
    /// For what must not happen: a bug of ours refuses rather than lets pass.
    pub const INTERNAL: LocalResponse<'static> =
        LocalResponse { status: 500, reason: "internal", body: LocalBody::Empty };

    /// To a request that has no credentials, where several kinds of them would do.
    pub const NO_CREDENTIALS: LocalResponse<'static> = LocalResponse {
        status: 401,
        reason: "credentials_missing",
        body: LocalBody::Problem(Problem {
            kind: "",
            title: "Unauthorized",
            detail: "Credentials of one of these kinds are required.",
            violated_policy: "",
        }),
    };

    /// Does a policy that identifies callers refuse the request because it has no credentials of the policy's kind?
    pub fn lacks_credentials(&self) -> bool {
        matches!(self.status, 401 | 403) && self.reason.ends_with("_missing")
    }
}

/// The body of a local response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LocalBody<'p> {
    /// None.
    Empty,
    /// An RFC 9457 problem.
    Problem(Problem<'p>),
    /// The same as a page for a person.
    Page(Problem<'p>),
    /// `Subrequest::kept`, whose type is among the fields: what a subrequest brought, or what the policy has written
    /// there.
    Kept,
}

/// An RFC 9457 problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Problem<'p> {
    /// `type`, a URI; empty for the one that the reason has.
    pub kind: &'static str,
    /// `title`.
    pub title: &'static str,
    /// `detail`; left out where empty.
    pub detail: &'p str,
    /// `violated-policies` of the RateLimit draft; left out where empty.
    pub violated_policy: &'p str,
}

impl Problem<'_> {
    /// Appends it as a page. All texts are our own; what HTML would take for its own is left out all the same.
    pub fn append_page(&self, out: &mut Vec<u8>) {
        let text = |text: &str, out: &mut Vec<u8>| {
            out.extend(text.bytes().filter(|byte| !b"<>&\"'".contains(byte)));
        };
        out.extend_from_slice(b"<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>");
        text(self.title, out);
        out.extend_from_slice(b"</title>\n<h1>");
        text(self.title, out);
        out.extend_from_slice(b"</h1>\n<p>");
        text(self.detail, out);
        out.extend_from_slice(b"</p></html>\n");
    }

    /// Appends it as `application/problem+json`, for a response with this status and reason.
    pub fn append_json(&self, status: u16, reason: &'static str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":");
        match self.kind {
            "" => problem::append_type(reason, out),
            registered => append_json_string(registered, out),
        }
        out.extend_from_slice(b",\"title\":");
        append_json_string(self.title, out);
        out.extend_from_slice(b",\"status\":");
        push_decimal(out, u64::from(status));
        if !self.detail.is_empty() {
            out.extend_from_slice(b",\"detail\":");
            append_json_string(self.detail, out);
        }
        if !self.violated_policy.is_empty() {
            out.extend_from_slice(b",\"violated-policies\":[");
            append_json_string(self.violated_policy, out);
            out.push(b']');
        }
        out.extend_from_slice(b"}\n");
    }
}

/// What a policy needs that takes time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask<'p> {
    /// Send `Effects::subrequest` to this upstream, wait for the response's head, keep or drop its body as the
    /// subrequest says, and resume with `AskOutcome::Subrequest`.
    Subrequest {
        /// Where to.
        upstream: UpstreamId,
        /// The upstream's name, for logs.
        name: &'p str,
        /// How long it may take, from connect to the response's head.
        timeout: Duration,
    },
    /// Read the request's body, and resume with `AskOutcome::Woken`: then it is in `Facts::body`. It is forwarded all
    /// the same. A body of more than `bytes_max` gets 413. Only where `Kind::reads_body` says so.
    Body {
        /// The most bytes that it may have.
        bytes_max: u64,
    },
    /// Wait until this key of this limit of the policy is woken (`Part::next_woken`), and resume with
    /// `AskOutcome::Woken`; at the deadline, with `AskOutcome::Expired`. Where it asks again, the first deadline stays.
    /// What has to be sent to other shards lies in the limit's outbox. At most `WAITERS_MAX` wait; above it, resume
    /// with `AskOutcome::Expired` at once.
    Peer {
        /// Which limit.
        limit: LimitId,
        /// The key.
        key: u64,
        /// Until when.
        until: Tick,
    },
    /// Do nothing until then, and resume with `AskOutcome::Woken`. At most `WAITERS_MAX` wait; above it, resume with
    /// `AskOutcome::Expired` at once.
    Pause {
        /// Until when.
        until: Tick,
    },
    /// Send the questions that lie in this policy's state to the control plane, wait until an answer for this key came
    /// into the state, and resume with `AskOutcome::Woken`; at the deadline, with `AskOutcome::Expired`. Where it asks
    /// again, the first deadline stays. A question that cannot be sent is answered with `Answer::Busy` at once.
    Control {
        /// The key.
        key: u64,
        /// Until when.
        until: Tick,
    },
}

/// What came of an `Ask`.
#[derive(Clone, Copy, Debug)]
pub enum AskOutcome<'a> {
    /// The head of the response to a subrequest.
    Subrequest(Response<'a>),
    /// The subrequest failed.
    Failed,
    /// The key was woken, the pause is over, or the body is there.
    Woken,
    /// It was not woken in time, or too many wait.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_json() {
        let problem = Problem { kind: "", title: "No", detail: "say \"please\"\n", violated_policy: "a\\b" };
        let mut out = Vec::new();
        problem.append_json(429, "network_denied", &mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["type"], "urn:turnpike:problem:network_denied");
        assert_eq!(json["detail"], "say \"please\"\n");
        assert_eq!(json["violated-policies"][0], "a\\b");
        assert_eq!(json["status"], 429);
    }
}
