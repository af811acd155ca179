// SPDX-License-Identifier: Apache-2.0
//! Logins and logouts step by step: what a browser or the issuer sends, what the control plane is asked for it, and
//! what the answer becomes.

use crate::base::ascii::push_decimal;
use crate::base::limits::{LOGINS_IN_A_ROW_MAX, TICKETS_MAX, TOKEN_BYTES_MAX};
use crate::policy::decision::{Ask, Decision};
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::policy::login::cookie::Found;
use crate::policy::login::message::Returned;
use crate::policy::login::ticket::{TICKET_SECONDS, mark_of};
use crate::policy::login::{LoginAnswer, LoginFault, LoginStep, return_target};
use crate::policy::oidc::reply::{Reader, Said};
use crate::policy::oidc::{Given, Memo, NAME, Plan, State, Step, TRIES, navigation, reply, set_cookie};
use crate::policy::question::Answer;
use crate::wire::form::Form;
use crate::wire::head::{Method, Request};

impl Plan {
    /// Nobody has signed in.
    pub(super) fn without<L>(&self, state: &mut State, facts: &Facts<'_, L>, given: Given<'_, '_>) -> Decision<'_> {
        if let Some(consumer) = self.anonymous.as_ref().and_then(|name| facts.directory.by_name(name)) {
            let (effects, ..) = given;
            self.hide(facts.request, effects);
            let found = Identity::anonymous(consumer.number, NAME);
            self.to_upstream.tell(facts, &[], (&[], &found, Some(consumer)), effects);
            effects.identified = Some(found);
            return Decision::Pass;
        }
        if !navigation::opens_page(facts.request) {
            let (effects, ..) = given;
            return reply::say(reply::MISSING, Reader::Program, &self.challenge, effects);
        }
        let target = facts.request.head.target.of(facts.request.bytes);
        self.begin(state, return_target::same_origin(target).unwrap_or("/"), facts, given)
    }

    /// A page sends the browser to sign in, and says where it goes then.
    pub(super) fn sign_in<L>(&self, state: &mut State, facts: &Facts<'_, L>, given: Given<'_, '_>) -> Decision<'_> {
        if !matches!(facts.request.head.method, Method::Get | Method::Head) {
            return self.say(reply::METHOD, facts.request, given.0);
        }
        let form = Form::read(facts.request.query());
        let target = form.as_ref().and_then(|form| form.get(RETURN_TO)).unwrap_or("/");
        let target = return_target::same_origin(target.as_bytes()).unwrap_or("/");
        self.begin(state, target, facts, given)
    }

    pub(super) fn begin<L>(
        &self,
        state: &mut State,
        return_to: &str,
        facts: &Facts<'_, L>,
        (effects, memo, now): Given<'_, '_>,
    ) -> Decision<'_> {
        if self.tries(facts.request) >= LOGINS_IN_A_ROW_MAX {
            return self.say(reply::LOOP, facts.request, effects);
        }
        let step = LoginStep::Begin { return_to: return_to.into() };
        self.ask(state, (Step::Begin, step), facts.request, (effects, memo, now))
    }

    /// The issuer sent the browser back.
    pub(super) fn finish<L>(&self, state: &mut State, facts: &Facts<'_, L>, given: Given<'_, '_>) -> Decision<'_> {
        let request = facts.request;
        if request.head.method != Method::Get {
            return self.say(reply::METHOD, request, given.0);
        }
        match self.returned(request) {
            Ok(returned) => self.ask(state, (Step::Finish, LoginStep::Finish(returned)), request, given),
            Err(fault) => self.say(reply::said_of(fault), request, given.0),
        }
    }

    /// With what the issuer sent the browser back, and the ticket that the browser has for it.
    fn returned(&self, request: Request<'_>) -> Result<Box<Returned>, LoginFault> {
        let form = Form::read(request.query()).ok_or(LoginFault::Malformed)?;
        let state = form.get("state").ok_or(LoginFault::Malformed)?;
        let mark = mark_of(state.as_bytes()).ok_or(LoginFault::Malformed)?;
        let outcome = match (form.get("code"), form.get("error")) {
            (Some(code), None) if !code.is_empty() && code.len() <= TOKEN_BYTES_MAX => Ok(code.into()),
            (_, Some("access_denied" | "login_required" | "interaction_required" | "consent_required")) => {
                Err(LoginFault::Denied)
            }
            (_, Some(_)) => Err(LoginFault::Issuer),
            (Some(_) | None, None) => return Err(LoginFault::Malformed),
        };
        // Without the ticket it is another browser that began.
        let ticket = self.cookies.beside(&[TICKET, mark], request).ok_or(LoginFault::Unknown)?;
        let ticket = std::str::from_utf8(ticket).map_err(|_| LoginFault::Unknown)?;
        let issuer = form.get("iss").map(Box::from);
        Ok(Box::new(Returned { ticket: ticket.into(), state: state.into(), outcome, issuer }))
    }

    pub(super) fn sign_out<L>(&self, state: &mut State, facts: &Facts<'_, L>, given: Given<'_, '_>) -> Decision<'_> {
        let request = facts.request;
        if navigation::is_cross_site(request) {
            return self.say(reply::CROSS_SITE, request, given.0);
        }
        if !matches!(request.head.method, Method::Get | Method::Post) {
            return self.say(reply::METHOD, request, given.0);
        }
        let sealed = match self.cookies.find(request) {
            Found::Text(text) => std::str::from_utf8(&text).ok().map(Box::from),
            Found::Nothing | Found::Broken => None,
        };
        self.ask(state, (Step::End, LoginStep::End { sealed }), request, given)
    }

    /// The issuer says that somebody signed out.
    pub(super) fn notice<L>(&self, state: &mut State, facts: &Facts<'_, L>, given: Given<'_, '_>) -> Decision<'_> {
        let form = Form::read(facts.body.unwrap_or_default());
        let Some(token) = form.as_ref().and_then(|form| form.get("logout_token")) else {
            return reply::say(reply::NOTICE, Reader::Program, &self.challenge, given.0);
        };
        let step = LoginStep::Notice { token: token.into() };
        self.ask(state, (Step::Notice, step), facts.request, given)
    }

    fn ask(
        &self,
        state: &mut State,
        (step, question): (Step, LoginStep),
        request: Request<'_>,
        (effects, memo, now): Given<'_, '_>,
    ) -> Decision<'_> {
        let until = now.after(self.wait);
        let Some(key) = state.steps.ask(self.source, question, (now, until)) else {
            return self.say(reply::UNAVAILABLE, request, effects);
        };
        (memo.step, memo.key) = (step, key);
        Decision::Ask(Ask::Control { key, until })
    }

    /// Says what came of a step.
    pub(super) fn end_step<L>(
        &self,
        answer: Option<Answer>,
        facts: &Facts<'_, L>,
        (effects, memo, _): Given<'_, '_>,
    ) -> Decision<'_> {
        let request = facts.request;
        if memo.step == Step::End {
            self.cookies.clear(0, request, &mut |line| set_cookie(line, effects, memo));
        }
        let Some(Answer::Login(answer)) = answer else { return self.say(reply::UNAVAILABLE, request, effects) };
        match (&*answer, memo.step) {
            (LoginAnswer::Begun { location, state, ticket }, Step::Begin) => {
                self.forget_tickets(request, effects, memo);
                let mark = mark_of(state.as_bytes()).unwrap_or_default();
                let line = self.cookies.line_beside(&[TICKET, mark], ticket.as_bytes(), TICKET_SECONDS);
                set_cookie(&line, effects, memo);
                reply::redirect(location, effects)
            }
            (LoginAnswer::Finished { sealed, return_to }, Step::Finish) => {
                let seconds = self.lifetime.whole.as_secs();
                self.cookies.write(sealed, request, seconds, &mut |line| set_cookie(line, effects, memo));
                self.end_ticket(request, effects, memo);
                let mut tries = Vec::new();
                push_decimal(&mut tries, self.tries(request) + 1);
                set_cookie(&self.cookies.line_beside(&[TRIES], &tries, TRIES_SECONDS), effects, memo);
                reply::redirect(return_to, effects)
            }
            (LoginAnswer::Refused(fault), Step::Finish) => {
                self.end_ticket(request, effects, memo);
                self.say(reply::said_of(*fault), request, effects)
            }
            (LoginAnswer::Ended { location }, Step::End) => {
                match location.as_deref().or(self.after_logout.as_deref()) {
                    Some(location) => reply::redirect(location, effects),
                    None => self.say(reply::SIGNED_OUT, request, effects),
                }
            }
            (LoginAnswer::Noticed, Step::Notice) => {
                reply::say(reply::NOTICED, Reader::Program, &self.challenge, effects)
            }
            (LoginAnswer::Refused(_), Step::Notice) => {
                reply::say(reply::NOTICE, Reader::Program, &self.challenge, effects)
            }
            (_, _) => self.say(reply::UNAVAILABLE, request, effects),
        }
    }

    /// The ticket of a login that is over.
    fn end_ticket(&self, request: Request<'_>, effects: &mut Effects, memo: &mut Memo) {
        let form = Form::read(request.query());
        if let Some(mark) = form.as_ref().and_then(|form| mark_of(form.get("state")?.as_bytes())) {
            set_cookie(&self.cookies.line_beside(&[TICKET, mark], b"", 0), effects, memo);
        }
    }

    /// Tickets of logins that were never ended fill the browser's requests.
    fn forget_tickets(&self, request: Request<'_>, effects: &mut Effects, memo: &mut Memo) {
        if self.cookies.all_beside(TICKET, request).count() >= TICKETS_MAX {
            for mark in self.cookies.all_beside(TICKET, request) {
                set_cookie(&self.cookies.line_beside(&[TICKET, mark], b"", 0), effects, memo);
            }
        }
    }

    /// Logins that this browser ended without coming back with the session.
    pub(super) fn tries(&self, request: Request<'_>) -> u64 {
        let value = self.cookies.beside(&[TRIES], request);
        let number = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        number.unwrap_or(0)
    }

    pub(super) fn say(&self, said: Said, request: Request<'_>, effects: &mut Effects) -> Decision<'_> {
        let reader = if navigation::reads_pages(request) { Reader::Person } else { Reader::Program };
        reply::say(said, reader, &self.challenge, effects)
    }
}

/// What stands behind the session's name in that of a ticket.
const TICKET: &[u8] = b"-login-";
/// How long the number of logins in a row is kept.
const TRIES_SECONDS: u64 = 60;
/// The parameter of the login path that says where the browser goes then.
const RETURN_TO: &str = "return_to";
