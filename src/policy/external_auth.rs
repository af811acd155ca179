// SPDX-License-Identifier: Apache-2.0
//! Hot. Another server says whether a request may pass, asked by a subrequest, as nginx's `auth_request` does:
//! 2xx passes, 401 and 403 refuse (401 with its `WWW-Authenticate`), everything else is a failure.
//!
//! The subrequest is a `GET` without a body. Fields that the server's answer may set on the way to the upstream are
//! always removed from the client's request first, so that a client cannot forge them.

use std::sync::Arc;
use std::time::Duration;

use crate::base::UpstreamId;
use crate::base::ascii::is_same_to_origin;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::{Effects, Facts, Response};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::field::Known;
use crate::wire::head::{Field, Fields, Request};
use crate::wire::patch::Patch;
use crate::wire::template::{Lookup, Template, Variable};

/// Whom to ask, and what to do with the answer.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The upstream that is asked.
    pub upstream: UpstreamId,
    /// Its name, for logs.
    pub name: Arc<str>,
    /// Path and query of the subrequest.
    pub target: Template,
    /// From connect to the answer's head.
    pub timeout: Duration,
    /// Which fields of the request the server sees.
    pub forward: Forward,
    /// Response fields that become request fields: from, to.
    pub to_upstream: Box<[Copied]>,
    /// Response fields that become response fields: from, to.
    pub to_client: Box<[Copied]>,
    /// What a redirect (3xx) in the answer means.
    pub redirects: Redirects,
    /// What happens when the server does not answer as it should.
    pub failure: OnFailure,
}

/// Which fields of the request the server sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// All but those of the connection, of the body, and those that an earlier policy removed.
    All,
    /// Those with these names.
    Only(Box<[Box<[u8]>]>),
}

/// A field that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its name in the server's answer.
    pub from: Box<[u8]>,
    /// Its name where it goes.
    pub to: Box<[u8]>,
}

/// What a redirect in the answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// A failure, as in nginx.
    Fail,
    /// The client is redirected, with `Location` and `Set-Cookie` from the answer: for login pages.
    Forward,
}

/// What happens when the server does not answer as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Refuse with this status, 500 or 503.
    Refuse(u16),
    /// Let the request through unchecked, and note why in `Effects::reported`.
    Admit,
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn needs_route(&self) -> Option<&'static str> {
        self.target.names_route().then_some("`{route}` in `path`")
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let request = facts.request;
        for copied in &self.to_upstream {
            effects.to_upstream.remove(&request.head.fields, request.bytes, &copied.to);
        }
        let Effects { to_upstream, subrequest, scratch, reported, .. } = effects;
        subrequest.target.clear();
        subrequest.fields.clear();
        self.target.render(facts.words, &mut subrequest.target);
        let safe = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
        if subrequest.target.first() != Some(&b'/') || !subrequest.target.iter().all(safe) {
            return self.fail("external_auth_target", reported);
        }
        for (index, field) in request.head.fields.list.iter().enumerate() {
            if !to_upstream.is_removed(index) && self.forwards(field, request) {
                subrequest.fields.add(field.name.of(request.bytes), field.value.of(request.bytes));
            }
        }
        add_original(facts, &mut subrequest.fields, scratch);
        Decision::Ask(Ask::Subrequest { upstream: self.upstream, name: &self.name, timeout: self.timeout })
    }

    fn resume<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>, outcome: AskOutcome<'_>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let response = match outcome {
            AskOutcome::Subrequest(response) => response,
            AskOutcome::Failed | AskOutcome::Expired | AskOutcome::Woken => {
                return self.fail("external_auth_failed", &mut effects.reported);
            }
        };
        match response.head.status {
            200..=299 => {
                let fields = &facts.request.head.fields;
                for copied in &self.to_upstream {
                    effects.to_upstream.remove(fields, facts.request.bytes, &copied.to);
                    copy(response, &copied.from, &copied.to, &mut effects.to_upstream);
                }
                self.copy_to_client(response, effects);
                Decision::Pass
            }
            401 => {
                copy(response, b"WWW-Authenticate", b"WWW-Authenticate", &mut effects.to_client);
                self.copy_to_client(response, effects);
                refuse(401, "Unauthorized")
            }
            403 => {
                self.copy_to_client(response, effects);
                refuse(403, "Forbidden")
            }
            status @ (301 | 302 | 303 | 307 | 308) if self.redirects == Redirects::Forward => {
                copy(response, b"Location", b"Location", &mut effects.to_client);
                copy(response, b"Set-Cookie", b"Set-Cookie", &mut effects.to_client);
                Decision::Respond(LocalResponse { status, reason: "external_auth_redirect", body: LocalBody::Empty })
            }
            _ => self.fail("external_auth_status", &mut effects.reported),
        }
    }
}

impl Plan {
    fn copy_to_client(&self, response: Response<'_>, effects: &mut Effects) {
        for copied in &self.to_client {
            copy(response, &copied.from, &copied.to, &mut effects.to_client);
        }
    }

