// SPDX-License-Identifier: Apache-2.0
//! A browser, a policy, and a control plane whose answers are made up.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::base::limits::LOGINS_IN_A_ROW_MAX;
use crate::policy::decision::{LocalBody, LocalResponse};
use crate::policy::fixture::{self, Fixture, NamedValues, ResponseFixture, added};
use crate::policy::login::cookie::Transport;
use crate::policy::login::session::tests::session as plain_session;
use crate::policy::login::ticket::STATE_CHARS;
use crate::policy::login::{LoginFault, LoginStep, Revocation, Whom};
use crate::policy::tell::ConsumerFields;
use crate::policy::token::{ClaimPath, Credential};

const NOW: Wall = Wall(1_800_000_000_000_000);
const MINUTE: u64 = 60_000_000;

fn keys() -> SealingKeys {
    SealingKeys::new([&b"a secret of thirty-two characters"[..]].into_iter(), "test")
}

fn plan() -> Plan {
    let path = |text: &str| Some(text.as_bytes().into());
    Plan {
        source: SourceId(7),
        scope: "scope".into(),
        paths: Paths {
            callback: (*b"/callback").into(),
            login: path("/login"),
            logout: path("/logout"),
            notice: path("/notice"),
        },
        cookies: CookiePlan { name: "__Host-session".into(), transport: Transport::Secure },
        keys: keys(),
        lifetime: Lifetime { whole: Duration::from_secs(3_600), idle: Some(Duration::from_secs(600)) },
        stale: Duration::from_secs(60),
        rules: Rules::default(),
        consumer: None,
        to_upstream: ToUpstream {
            credential: Credential::Removed,
            consumer: ConsumerFields::Omitted,
            claims: [(ClaimPath::new("sub"), (*b"X-User").into())].into(),
        },
        access_field: Some((*b"X-Access-Token").into()),
        anonymous: None,
        after_logout: None,
        challenge: (*b"OpenIDConnect").into(),
        wait: Duration::from_secs(5),
        sessions_kept: 8,
    }
}

fn session() -> Session {
    Session { begun: NOW.0, renewed: NOW.0, ..plain_session() }
}

fn sealed(session: &Session) -> String {
    keys().seal(Purpose::Session, &serde_json::to_vec(session).unwrap(), [1; 12]).unwrap()
}

fn page(target: &str) -> Fixture {
    let mut fixture = Fixture::get(target).field("Accept", "text/html");
    fixture.wall = NOW;
    fixture
}

/// The policy on one shard.
struct Shard {
    plan: Plan,
    state: State,
    now: Tick,
}

/// What came of a request.
#[derive(Debug)]
struct Outcome {
    /// The status and reason of a refusal or redirect; `None` where it passed.
    said: Option<(u16, &'static str)>,
    is_page: bool,
    effects: Effects,
    memo: Memo,
}

impl Outcome {
    fn field(&self, name: &str) -> Vec<&str> {
        added(&self.effects.to_client).into_iter().filter(|(known, _)| *known == name).map(|(_, value)| value).collect()
    }

    fn location(&self) -> &str {
        self.field("Location")[0]
    }
}

impl Shard {
    fn new(plan: Plan) -> Shard {
        let state = State::new(&plan, Shards { own: Default::default(), count: 1 }, 1);
        Shard { plan, state, now: Tick::ZERO }
    }

    /// Serves a request; `answer` is what the control plane says, if it is asked.
    fn serve(&mut self, fixture: &Fixture, mut answer: impl FnMut(&LoginStep) -> Option<Answer>) -> Outcome {
        let (mut effects, mut memo) = (Effects::default(), Memo::default());
        let facts = fixture.facts();
        let now = self.now;
        fixture::protect(&self.plan, facts.request, &mut effects);
        let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now };
        let mut decision = self.plan.decide(&mut self.state, call);
        let said = loop {
            match decision {
                Decision::Pass => break None,
                Decision::Respond(LocalResponse { status, reason, body }) => break Some((status, reason, body)),
                Decision::Ask(Ask::Body { .. }) => {}
                Decision::Ask(_) => {
                    while let Some((key, Question::Login(_, step))) = self.state.next_question() {
                        if let Some(answer) = answer(&step) {
                            self.state.receive(key, answer, now);
                        }
                    }
                }
            }
            let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now };
            decision = self.plan.resume(&mut self.state, call, AskOutcome::Woken);
        };
        let is_page = matches!(said, Some((_, _, LocalBody::Page(_))));
        Outcome { said: said.map(|(status, reason, _)| (status, reason)), is_page, effects, memo }
    }

    fn unasked(&mut self, fixture: &Fixture) -> Outcome {
        self.serve(fixture, |step| panic!("nobody is asked: {step:?}"))
    }
}

