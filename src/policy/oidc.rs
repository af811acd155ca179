// SPDX-License-Identifier: Apache-2.0
//! Hot. Sign-in of browsers with OpenID Connect: authorisation code with PKCE, and a session that lies sealed in
//! cookies.
//!
//! ```text
//!   page ─► session? ──────────────────────────────► identify ─► tell the upstream
//!             │ no     ▲ renewed in time, once for all that wait
//!             ├► a script, a form, an API: 401
//!             └► a person: to the issuer, with a ticket in a cookie ─► callback ─► session ─► back to the page
//! ```
//!
//! A shard opens sealed sessions and remembers them by their hash. Everything else, for which randomness or the issuer
//! is needed, the control plane does (`policy::login`). A login that fails ends in a page and never in a redirect;
//! logins that succeed and whose session does not come back are counted in a cookie, and end in a page as well.

mod flow;
mod navigation;
mod reply;
mod steps;

use std::rc::Rc;
use std::time::Duration;

use crate::base::limits::LOGOUT_FORM_BYTES_MAX;
use crate::base::{Tick, Wall};
use crate::policy::decision::{Ask, AskOutcome, Decision};
use crate::policy::facts::{Effects, Facts, Response};
use crate::policy::identity::{Claims, Identity};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::login::cookie::{CookiePlan, Found};
use crate::policy::login::session::{Due, Lifetime};
use crate::policy::login::{LoginAnswer, Purpose, Revocations, Revoked, SealingKeys, Session};
use crate::policy::oidc::reply::{Reader, Said};
use crate::policy::oidc::steps::Steps;
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::question::{Answer, Question, SourceId};
use crate::policy::token::location::remove_cookies;
use crate::policy::token::{Cache, ClaimTexts, ConsumerKey, ConsumerRule, Rules, ToUpstream, TokenHash, hash_of};
use crate::wire::head::{Method, Request};
use crate::wire::template::Lookup;

/// Who may sign in, where, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Who takes the steps of logins.
    pub source: SourceId,
    /// The issuer and the client, as revocations know them.
    pub scope: Box<str>,
    /// The paths that the policy serves itself.
    pub paths: Paths,
    /// How cookies are called.
    pub cookies: CookiePlan,
    /// What sealed them.
    pub keys: SealingKeys,
    /// How long sessions last.
    pub lifetime: Lifetime,
    /// How long a session goes on whose token has expired and cannot be renewed.
    pub stale: Duration,
    /// What claims must say.
    pub rules: Rules,
    /// How a session leads to a consumer; `None` where its claims are enough.
    pub consumer: Option<ConsumerRule>,
    /// What the upstream is told.
    pub to_upstream: ToUpstream,
    /// The field in which it gets the access token.
    pub access_field: Option<Box<[u8]>>,
    /// The consumer that a request without a session counts as; `None` has people sign in.
    pub anonymous: Option<Box<str>>,
    /// Where a browser goes after it signed out, where the issuer does not say.
    pub after_logout: Option<Box<str>>,
    /// The challenge of a 401.
    pub challenge: Box<[u8]>,
    /// How long a request waits for a step.
    pub wait: Duration,
    /// Sessions that a shard remembers, at least one.
    pub sessions_kept: usize,
}

/// The paths that the policy serves itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Where the issuer sends browsers back.
    pub callback: Box<[u8]>,
    /// Where a page sends a browser that is to sign in.
    pub login: Option<Box<[u8]>>,
    /// Where it signs out.
    pub logout: Option<Box<[u8]>>,
    /// Where the issuer says that somebody signed out.
    pub notice: Option<Box<[u8]>>,
}

/// What a shard knows of a policy.
#[derive(Debug)]
pub struct State {
    sessions: Cache<Opened>,
    revoked: Revoked,
    steps: Steps,
}

/// A session that was opened.
#[derive(Debug)]
struct Opened {
    session: Session,
    claims: Rc<Claims>,
    consumer: ConsumerKey,
    texts: ClaimTexts,
    /// What its claims are refused for.
    refused: Option<Said>,
}

/// What it remembers of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memo {
    step: Step,
    key: u64,
    cookies: Cookies,
}

/// What it has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Nothing,
    Begin,
    Finish,
    Renew,
    End,
    /// The body that brings a notice.
    Body,
    Notice,
}

/// Does the response change cookies?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cookies {
    #[default]
    Kept,
    Changed,
}

/// What a request is given with besides its facts.
type Given<'a, 'm> = (&'a mut Effects, &'m mut Memo, Tick);