    fn fail(&self, reason: &'static str, reported: &mut Option<&'static str>) -> Decision<'_> {
        match self.failure {
            OnFailure::Admit => {
                *reported = Some(reason);
                Decision::Pass
            }
            OnFailure::Refuse(status) => {
                let problem = Problem { kind: "", title: "Authorization unavailable", detail: "", violated_policy: "" };
                Decision::Respond(LocalResponse { status, reason, body: LocalBody::Problem(problem) })
            }
        }
    }

    fn forwards(&self, field: &Field, request: Request<'_>) -> bool {
        let name = field.name.of(request.bytes);
        let ours = ORIGINAL.iter().any(|ours| is_same_to_origin(name, ours));
        if ours || is_of_connection(field.known) || is_nominated(name, &request.head.fields, request.bytes) {
            return false;
        }
        match &self.forward {
            Forward::All => !is_of_body(name),
            Forward::Only(names) => names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)),
        }
    }
}

fn refuse<'p>(status: u16, title: &'static str) -> Decision<'p> {
    let problem = Problem { kind: "", title, detail: "", violated_policy: "" };
    Decision::Respond(LocalResponse { status, reason: "external_auth_denied", body: LocalBody::Problem(problem) })
}

/// Tells the server what the request was. The names are nginx's custom and those of forward-auth servers.
fn add_original<L: Lookup>(facts: &Facts<'_, L>, fields: &mut Patch, scratch: &mut Vec<u8>) {
    let request = facts.request;
    // The normalised path, as routes and the upstream see it: the server must judge the path that is served.
    scratch.clear();
    scratch.extend_from_slice(facts.path);
    if let Some(query) = request.head.query {
        scratch.push(b'?');
        scratch.extend_from_slice(query.of(request.bytes));
    }
    fields.add(b"X-Original-Method", request.method_text());
    fields.add(b"X-Original-URI", scratch);
    fields.add(b"X-Forwarded-Method", request.method_text());
    fields.add(b"X-Forwarded-Uri", scratch);
    fields.add(b"X-Forwarded-Host", request.authority());
    fields.add(b"X-Forwarded-Proto", facts.scheme.name().as_bytes());
    scratch.clear();
    facts.words.append(&Variable::ClientIp, scratch);
    fields.add(b"X-Forwarded-For", scratch);
}

fn copy(response: Response<'_>, from: &[u8], to: &[u8], patch: &mut Patch) {
    for field in &response.head.fields.list {
        let value = field.value.of(response.bytes);
        if field.name.of(response.bytes).eq_ignore_ascii_case(from) {
            patch.add(to, value);
        }
    }
}

/// RFC 9110 section 7.6.1, and what the edge writes itself.
fn is_of_connection(known: Known) -> bool {
    matches!(
        known,
        Known::Host
            | Known::Underscored
            | Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::ProxyAuthorization
            | Known::Te
            | Known::Trailer
            | Known::TransferEncoding
            | Known::ContentLength
            | Known::Upgrade
            | Known::Expect
            | Known::Http2Settings
            | Known::XForwardedFor
            | Known::XForwardedHost
            | Known::XForwardedProto
            | Known::XForwardedPort
            | Known::Forwarded
            | Known::MaxForwards
    )
}

fn is_of_body(name: &[u8]) -> bool {
    let starts = |start: &[u8]| name.get(..start.len()).is_some_and(|front| front.eq_ignore_ascii_case(start));
    starts(b"content-") || name.eq_ignore_ascii_case(b"digest") || name.eq_ignore_ascii_case(b"range")
}

/// Named by a `Connection` field: meant for us and not for anybody behind us.
fn is_nominated(name: &[u8], fields: &Fields, bytes: &[u8]) -> bool {
    let mut values = fields.values(bytes, Known::Connection);
    values.any(|value| value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(name)))
}

const ORIGINAL: [&[u8]; 4] = [b"x-original-method", b"x-original-uri", b"x-forwarded-method", b"x-forwarded-uri"];

#[cfg(test)]
mod tests {
    use super::*;

    use crate::policy::fixture::{self, Fixture, added, decide, resume};

    fn plan() -> Plan {
        let copied = |from: &str, to: &str| Copied { from: from.as_bytes().into(), to: to.as_bytes().into() };
        Plan {
            upstream: UpstreamId(4),
            name: "auth".into(),
            target: Template::compile("/check?x=1", &[]).unwrap(),
            timeout: Duration::from_secs(1),
            forward: Forward::All,
            to_upstream: Box::new([copied("X-User", "X-Auth-User")]),
            to_client: Box::new([copied("Set-Cookie", "Set-Cookie")]),
            redirects: Redirects::Fail,
            failure: OnFailure::Refuse(503),
        }
    }

    fn fixture() -> Fixture {
        Fixture::new("POST", "/a?b=c")
            .field("Host", "example.com")
            .field("Cookie", "s=1")
            .field("X-Auth-User", "root")
            .field("x-original-uri", "/public")
            .field("X_Original_URI", "/public")
            .field("X_Forwarded_For", "1.1.1.1")
            .field("X_Auth_User", "root")
            .field("X-Forwarded-For", "1.1.1.1")
            .field("Content-Type", "text/plain")
            .field("Content-Length", "3")
            .field("Connection", "close, X-Secret")
            .field("X-Secret", "1")
    }