fn login(answer: LoginAnswer) -> Option<Answer> {
    Some(Answer::Login(Arc::new(answer)))
}

fn begun(step: &LoginStep) -> Option<Answer> {
    let LoginStep::Begin { return_to } = step else { panic!("a login begins: {step:?}") };
    let location = format!("https://login.test/?then={return_to}").into();
    login(LoginAnswer::Begun { location, state: "s".repeat(STATE_CHARS).into(), ticket: "sealed".into() })
}

#[test]
fn a_page_is_sent_to_the_issuer_and_nothing_else_is() {
    let mut shard = Shard::new(plan());
    let outcome = shard.serve(&page("/orders?x=1"), begun);
    assert_eq!(outcome.said, Some((303, "oidc_redirect")));
    assert_eq!(outcome.location(), "https://login.test/?then=/orders?x=1");
    let cookie = "__Host-session-login-ssssssssssss=sealed; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure";
    assert_eq!(outcome.field("Set-Cookie"), [cookie]);
    assert_eq!(outcome.field("Cache-Control"), ["no-store"]);

    for fixture in [Fixture::get("/"), Fixture::new("POST", "/").field("Accept", "text/html")] {
        let outcome = shard.unasked(&fixture);
        assert_eq!((outcome.said, outcome.is_page), (Some((401, "oidc_missing")), false));
        assert_eq!(outcome.field("WWW-Authenticate"), ["OpenIDConnect"]);
    }
}

#[test]
fn a_browser_never_comes_back_to_another_origin() {
    for (target, then) in [
        ("//evil.test/x", "/"),
        ("/login?return_to=/deep%3Fa%3Db", "/deep?a=b"),
        ("/login", "/"),
        ("/login?return_to=//evil.test", "/"),
        ("/login?return_to=%2F%2Fevil.test", "/"),
        ("/login?return_to=/%5Cevil.test", "/"),
        ("/login?return_to=https://evil.test", "/"),
        ("/login?return_to=/a&return_to=//evil.test", "/"),
        ("/login?return_to=/%0d%0aX:y", "/"),
        ("/login?return_to=%09//evil.test", "/"),
    ] {
        let outcome = Shard::new(plan()).serve(&page(target), begun);
        assert_eq!(outcome.location(), format!("https://login.test/?then={then}"), "{target}");
    }
}

#[test]
fn whoever_signed_in_passes_and_the_upstream_learns_who_it_is() {
    let mut shard = Shard::new(plan());
    let session = Session { access_token: Some("access".to_owned()), ..session() };
    let cookie = format!("a=1; __Host-session=1.{}; __Host-session-tries=2", sealed(&session));
    let fixture = page("/").field("Cookie", &cookie).field("X_User", "mallory").field("X-Access-Token", "mine");
    let outcome = shard.unasked(&fixture);
    assert_eq!(outcome.said, None);
    let identity = outcome.effects.identified.as_ref().unwrap();
    assert_eq!((identity.method, identity.claims.as_ref().unwrap().subject.as_deref()), (Some("oidc"), Some("anna")));
    assert!(fixture.left(&outcome.effects.to_upstream).iter().all(|(name, _)| name == "Accept"));
    let told = [("Cookie", "a=1"), ("X-User", "anna"), ("X-Access-Token", "access")];
    assert_eq!(added(&outcome.effects.to_upstream), told);
    assert!(outcome.field("Set-Cookie")[0].starts_with("__Host-session-tries=; Path=/; Max-Age=0"));
}