impl Kind for Plan {
    type State = State;
    type Memo = Memo;

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn protect(&self, names: &mut Protected) {
        self.to_upstream.protect(names);
        self.access_field.iter().for_each(|name| names.add(name));
    }

    fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    fn decide<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let given = (effects, memo, now);
        let is = |path: &Option<Box<[u8]>>| path.as_deref() == Some(facts.path);
        if *self.paths.callback == *facts.path {
            return self.finish(state, facts, given);
        }
        if is(&self.paths.login) {
            return self.sign_in(state, facts, given);
        }
        if is(&self.paths.logout) {
            return self.sign_out(state, facts, given);
        }
        if is(&self.paths.notice) {
            let (effects, memo, _) = given;
            if facts.request.head.method != Method::Post {
                return reply::say(reply::METHOD, Reader::Program, &self.challenge, effects);
            }
            memo.step = Step::Body;
            return Decision::Ask(Ask::Body { bytes_max: LOGOUT_FORM_BYTES_MAX });
        }
        self.admit(state, facts, given)
    }

    fn resume<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>, _: AskOutcome<'_>) -> Decision<'_> {
        // Whether an answer came says the state.
        let Call { facts, effects, memo, now } = call;
        let answer = match memo.step {
            Step::Body => return self.notice(state, facts, (effects, memo, now)),
            Step::Renew => return self.admit(state, facts, (effects, memo, now)),
            Step::Nothing => None,
            Step::Begin | Step::Finish | Step::End | Step::Notice => state.steps.take(memo.key),
        };
        self.end_step(answer, facts, (effects, memo, now))
    }

    fn adapt<L: Lookup>(&self, memo: &mut Memo, response: Response<'_>, _: &L, effects: &mut Effects) {
        if memo.cookies == Cookies::Changed {
            // A cache that keeps cookies gives one person's session to another.
            effects.to_client.set(&response.head.fields, response.bytes, b"Cache-Control", b"no-store");
        }
    }

    fn keeps_state_of(&self, before: &Plan) -> bool {
        self == before
    }

    fn reads_body(&self) -> bool {
        self.paths.notice.is_some()
    }

    fn needs_route(&self) -> Option<&'static str> {
        self.paths.notice.as_ref().map(|_| "`backchannel_logout_path`")
    }

    fn admits_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }
}