    #[test]
    fn the_question_describes_the_request() {
        let (plan, fixture) = (plan(), fixture());
        let mut effects = Effects::default();
        let decision = decide(&plan, &fixture.facts(), &mut effects);
        let expected = Ask::Subrequest { upstream: UpstreamId(4), name: "auth", timeout: Duration::from_secs(1) };
        assert_eq!(decision, Decision::Ask(expected));
        assert_eq!(effects.subrequest.target, b"/check?x=1");
        let expected = [
            ("Cookie", "s=1"),
            ("X-Original-Method", "POST"),
            ("X-Original-URI", "/a?b=c"),
            ("X-Forwarded-Method", "POST"),
            ("X-Forwarded-Uri", "/a?b=c"),
            ("X-Forwarded-Host", ""),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-For", "192.0.2.1"),
        ];
        assert_eq!(added(&effects.subrequest.fields), expected);

        let only = Plan { forward: Forward::Only(Box::new([(*b"content-type").into()])), ..plan };
        decide(&only, &fixture.facts(), &mut effects);
        assert_eq!(added(&effects.subrequest.fields)[0], ("Content-Type", "text/plain"));
    }

    fn resumed<'p>(plan: &'p Plan, reply: &fixture::ResponseFixture, effects: &mut Effects) -> Decision<'p> {
        let fixture = fixture();
        effects.clear();
        decide(plan, &fixture.facts(), effects);
        resume(plan, &fixture.facts(), AskOutcome::Subrequest(reply.response()), effects)
    }

    #[test]
    fn answers_are_read_as_nginx_does() {
        let plan = plan();
        let mut effects = Effects::default();
        let passing = fixture::ResponseFixture::new(204).field("X-User", "anna").field("Set-Cookie", "t=2");
        assert_eq!(resumed(&plan, &passing, &mut effects), Decision::Pass);
        assert_eq!(added(&effects.to_upstream), [("X-Auth-User", "anna")]);
        assert_eq!(added(&effects.to_client), [("Set-Cookie", "t=2")]);
        let forged = fixture().left(&effects.to_upstream).iter().any(|(name, _)| name == "X-Auth-User");
        assert!(!forged, "what the client pretended is gone");

        let status = |reply: &fixture::ResponseFixture, effects: &mut Effects| match resumed(&plan, reply, effects) {
            Decision::Respond(local) => local.status,
            Decision::Pass | Decision::Ask(_) => 0,
        };
        let challenge =
            fixture::ResponseFixture::new(401).field("WWW-Authenticate", "Basic").field("www-authenticate", "Bearer");
        assert_eq!(status(&challenge, &mut effects), 401);
        assert_eq!(added(&effects.to_client), [("WWW-Authenticate", "Basic"), ("WWW-Authenticate", "Bearer")]);
        assert_eq!(status(&fixture::ResponseFixture::new(403), &mut effects), 403);
        for odd in [100, 302, 404, 429, 500, 503, 999] {
            assert_eq!(status(&fixture::ResponseFixture::new(odd), &mut effects), 503);
        }
    }

    #[test]
    fn a_silent_server_refuses_unless_told_otherwise() {
        let facts = fixture();
        let mut effects = Effects::default();
        for (failure, expected) in [(OnFailure::Refuse(500), Some(500)), (OnFailure::Admit, None)] {
            let plan = Plan { failure, ..plan() };
            decide(&plan, &facts.facts(), &mut effects);
            let reply = AskOutcome::Failed;
            let status = match resume(&plan, &facts.facts(), reply, &mut effects) {
                Decision::Respond(local) => Some(local.status),
                Decision::Pass | Decision::Ask(_) => None,
            };
            assert_eq!(status, expected);
            assert_eq!(effects.reported.is_some(), failure == OnFailure::Admit, "who is let in unchecked is noted");
            assert!(!facts.left(&effects.to_upstream).iter().any(|(name, _)| name == "X-Auth-User"));
        }
    }

    #[test]
    fn redirects_and_odd_targets() {
        let plan = Plan { redirects: Redirects::Forward, ..plan() };
        let mut effects = Effects::default();
        let login = fixture::ResponseFixture::new(302)
            .field("Location", "/login")
            .field("Set-Cookie", "a=1")
            .field("X-User", "x");
        assert!(matches!(resumed(&plan, &login, &mut effects), Decision::Respond(LocalResponse { status: 302, .. })));
        assert_eq!(added(&effects.to_client), [("Location", "/login"), ("Set-Cookie", "a=1")]);

        let odd = Plan { target: Template::compile("/check?u={header.X-Bad}", &[]).unwrap(), ..plan };
        let decision = decide(&odd, &fixture().facts(), &mut effects);
        assert!(
            matches!(decision, Decision::Respond(LocalResponse { status: 503, .. })),
            "a variable cannot break the request line"
        );
    }
}
