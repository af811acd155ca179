//! Hot. What a policy sees of a request, what it may change, and what it may decide.
//!
//! `Effects` is reused from request to request. `Answer` and `Ask` borrow from the policy's plan, so refusing costs no
//! allocation.

use std::net::IpAddr;
use std::time::Duration;

use smallvec::SmallVec;

use crate::base::{ConsumerId, FaultKind, ListenerId, RouteId, Scheme, Span, Tick, UpstreamId, Wall};
use crate::policy::text::append_json_string;
use crate::wire::head::{Request, ResponseHead};
use crate::wire::patch::Patch;

/// What is known of a request. `words` answers for template variables.
#[derive(Debug)]
pub struct Facts<'a, L> {
    /// Head and bytes as received.
    pub request: Request<'a>,
    /// The host without port, in lower case.
    pub host: &'a [u8],
    /// The normalised path.
    pub path: &'a [u8],
    /// The client's address, trusted proxies taken into account.
    pub client: IpAddr,
    /// How the client spoke to us.
    pub scheme: Scheme,
    /// Where it came in.
    pub listener: ListenerId,
    /// The route; `None` while screening before the route is known.
    pub route: Option<RouteId>,
    /// Who it is; the edge copies it from `Effects` after every policy.
    pub consumer: Option<ConsumerId>,
    /// The calendar.
    pub wall: Wall,
    /// What template variables are worth.
    pub words: &'a L,
}

/// A response head with its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The bytes that the head's spans point into.
    pub bytes: &'a [u8],
    /// The head.
    pub head: &'a ResponseHead,
}

/// What the policies of one exchange changed. Reused; `clear` keeps the memory.
#[derive(Debug, Default)]
pub struct Effects {
    /// Changes to the request on its way to the upstream.
    pub to_upstream: Patch,
    /// Changes to the response on its way to the client, also where the gateway answers itself.
    pub to_client: Patch,
    /// Who it is, once identified.
    pub consumer: Option<ConsumerId>,
    /// Pieces of the query (spans of `name=value` in the request's bytes) that the upstream must not see.
    pub query_removed: SmallVec<[Span; 2]>,
    /// What a policy would have refused, had it not been told to report only: its reason, for the access record.
    pub reported: Option<&'static str>,
    /// The request that `Ask::Subrequest` asks for.
    pub subrequest: Subrequest,
    pub(super) scratch: Vec<u8>,
}

/// A request that the gateway makes on its own behalf. It has no body.
#[derive(Debug, Default)]
pub struct Subrequest {
    /// Path and query.
    pub target: Vec<u8>,
    /// Its fields, all `added`; Host, Content-Length and hop-by-hop fields are the edge's.
    pub fields: Patch,
}

impl Effects {
    /// Forgets everything; keeps its memory.
    pub fn clear(&mut self) {
        self.to_upstream.clear();
        self.to_client.clear();
        self.consumer = None;
        self.query_removed.clear();
        self.reported = None;
        self.subrequest.target.clear();
        self.subrequest.fields.clear();
    }

    /// Appends the request's query, without `?` and without what was removed; says whether anything is left.
    pub fn append_query(&self, request: Request<'_>, out: &mut Vec<u8>) -> bool {
        let Some(query) = request.head.query else { return false };
        let before = out.len();
        let mut start = usize::from(query.start);
        for pair in query.of(request.bytes).split(|byte| *byte == b'&') {
            let removed = self.query_removed.iter().any(|span| usize::from(span.start) == start);
            start += pair.len() + 1;
            if removed {
                continue;
            }
            if out.len() > before {
                out.push(b'&');
            }
            out.extend_from_slice(pair);
        }
        self.query_removed.is_empty() || out.len() > before
    }
}

/// What a policy decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision<'p> {
    /// Go on, with what `Effects` says.
    Pass,
    /// Stop here and answer.
    Answer(Answer<'p>),
    /// Do this, then call `resume`.
    Ask(Ask<'p>),
}

/// An answer that the gateway gives itself; its extra fields are in `Effects::to_client`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<'p> {
    /// The status.
    pub status: u16,
    /// Why, for logs and metrics: one word of `[a-z_]`.
    pub reason: &'static str,
    /// What the client reads.
    pub body: Body<'p>,
}

/// The body of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'p> {
    /// None.
    Empty,
    /// An RFC 9457 problem.
    Problem(Problem<'p>),
}

/// An RFC 9457 problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Problem<'p> {
    /// `type`, a URI; empty for `about:blank`.
    pub kind: &'static str,
    /// `title`.
    pub title: &'static str,
    /// `detail`; left out where empty.
    pub detail: &'p str,
    /// `violated-policies` of the RateLimit draft; left out where empty.
    pub violated_policy: &'p str,
}

impl Problem<'_> {
    /// Appends it as `application/problem+json`.
    pub fn append_json(&self, status: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":");
        append_json_string(if self.kind.is_empty() { "about:blank" } else { self.kind }, out);
        out.extend_from_slice(b",\"title\":");
        append_json_string(self.title, out);
        out.extend_from_slice(b",\"status\":");
        super::text::append_decimal(u64::from(status), out);
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
    /// Send `Effects::subrequest` with `GET` to this upstream, wait for its head, drop its body, and resume with
    /// `Reply::Subrequest`.
    Subrequest {
        /// Where to.
        upstream: UpstreamId,
        /// The upstream's name, for logs.
        name: &'p str,
        /// How long it may take, from connect to the response's head.
        timeout: Duration,
    },
    /// Wait until a grant for this key of this policy arrives, and resume with `Reply::Granted`; at the deadline, with
    /// `Reply::Expired`. Where it asks again, the first deadline stays. What has to be sent lies in the policy's outbox
    /// (`Own::message`). The edge caps how many wait; above it, resume with `Reply::Expired` at once.
    Lease {
        /// The key that a `lease::Grant` will name.
        key: u64,
        /// Until when.
        until: Tick,
    },
}

/// What came of an `Ask`.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// The head of the answer to a subrequest.
    Subrequest(Response<'a>),
    /// The subrequest failed.
    Failed(FaultKind),
    /// A grant for the key arrived and was given to `Own::grant`.
    Granted,
    /// No grant came in time.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::Fixture;

    #[test]
    fn a_problem_is_json() {
        let problem = Problem { kind: "", title: "No", detail: "say \"please\"\n", violated_policy: "a\\b" };
        let mut out = Vec::new();
        problem.append_json(429, &mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["type"], "about:blank");
        assert_eq!(json["detail"], "say \"please\"\n");
        assert_eq!(json["violated-policies"][0], "a\\b");
        assert_eq!(json["status"], 429);
    }

    #[test]
    fn pieces_leave_the_query() {
        let fixture = Fixture::get("/x?a=1&key=s&b=2&");
        let query = fixture.head.query.unwrap();
        let mut effects = Effects::default();
        let mut out = Vec::new();
        assert!(effects.append_query(fixture.request(), &mut out));
        assert_eq!(out, b"a=1&key=s&b=2&");
        let start = usize::from(query.start) + 4;
        effects.query_removed.push(Span::new(start, start + 5));
        out.clear();
        assert!(effects.append_query(fixture.request(), &mut out));
        assert_eq!(out, b"a=1&b=2&");

        let only = Fixture::get("/x?key=s");
        let mut effects = Effects::default();
        effects.query_removed.push(only.head.query.unwrap());
        assert!(!effects.append_query(only.request(), &mut Vec::new()));
    }
}
