// SPDX-License-Identifier: Apache-2.0
//! Hot. What a policy sees of a request (`Facts`) and of a response, and what it may change (`Effects`).
//!
//! `Effects` is reused from request to request.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::base::{Scheme, Span, VersionId, Wall};
use crate::cel::Program;
use crate::policy::directory::{Directory, InForce, Plan};
use crate::policy::identity::Identity;
use crate::policy::throttle::{Bandwidth, KeyedRate};
use crate::wire::certificate::ClientCertificate;
use crate::wire::head::{Request, ResponseHead};
use crate::wire::patch::Patch;

/// What is known of a request. `words` answers for template variables.
#[derive(Debug)]
pub struct Facts<'a, L> {
    /// Head and bytes as received.
    pub request: Request<'a>,
    /// The normalised path.
    pub path: &'a [u8],
    /// The client's address, trusted proxies taken into account.
    pub client: IpAddr,
    /// How the client spoke to us.
    pub scheme: Scheme,
    /// The route's name; empty while it is not known.
    pub route_name: &'a str,
    /// Who it is, as far as policies before have found; the edge moves it here from `Effects::identified`.
    pub identity: &'a Identity,
    /// The consumer's name; empty where nobody is known.
    pub consumer_name: &'a str,
    /// Consumers, credentials, plans.
    pub directory: &'a Directory,
    /// The certificate that the client has shown, verified by TLS.
    pub certificate: Option<&'a ClientCertificate>,
    /// The request's body, where `Ask::Body` has read it and there is one.
    pub body: Option<&'a [u8]>,
    /// This shard's copy of the expression of the policy that is asked, where it has one.
    pub own_expression: Option<&'a Program>,
    /// The calendar.
    pub wall: Wall,
    /// What template variables are worth.
    pub words: &'a L,
}

impl<L> Facts<'_, L> {
    /// The plan that holds for the caller on the route.
    pub fn plan(&self) -> Option<&Plan> {
        self.in_force().map(|in_force| in_force.plan)
    }

    /// The same, with whose it is and for what.
    pub fn in_force(&self) -> Option<InForce<'_>> {
        self.directory.in_force(self.identity, self.route_name)
    }
}

/// A response head with its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The bytes that the head's spans point into.
    pub bytes: &'a [u8],
    /// The head.
    pub head: &'a ResponseHead,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this status; of a gRPC call the one that means the same as its code.
    Status(u16),
    /// The client got no response.
    NoResponse,
}

/// What the policies of one exchange changed. Reused; `clear` keeps the memory.
#[derive(Debug, Default)]
pub struct Effects {
    /// Changes to the request on its way to the upstream.
    pub to_upstream: Patch,
    /// Changes to the response on its way to the client, also where the gateway answers itself.
    pub to_client: Patch,
    /// Who it is, where the policy found out. It takes the place of what policies before have found.
    pub identified: Option<Identity>,
    /// Which version of an API it is for, once that is known.
    pub version: Option<VersionId>,
    /// Pieces of the query (spans of `name=value` in the request's bytes) that the upstream must not see.
    pub query_removed: SmallVec<[Span; 2]>,
    /// The reason for which a policy would have refused the request, where it only reports, or admits what it cannot
    /// judge. For the access record.
    pub reported: Option<&'static str>,
    /// How fast bodies may pass.
    pub bandwidth: Bandwidth,
    /// The rates that it shares with others.
    pub keyed_rates: Vec<KeyedRate>,
    /// A policy asks for `Kind::settle`.
    pub settles: bool,
    /// The request that `Ask::Subrequest` asks for.
    pub subrequest: Subrequest,
    /// Credentials that a policy decoded, until it has judged them.
    pub(super) credentials: Vec<u8>,
    pub(super) scratch: Vec<u8>,
}

/// A request that the gateway makes on its own behalf.
#[derive(Debug, Default)]
pub struct Subrequest {
    /// Its method; empty for `GET`.
    pub method: Vec<u8>,
    /// Path and query.
    pub target: Vec<u8>,
    /// Its `Host`; empty for the endpoint's own name.
    pub host: Vec<u8>,
    /// Its body.
    pub body: Carried,
    /// The most of the response's body that is kept; with zero it is dropped. A longer one is a failure.
    pub kept_bytes_max: usize,
    /// What was kept of the response's body, or what a policy responds with (`LocalBody::Kept`).
    pub kept: Vec<u8>,
    /// Its fields, all `added`; Host, Content-Length and hop-by-hop fields are the edge's.
    pub fields: Patch,
}

impl Subrequest {
    fn clear(&mut self) {
        self.method.clear();
        self.target.clear();
        self.host.clear();
        self.fields.clear();
        (self.body, self.kept_bytes_max) = (Carried::Nothing, 0);
        if self.kept.capacity() > 0 {
            // Few requests have one, so that its memory is not kept.
            self.kept = Vec::new();
        }
    }
}

/// The body of a subrequest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carried {
    /// None.
    #[default]
    Nothing,
    /// That of the client's request, which `Ask::Body` has read.
    Body,
}

impl Effects {
    /// Forgets everything; keeps its memory.
    pub fn clear(&mut self) {
        self.to_upstream.clear();
        self.to_client.clear();
        self.identified = None;
        self.version = None;
        self.query_removed.clear();
        self.reported = None;
        self.settles = false;
        self.bandwidth = Bandwidth::default();
        self.keyed_rates.clear();
        self.subrequest.clear();
        if !self.credentials.is_empty() {
            self.credentials.fill(0);
            self.credentials.clear();
        }
    }

    /// May bodies pass at a rate only?
    #[inline]
    pub fn slows(&self) -> bool {
        let Bandwidth { download, upload } = &self.bandwidth;
        (download.bytes_a_second | upload.bytes_a_second) > 0 || !self.keyed_rates.is_empty()
    }

    /// Appends the request's query, without `?` and without what was removed; says whether anything is left.
    pub fn append_query(&self, request: Request<'_>, out: &mut Vec<u8>) -> bool {
        let Some(query) = request.head.query else { return false };
        if self.query_removed.is_empty() {
            out.extend_from_slice(query.of(request.bytes));
            return true;
        }
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
        out.len() > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::Fixture;

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