#[test]
fn what_is_no_session_is_none() {
    let good = sealed(&session());
    let (mut changed, other) = (good.clone().into_bytes(), SealingKeys::new([&b"another"[..]].into_iter(), "test"));
    changed[40] ^= 1;
    let changed = String::from_utf8_lossy(&changed).into_owned();
    let text = serde_json::to_vec(&session()).unwrap();
    let foreign = other.seal(Purpose::Session, &text, [1; 12]).unwrap();
    let ticket = keys().seal(Purpose::Ticket, &text, [1; 12]).unwrap();
    let old = sealed(&Session { renewed: NOW.0 - 11 * MINUTE, begun: NOW.0 - 11 * MINUTE, ..session() });
    let aged = sealed(&Session { begun: NOW.0 - 60 * MINUTE, ..session() });
    let future = sealed(&Session { renewed: NOW.0 + 6 * MINUTE, ..session() });
    let (front, back) = good.split_at(50);
    let (_, other_back) = aged.split_at(50);
    for (cookie, known) in [
        (format!("__Host-session=1.{good}"), true),
        (format!("__Host-session=2.{front}; __Host-session.1={back}"), true),
        (format!("__Host-session=2.{front}; __Host-session.1={other_back}"), false),
        (format!("__Host-session=1.{good}; __Host-session=1.{good}"), false),
        (format!("session=1.{good}"), false),
        (format!("__Host-session=1.{changed}"), false),
        (format!("__Host-session=1.{foreign}"), false),
        (format!("__Host-session=1.{ticket}"), false),
        (format!("__Host-session=1.{old}"), false),
        (format!("__Host-session=1.{aged}"), false),
        (format!("__Host-session=1.{future}"), false),
        (format!("__Host-session=1.{good}="), false),
    ] {
        let mut fixture = Fixture::get("/").field("Cookie", &cookie);
        fixture.wall = NOW;
        let outcome = Shard::new(plan()).unasked(&fixture);
        assert_eq!(outcome.said.is_none(), known, "{cookie}");
    }
}

#[test]
fn a_revoked_session_ends_at_once() {
    for (whom, ends) in [
        (Whom::session("id"), true),
        (Whom::subject("scope", "anna"), true),
        (Whom::sid("scope", "s"), true),
        (Whom::subject("scope", "bob"), false),
    ] {
        let mut shard = Shard::new(plan());
        let session = Session { sid: Some("s".to_owned()), ..session() };
        let mut fixture = Fixture::get("/").field("Cookie", &format!("__Host-session=1.{}", sealed(&session)));
        fixture.wall = NOW;
        assert_eq!(shard.unasked(&fixture).said, None);
        let revocation = Revocation { whom, begun: NOW, until: Wall(u64::MAX) };
        let told = Revocations { list: [revocation].into(), line: Wall(0) };
        ShardState::<Plan>::revoke(&mut shard.state, &told, NOW);
        assert_eq!(shard.unasked(&fixture).said.is_some(), ends, "{whom:?}");
    }
}

