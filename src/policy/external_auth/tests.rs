// SPDX-License-Identifier: Apache-2.0
//! Tests of `external_auth`.

use super::*;
use crate::base::Tick;
use crate::policy::facts::Subrequest;
use crate::policy::fixture::{self, Fixture, NamedValues, added};

fn decide<'p>(plan: &'p Plan, facts: &Facts<'_, NamedValues>, effects: &mut Effects) -> Decision<'p> {
    let memo = &mut Memo::default();
    fixture::protect(plan, facts.request, effects);
    plan.decide(&mut Cache::default(), Call { facts, effects, memo, now: Tick::ZERO })
}

fn resume<'p>(
    plan: &'p Plan,
    facts: &Facts<'_, NamedValues>,
    outcome: AskOutcome<'_>,
    effects: &mut Effects,
) -> Decision<'p> {
    let memo = &mut Memo::default();
    plan.resume(&mut Cache::default(), Call { facts, effects, memo, now: Tick::ZERO }, outcome)
}

fn plan() -> Plan {
    let copied = |name: &str| Copied::Named(name.as_bytes().into());
    Plan {
        upstream: UpstreamId(4),
        name: "auth".into(),
        method: SubrequestMethod::Get,
        target: Target::Template(Template::compile("/check?x=1", &[]).unwrap()),
        body_bytes_max: None,
        original: OriginalFields::All,
        timeout: Duration::from_secs(1),
        forward: Forward::All,
        to_upstream: Box::new([copied("X-Auth-User")]),
        to_client: Box::new([copied("Set-Cookie")]),
        redirects: Redirects::Fail,
        refusals: Refusals::Own,
        cache: None,
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
    let passing = fixture::ResponseFixture::new(204).field("X-Auth-User", "anna").field("Set-Cookie", "t=2");
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
        .field("X-Auth-User", "x");
    assert!(matches!(resumed(&plan, &login, &mut effects), Decision::Respond(LocalResponse { status: 302, .. })));
    assert_eq!(added(&effects.to_client), [("Location", "/login"), ("Set-Cookie", "a=1")]);

    let odd = Plan { target: Target::Template(Template::compile("/check?u={header.X-Bad}", &[]).unwrap()), ..plan };
    let decision = decide(&odd, &fixture().facts(), &mut effects);
    assert!(
        matches!(decision, Decision::Respond(LocalResponse { status: 503, .. })),
        "a variable cannot break the request line"
    );
}

#[test]
fn refusals_are_passed_on_whole_where_that_is_said() {
    let plan = Plan { refusals: Refusals::Whole, ..plan() };
    let mut effects = Effects::default();
    for status in [302, 401, 403, 404, 429, 500] {
        let reply = fixture::ResponseFixture::new(status)
            .field("Content-Type", "text/html")
            .field("Location", "/login")
            .field("Content-Length", "3")
            .field("Transfer-Encoding", "chunked")
            .field("Connection", "close, X-Hop")
            .field("X-Hop", "1")
            .field("Set-Cookie", "a=1")
            .field("Set-Cookie", "b=2");
        let Decision::Respond(response) = resumed(&plan, &reply, &mut effects) else { panic!("{status}") };
        assert_eq!((response.status, response.body), (status, LocalBody::Kept));
        let expected =
            [("Content-Type", "text/html"), ("Location", "/login"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")];
        assert_eq!(added(&effects.to_client), expected);
        assert!(effects.subrequest.kept_bytes_max > 0);
    }
    let passing = fixture::ResponseFixture::new(200).field("X-Auth-User", "anna").field("X-Other", "1");
    assert_eq!(resumed(&plan, &passing, &mut effects), Decision::Pass);
    assert_eq!(added(&effects.to_upstream), [("X-Auth-User", "anna")]);
    assert!(matches!(
        resume(&plan, &fixture().facts(), AskOutcome::Failed, &mut effects),
        Decision::Respond(LocalResponse { status: 503, .. })
    ));
}

#[test]
fn a_prefix_copies_and_removes_all_fields_of_it() {
    let plan = Plan { to_upstream: Box::new([Copied::Prefixed((*b"X-Auth-").into())]), ..plan() };
    let mut effects = Effects::default();
    let forged = fixture().field("x_auth_role", "root").field("X-AUTH-", "root").field("X-Auth", "kept");
    decide(&plan, &forged.facts(), &mut effects);
    let left = forged.left(&effects.to_upstream);
    let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).filter(|name| name.contains("uth")).collect();
    assert_eq!(names, ["X-Auth"]);
    let reply = fixture::ResponseFixture::new(200).field("X-Auth-Role", "user").field("x-auth-id", "1").field("X", "2");
    assert_eq!(resume(&plan, &forged.facts(), AskOutcome::Subrequest(reply.response()), &mut effects), Decision::Pass);
    assert_eq!(added(&effects.to_upstream), [("X-Auth-Role", "user"), ("x-auth-id", "1")]);

    let all = Plan { to_upstream: Box::new([Copied::Prefixed(Box::default())]), ..plan };
    let reply = fixture::ResponseFixture::new(200).field("Host", "x").field("Content-Length", "9").field("X", "2");
    let mut effects = Effects::default();
    decide(&all, &forged.facts(), &mut effects);
    assert_eq!(resume(&all, &forged.facts(), AskOutcome::Subrequest(reply.response()), &mut effects), Decision::Pass);
    assert_eq!(added(&effects.to_upstream), [("X", "2")], "nothing of a connection or a body is copied");
}

#[test]
fn the_subrequest_may_be_that_of_envoy() {
    let plan = Plan {
        method: SubrequestMethod::Original,
        target: Target::Original((*b"/auth").into()),
        original: OriginalFields::Ends,
        body_bytes_max: Some(100),
        ..plan()
    };
    let mut fixture = fixture();
    let start = fixture.bytes.len();
    fixture.bytes.extend_from_slice(b"example.com");
    fixture.head.authority = crate::base::Span::new(start, fixture.bytes.len());
    let (mut cache, mut effects, mut memo) = (Cache::default(), Effects::default(), Memo::default());
    let facts = fixture.facts();
    fixture::protect(&plan, facts.request, &mut effects);
    let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
    assert_eq!(plan.decide(&mut cache, call), Decision::Ask(Ask::Body { bytes_max: 100 }));
    let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
    let decision = plan.resume(&mut cache, call, AskOutcome::Woken);
    assert!(matches!(decision, Decision::Ask(Ask::Subrequest { .. })));
    let Subrequest { target, method, host, body, fields, .. } = &effects.subrequest;
    assert_eq!(host, b"example.com");
    assert_eq!((&target[..], &method[..], *body), (&b"/auth/a?b=c"[..], &b"POST"[..], Carried::Body));
    let expected = [
        ("Cookie", "s=1"),
        ("Content-Type", "text/plain"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-For", "192.0.2.1"),
    ];
    assert_eq!(added(fields), expected);
    let reply = fixture::ResponseFixture::new(200);
    let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
    assert_eq!(plan.resume(&mut cache, call, AskOutcome::Subrequest(reply.response())), Decision::Pass);
}

/// Names and values of fields.
type Lines = &'static [(&'static str, &'static str)];

/// What the server says, and for how many seconds its verdict is remembered.
const LIFETIMES: &[(u16, Lines, u64)] = &[
    (200, &[], 0),
    (200, &[("Cache-Control", "max-age=5")], 5),
    (204, &[("cache-control", "public, Max-Age=5")], 5),
    (200, &[("Cache-Control", "max-age=500")], 60),
    (200, &[("Cache-Control", "max-age=5, s-maxage=3")], 3),
    (200, &[("Cache-Control", "max-age=5"), ("Cache-Control", "no-store")], 0),
    (200, &[("Cache-Control", "private, max-age=5")], 0),
    (200, &[("Cache-Control", "no-cache=\"x\", max-age=5")], 0),
    (200, &[("Cache-Control", "max-age")], 0),
    (200, &[("Cache-Control", "max-age=-5")], 0),
    (200, &[("Cache-Control", "max-age=0")], 0),
    (200, &[("Cache-Control", "max-age=5"), ("Set-Cookie", "a=b")], 0),
    (200, &[("Cache-Control", "max-age=5"), ("Vary", "*")], 0),
    (401, &[("Cache-Control", "max-age=5")], 5),
    (403, &[("Cache-Control", "max-age=5")], 5),
    (404, &[("Cache-Control", "max-age=5")], 0),
    (500, &[("Cache-Control", "max-age=5")], 0),
];

#[test]
fn verdicts_are_remembered_as_long_as_the_server_says() {
    for failure in [OnFailure::Refuse(503), OnFailure::Admit] {
        let by = ["{header.Authorization}", "{method}"].map(|text| Template::compile(text, &[]).unwrap());
        let cache = CachePlan { by: by.into(), keep_max: Duration::from_secs(60) };
        let plan = Plan { cache: Some(cache), failure, ..plan() };
        for (status, fields, seconds) in LIFETIMES {
            let named = fixture::ResponseFixture::new(*status).field("X-Auth-User", "anna");
            let reply = fields.iter().fold(named, |made, (name, value)| made.field(name, value));
            let (mut state, fixture) = (Cache::default(), fixture());
            let facts = fixture.facts();
            let mut run = |now: Tick| {
                let (mut effects, mut memo) = (Effects::default(), Memo::default());
                let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now };
                let mut decision = plan.decide(&mut state, call);
                let asked = matches!(decision, Decision::Ask(_));
                if asked {
                    let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now };
                    decision = plan.resume(&mut state, call, AskOutcome::Subrequest(reply.response()));
                }
                let told = added(&effects.to_upstream).iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
                (asked, decision, told)
            };
            let after = |seconds: u64| Tick::ZERO.after(Duration::from_secs(seconds));
            let (first, decision, told) = run(Tick::ZERO);
            assert!(first);
            if *seconds > 0 {
                assert_eq!(run(after(seconds - 1)), (false, decision, told), "{status} {fields:?}");
            }
            assert!(run(after(*seconds)).0, "{status} {fields:?}");
        }
    }
}

#[test]
fn what_a_verdict_depends_on_is_told_apart() {
    let by = ["{header.X-A}", "{header.X-B}"].map(|text| Template::compile(text, &[]).unwrap());
    let plan = CachePlan { by: by.into(), keep_max: Duration::from_secs(60) };
    struct Words(&'static str, &'static str);
    impl Lookup for Words {
        fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
            let Variable::Header(name) = variable else { return };
            out.extend_from_slice(if &**name == "X-A" { self.0.as_bytes() } else { self.1.as_bytes() });
        }
    }
    let keys = [
        (["GET", "", "/"], Words("ab", "c")),
        (["GET", "", "/"], Words("a", "bc")),
        (["GET", "", "/a"], Words("b", "c")),
        (["GET", "", "/"], Words("", "")),
        (["PUT", "", "/"], Words("", "")),
        (["GET", "a.test", "/"], Words("", "")),
        (["GET", "b.test", "/"], Words("", "")),
    ];
    let keys = keys.map(|(start, words)| plan.key(start.map(str::as_bytes), &words, &mut Vec::new()));
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key));
    }
}
