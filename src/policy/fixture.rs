// SPDX-License-Identifier: Apache-2.0
//! Requests and facts for the tests of policies, built by hand: these tests do not depend on a parser.

use std::net::IpAddr;

use crate::base::{Scheme, Span, Tick, Wall};
use crate::policy::decision::Decision;
use crate::policy::directory::Directory;
use crate::policy::facts::{Effects, Facts, Response};
use crate::policy::identity::Identity;
use crate::policy::kind::{Call, Kind};
use crate::policy::protected::Protected;
use crate::wire::certificate::ClientCertificate;
use crate::wire::field::Known;
use crate::wire::head::{Field, Fields, Method, Request, RequestHead, ResponseHead};
use crate::wire::patch::Patch;
use crate::wire::template::{Lookup, Variable};

/// A request with all that a policy may ask of it.
pub(super) struct Fixture {
    pub bytes: Vec<u8>,
    pub head: RequestHead,
    pub client: IpAddr,
    pub identity: Identity,
    pub directory: Directory,
    pub route_name: &'static str,
    pub consumer_name: &'static str,
    pub wall: Wall,
    pub body: Option<Vec<u8>>,
    pub certificate: Option<ClientCertificate>,
    pub words: NamedValues,
}

impl Fixture {
    pub(super) fn get(target: &str) -> Fixture {
        Fixture::new("GET", target)
    }

    pub(super) fn new(method: &str, target: &str) -> Fixture {
        let mut bytes = method.as_bytes().to_vec();
        let start = bytes.len();
        bytes.extend_from_slice(target.as_bytes());
        let target_span = Span::new(start, bytes.len());
        let path_end = target.find('?').map_or(bytes.len(), |at| start + at);
        let head = RequestHead {
            method: Method::of(method.as_bytes()),
            method_text: Span::new(0, start),
            target: target_span,
            path: Span::new(start, path_end),
            query: target.contains('?').then(|| Span::new(path_end + 1, bytes.len())),
            ..RequestHead::default()
        };
        Fixture {
            bytes,
            head,
            client: "192.0.2.1".parse().unwrap(),
            identity: Identity::default(),
            directory: Directory::default(),
            route_name: "route",
            consumer_name: "",
            wall: Wall(1_800_000_000_000_000),
            body: None,
            certificate: None,
            words: NamedValues,
        }
    }

    pub(super) fn field(mut self, name: &str, value: &str) -> Fixture {
        push(&mut self.head.fields, &mut self.bytes, name, value);
        self
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request { bytes: &self.bytes, head: &self.head }
    }

    pub(super) fn facts(&self) -> Facts<'_, NamedValues> {
        Facts {
            request: self.request(),
            path: self.head.path.of(&self.bytes),
            client: self.client,
            scheme: Scheme::Https,
            route_name: self.route_name,
            identity: &self.identity,
            consumer_name: self.consumer_name,
            directory: &self.directory,
            body: self.body.as_deref(),
            own_expression: None,
            certificate: self.certificate.as_ref(),
            wall: self.wall,
            words: &self.words,
        }
    }

    /// The names and values that are left when `patch` has removed what it removes.
    pub(super) fn left(&self, patch: &Patch) -> Vec<(String, String)> {
        left(&self.head.fields, &self.bytes, patch)
    }
}

/// A response.
pub(super) struct ResponseFixture {
    pub bytes: Vec<u8>,
    pub head: ResponseHead,
}

impl ResponseFixture {
    pub(super) fn new(status: u16) -> ResponseFixture {
        ResponseFixture { bytes: Vec::new(), head: ResponseHead { status, ..ResponseHead::default() } }
    }

    pub(super) fn field(mut self, name: &str, value: &str) -> ResponseFixture {
        push(&mut self.head.fields, &mut self.bytes, name, value);
        self
    }

    pub(super) fn response(&self) -> Response<'_> {
        Response { bytes: &self.bytes, head: &self.head }
    }

    pub(super) fn left(&self, patch: &Patch) -> Vec<(String, String)> {
        left(&self.head.fields, &self.bytes, patch)
    }
}

/// Answers every variable with its name in angle brackets; for the field `X-Bad`, with a line break.
#[derive(Debug)]
pub(super) struct NamedValues;

impl Lookup for NamedValues {
    fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
        match variable {
            Variable::ClientIp => out.extend_from_slice(b"192.0.2.1"),
            Variable::Header(name) if &**name == "X-Bad" => out.extend_from_slice(b"a\r\nInjected: yes"),
            Variable::Header(name) if &**name == "X-None" => {}
            Variable::Status => out.extend_from_slice(b"200"),
            other => out.extend_from_slice(format!("<{other:?}>").as_bytes()),
        }
    }
}

pub(super) fn added(patch: &Patch) -> Vec<(&str, &str)> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    patch.added().map(|(name, value)| (text(name), text(value))).collect()
}

fn push(fields: &mut Fields, bytes: &mut Vec<u8>, name: &str, value: &str) {
    let start = bytes.len();
    bytes.extend_from_slice(name.as_bytes());
    let middle = bytes.len();
    bytes.extend_from_slice(value.as_bytes());
    let known = Known::of(name.as_bytes());
    fields.push(Field { name: Span::new(start, middle), value: Span::new(middle, bytes.len()), known });
}

fn left(fields: &Fields, bytes: &[u8], patch: &Patch) -> Vec<(String, String)> {
    let text = |span: Span| String::from_utf8(span.of(bytes).to_vec()).unwrap();
    let kept = fields.list.iter().enumerate().filter(|(index, _)| !patch.is_removed(*index));
    kept.map(|(_, field)| (text(field.name), text(field.value))).collect()
}

/// Removes what only the policy may say, as the edge does before it asks one.
pub(super) fn protect<K: Kind>(plan: &K, request: Request<'_>, effects: &mut Effects) {
    let mut names = Protected::default();
    plan.protect(&mut names);
    names.remove(request, &mut effects.to_upstream);
}

/// Asks a policy that keeps and remembers nothing.
pub(super) fn decide<'p, K: Kind<State = ()>>(
    plan: &'p K,
    facts: &Facts<'_, NamedValues>,
    effects: &mut Effects,
) -> Decision<'p> {
    protect(plan, facts.request, effects);
    plan.decide(&mut (), Call { facts, effects, memo: &mut K::Memo::default(), now: Tick::ZERO })
}