#[test]
fn a_callback_needs_the_ticket_of_this_browser() {
    let state = "s".repeat(STATE_CHARS);
    let ticket = "__Host-session-login-ssssssssssss=sealed";
    let other = "__Host-session-login-tttttttttttt=sealed";
    let good = format!("/callback?code=c&state={state}");
    for (target, cookie, said) in [
        (good.clone(), ticket, None),
        (format!("/callback?error=access_denied&state={state}"), ticket, None),
        (good.clone(), other, Some((400, "oidc_state"))),
        (good.clone(), "a=1", Some((400, "oidc_state"))),
        (good.clone(), &*format!("{ticket}; {ticket}"), Some((400, "oidc_state"))),
        (format!("{good}&state={state}"), ticket, Some((400, "oidc_response"))),
        (format!("{good}&code=d"), ticket, Some((400, "oidc_response"))),
        (format!("/callback?state={state}"), ticket, Some((400, "oidc_response"))),
        (format!("/callback?code=&state={state}"), ticket, Some((400, "oidc_response"))),
        ("/callback?code=c&state=short".to_owned(), ticket, Some((400, "oidc_response"))),
        ("/callback?code=c".to_owned(), ticket, Some((400, "oidc_response"))),
        ("/callback".to_owned(), ticket, Some((400, "oidc_response"))),
    ] {
        let mut asked = false;
        let outcome = Shard::new(plan()).serve(&page(&target).field("Cookie", cookie), |step| {
            let LoginStep::Finish(returned) = step else { panic!("a login ends: {step:?}") };
            assert_eq!((&*returned.ticket, &*returned.state), ("sealed", &*state));
            asked = true;
            login(LoginAnswer::Refused(LoginFault::Denied))
        });
        assert_eq!(outcome.said, said.or(Some((403, "oidc_denied"))), "{target} {cookie}");
        assert_eq!((asked, outcome.is_page), (said.is_none(), true), "{target} {cookie}");
        assert!(outcome.field("Location").is_empty(), "a login that fails is no redirect");
    }
}

#[test]
fn a_login_ends_with_a_session_and_the_page_that_was_asked_for() {
    let mut shard = Shard::new(plan());
    let (state, text) = ("s".repeat(STATE_CHARS), sealed(&session()));
    let fixture = page(&format!("/callback?code=c&state={state}"))
        .field("Cookie", "__Host-session-login-ssssssssssss=sealed; __Host-session-tries=1");
    let finished = LoginAnswer::Finished { sealed: text.clone().into(), return_to: "/orders".into() };
    let outcome = shard.serve(&fixture, |_| login(finished.clone()));
    assert_eq!((outcome.said, outcome.location()), (Some((303, "oidc_redirect")), "/orders"));
    let cookies = outcome.field("Set-Cookie");
    assert!(cookies[0].starts_with(&format!("__Host-session=1.{text}; Path=/; Max-Age=3600")));
    assert!(cookies[1].starts_with("__Host-session-login-ssssssssssss=; Path=/; Max-Age=0"));
    assert!(cookies[2].starts_with("__Host-session-tries=2; Path=/; Max-Age=60"));
}

#[test]
fn a_browser_that_keeps_no_session_is_not_sent_round_and_round() {
    for tries in 0..LOGINS_IN_A_ROW_MAX + 2 {
        let fixture = page("/").field("Cookie", &format!("__Host-session-tries={tries}"));
        let outcome = Shard::new(plan()).serve(&fixture, begun);
        let expected = if tries < LOGINS_IN_A_ROW_MAX { (303, "oidc_redirect") } else { (400, "oidc_loop") };
        assert_eq!(outcome.said, Some(expected), "{tries}");
    }
}

#[test]
fn a_session_is_renewed_in_time_and_goes_on_while_that_is_not_possible() {
    let due = Session { renewed: NOW.0 - 2 * MINUTE, begun: NOW.0 - 2 * MINUTE, ..session() };
    let late = Session { access_until: Some(NOW.seconds() - 59), refresh_token: Some("r".to_owned()), ..due.clone() };
    let gone = Session { access_until: Some(NOW.seconds() - 61), ..late.clone() };
    let fresh = sealed(&session());
    let renewed = LoginAnswer::Renewed { sealed: fresh.clone().into() };
    for (session, answer, said, changes) in [
        (&due, login(renewed.clone()), None, true),
        (&late, login(renewed.clone()), None, true),
        (&gone, login(renewed), None, true),
        (&due, Some(Answer::Unavailable), None, false),
        (&late, Some(Answer::Busy), None, false),
        (&gone, Some(Answer::Unavailable), Some((503, "identity_unavailable")), false),
        (&gone, None, Some((503, "identity_unavailable")), false),
        (&due, login(LoginAnswer::Over), Some((401, "oidc_missing")), false),
    ] {
        let mut shard = Shard::new(plan());
        let mut fixture = Fixture::get("/").field("Cookie", &format!("__Host-session=1.{}", sealed(session)));
        fixture.wall = NOW;
        let mut outcome = shard.serve(&fixture, |step| {
            assert!(matches!(step, LoginStep::Renew { .. }));
            answer.clone()
        });
        assert_eq!(outcome.said, said, "{answer:?}");
        let cookies: Vec<String> = outcome.field("Set-Cookie").into_iter().map(str::to_owned).collect();
        assert_eq!(cookies.first().is_some_and(|line| line.contains(&fresh)), changes, "{answer:?}");
        if said.is_some() {
            continue;
        }
        let response = ResponseFixture::new(200).field("Cache-Control", "public");
        let (memo, effects) = (&mut outcome.memo, &mut outcome.effects);
        shard.plan.adapt(memo, response.response(), &NamedValues, effects);
        assert_eq!(outcome.field("Cache-Control"), if changes { &["no-store"][..] } else { &[] });
    }
}