impl Plan {
    /// Lets a request with a session pass, and has everybody else sign in.
    fn admit<L>(&self, state: &mut State, facts: &Facts<'_, L>, given: Given<'_, '_>) -> Decision<'_> {
        let (effects, memo, now) = given;
        let Found::Text(text) = self.cookies.find(facts.request) else {
            return self.without(state, facts, (effects, memo, now));
        };
        let hash = hash_of(&text);
        let Some(due) = state.known(self, &text, hash, facts.wall) else {
            return self.without(state, facts, (effects, memo, now));
        };
        if due == Due::Nothing {
            return self.pass(state, hash, facts, effects);
        }
        let (number, answer) = (number_of(&hash), state.steps.renewed(number_of(&hash), now));
        match answer {
            Some(Answer::Login(answer)) => match &**answer {
                LoginAnswer::Renewed { sealed } => {
                    let newer = hash_of(sealed.as_bytes());
                    let seconds = self.lifetime.whole.as_secs();
                    self.cookies.write(sealed, facts.request, seconds, &mut |line| set_cookie(line, effects, memo));
                    let sealed: Box<str> = sealed.clone();
                    return match state.known(self, sealed.as_bytes(), newer, facts.wall) {
                        Some(_) => self.pass(state, newer, facts, effects),
                        None => self.without(state, facts, (effects, memo, now)),
                    };
                }
                LoginAnswer::Over => return self.without(state, facts, (effects, memo, now)),
                _ => {}
            },
            Some(_) => {}
            None if memo.step == Step::Renew => {}
            None => {
                let until = now.after(self.wait);
                let sealed = std::str::from_utf8(&text).unwrap_or_default();
                if let Some(key) = state.steps.renew(self.source, (number, sealed), (now, until)) {
                    (memo.step, memo.key) = (Step::Renew, key);
                    return Decision::Ask(Ask::Control { key, until });
                }
            }
        }
        match due {
            Due::Late(time) if time > self.stale => self.say(reply::UNAVAILABLE, facts.request, effects),
            Due::Nothing | Due::Touch | Due::Refresh | Due::Late(_) => self.pass(state, hash, facts, effects),
        }
    }

    /// Lets a request pass whose session is known.
    fn pass<L>(&self, state: &mut State, hash: TokenHash, facts: &Facts<'_, L>, effects: &mut Effects) -> Decision<'_> {
        let Some(opened) = state.sessions.get(&hash, facts.wall) else {
            return self.say(reply::UNAVAILABLE, facts.request, effects);
        };
        if let Some(said) = opened.refused {
            return self.say(said, facts.request, effects);
        }
        let claims = Some(Rc::clone(&opened.claims));
        let mut identity = Identity { claims, method: Some(NAME), ..Identity::default() };
        if let Some(rule) = &self.consumer
            && rule.identify(&opened.consumer, facts.directory, facts.wall, &mut identity).is_err()
        {
            return self.say(reply::CONSUMER, facts.request, effects);
        }
        let consumer = identity.consumer.and_then(|number| facts.directory.consumer(number));
        self.hide(facts.request, effects);
        self.to_upstream.tell(facts, &[], (&opened.texts, &identity, consumer), effects);
        if let (Some(field), Some(token)) = (&self.access_field, &opened.session.access_token) {
            let scheme: &[u8] = if field.eq_ignore_ascii_case(b"authorization") { b"Bearer " } else { b"" };
            effects.to_upstream.remove_added(field);
            effects.to_upstream.add_with(field, |out| {
                out.extend_from_slice(scheme);
                out.extend_from_slice(token.as_bytes());
            });
        }
        if self.cookies.beside(&[TRIES], facts.request).is_some() {
            effects.to_client.add(b"Set-Cookie", &self.cookies.line_beside(&[TRIES], b"", 0));
        }
        effects.identified = Some(identity);
        Decision::Pass
    }

    /// What the upstream must not see, or not from the client.
    fn hide(&self, request: Request<'_>, effects: &mut Effects) {
        let name = |pair: &[u8]| {
            pair.trim_ascii().split(|byte| *byte == b'=').next().is_some_and(|name| self.cookies.is_ours(name))
        };
        remove_cookies(request, effects, name);
    }
}

impl State {
    /// What is to be done with a sealed session; `None` where it is none, or is over. Then it is known.
    fn known(&mut self, plan: &Plan, text: &[u8], hash: TokenHash, wall: Wall) -> Option<Due> {
        if self.sessions.get(&hash, wall).is_none() {
            let session: Session = serde_json::from_slice(&plan.keys.open(Purpose::Session, text)?).ok()?;
            let until = session.until(plan.lifetime);
            // From the future is nothing that was sealed here.
            if wall >= until || session.renewed > wall.0.saturating_add(CLOCKS_APART) {
                return None;
            }
            let opened = plan.open(session);
            self.sessions.insert(&hash, opened, until, text.len());
        }
        let opened = self.sessions.get(&hash, wall)?;
        if self.revoked.has(&opened.session, &plan.scope) {
            return None;
        }
        Some(opened.session.due(plan.lifetime, wall))
    }
}

impl Plan {
    fn open(&self, session: Session) -> Opened {
        let claims = Claims::new(session.claims.clone());
        let judged = self.rules.judge_claims(&claims.json).and_then(|()| self.rules.judge_scopes(&claims));
        Opened {
            consumer: self.consumer.as_ref().map(|rule| rule.key(&claims.json)).unwrap_or_default(),
            texts: self.to_upstream.texts(&claims.json),
            refused: judged.is_err().then_some(reply::CLAIMS),
            claims: Rc::new(claims),
            session,
        }
    }
}

impl ShardState<Plan> for State {
    fn new(plan: &Plan, _: Shards, _: u32) -> State {
        State { sessions: Cache::new(plan.sessions_kept), revoked: Revoked::default(), steps: Steps::default() }
    }

    fn next_question(&mut self) -> Option<(u64, Question)> {
        self.steps.next_question()
    }

    fn receive(&mut self, key: u64, answer: Answer, _: Tick) {
        self.steps.receive(key, answer);
    }

    fn revoke(&mut self, revoked: &Revocations, wall: Wall) {
        self.revoked.learn(revoked, wall);
    }
}

fn set_cookie(line: &[u8], effects: &mut Effects, memo: &mut Memo) {
    memo.cookies = Cookies::Changed;
    effects.to_client.add(b"Set-Cookie", line);
}

/// What the renewal of a session is known by.
fn number_of(hash: &TokenHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The name of the kind in an identity.
const NAME: &str = "oidc";
/// What stands behind the session's name in that of the number of logins in a row.
const TRIES: &[u8] = b"-tries";
/// How far the clocks of gateways that share a secret may be apart, in microseconds.
const CLOCKS_APART: u64 = 300_000_000;

#[cfg(test)]
mod tests;