#[test]
fn signing_out_ends_the_cookies_and_no_other_site_may_ask_for_it() {
    let cookie = format!("__Host-session=2.{}; __Host-session.1=x", sealed(&session()));
    for (location, after, status) in
        [(Some("https://login.test/end"), None, 303), (None, Some("/bye"), 303), (None, None, 200)]
    {
        let plan = Plan { after_logout: after.map(Box::from), ..plan() };
        let ended = LoginAnswer::Ended { location: location.map(Box::from) };
        let outcome = Shard::new(plan).serve(&page("/logout").field("Cookie", &cookie), |_| login(ended.clone()));
        assert_eq!(outcome.said.unwrap().0, status);
        assert_eq!(outcome.field("Location"), location.or(after).as_slice());
        assert!(outcome.field("Set-Cookie").iter().all(|line| line.contains("=; Path=/; Max-Age=0")));
        assert_eq!(outcome.field("Set-Cookie").len(), 2);
    }
    let fixture = page("/logout").field("Cookie", &cookie).field("Sec-Fetch-Site", "cross-site");
    assert_eq!(Shard::new(plan()).unasked(&fixture).said, Some((403, "oidc_cross_site")));
    let outcome = Shard::new(plan()).serve(&page("/logout").field("Cookie", &cookie), |_| None);
    assert_eq!(outcome.said, Some((503, "identity_unavailable")));
    assert_eq!(outcome.field("Set-Cookie").len(), 2, "here it has ended all the same");
}

#[test]
fn a_notice_is_one_form_with_one_token() {
    for (body, answer, said) in [
        ("logout_token=t", LoginAnswer::Noticed, (200, "oidc_noticed")),
        ("logout_token=t", LoginAnswer::Refused(LoginFault::Token), (400, "oidc_logout_token")),
        ("logout_token=t&logout_token=u", LoginAnswer::Noticed, (400, "oidc_logout_token")),
        ("", LoginAnswer::Noticed, (400, "oidc_logout_token")),
    ] {
        let mut fixture = Fixture::new("POST", "/notice");
        fixture.body = Some(body.as_bytes().to_vec());
        let outcome = Shard::new(plan()).serve(&fixture, |_| login(answer.clone()));
        assert_eq!((outcome.said, outcome.field("Cache-Control")), (Some(said), vec!["no-store"]), "{body}");
    }
    assert_eq!(Shard::new(plan()).unasked(&Fixture::get("/notice")).said, Some((405, "oidc_method")));
}

#[test]
fn an_account_without_the_claims_gets_a_page() {
    let rules = Rules { equal: [(ClaimPath::new("groups"), [Box::from("staff")].into())].into(), ..Rules::default() };
    for (groups, said) in [(json!(["staff"]), None), (json!(["guests"]), Some((403, "oidc_claims")))] {
        let mut own = session();
        own.claims.insert("groups".to_owned(), groups);
        let fixture = page("/").field("Cookie", &format!("__Host-session=1.{}", sealed(&own)));
        let outcome = Shard::new(Plan { rules: rules.clone(), ..plan() }).unasked(&fixture);
        assert_eq!((outcome.said, outcome.is_page), (said, said.is_some()));
    }
}
