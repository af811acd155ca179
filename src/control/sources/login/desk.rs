// SPDX-License-Identifier: Apache-2.0
//! The steps of logins at one issuer: what each of them does. Whoever calls sees to it that a session is renewed by one
//! at a time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use subtle::ConstantTimeEq;

use crate::base::limits::{LOGINS_USED_MAX, SESSION_COOKIES_MAX};
use crate::base::{Tick, Wall};
use crate::config::plan::{self, LoginPlan, Userinfo};
use crate::control::fetch::Client;
use crate::control::random::{NoRandomness, random};
use crate::control::sources::login::provider::{Endpoints, Naming, Provider};
use crate::control::sources::login::tokens::{self, NoTokens, Shown, Tokens};
use crate::control::store::session::SessionRow;
use crate::net::machine;
use crate::policy::login::cookie::PIECE_BYTES;
use crate::policy::login::id_token::{self, Expected, Fits, TokenFault};
use crate::policy::login::message::Returned;
use crate::policy::login::session::Due;
use crate::policy::login::ticket::TICKET_SECONDS;
use crate::policy::login::{LoginAnswer, LoginFault, Purpose, Revocation, SealingKeys, Session, Ticket, Whom};
use crate::wire::form;
use crate::wire::jose::Members;

/// One issuer, as one client of it.
pub(super) struct Desk {
    /// How people sign in.
    pub plan: Arc<LoginPlan>,
    /// The issuer.
    pub provider: Provider,
    /// Logins and logout tokens that were used, with the time until which they must be known.
    used: RefCell<HashMap<[u8; 32], Tick>>,
}

/// Why a step has no answer of its own.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is refused, and why, for the log.
    Refused(LoginFault, &'static str),
    /// It cannot be taken now. The text is for the log.
    Unavailable(String),
}

impl From<NoRandomness> for Failure {
    fn from(_: NoRandomness) -> Failure {
        Failure::Unavailable("the machine has no randomness".to_owned())
    }
}

/// What a step did.
#[derive(Debug)]
pub(super) struct Done {
    /// The answer.
    pub answer: LoginAnswer,
    /// Sessions that have ended.
    pub revoked: Vec<Revocation>,
    /// The session that began or goes on.
    pub session: Option<Box<Session>>,
}

/// What came of a step.
pub(super) type Step = Result<Done, Failure>;

impl From<LoginAnswer> for Done {
    fn from(answer: LoginAnswer) -> Done {
        Done { answer, revoked: Vec::new(), session: None }
    }
}

impl Desk {
    /// Nobody has signed in yet.
    pub(super) fn new(plan: Arc<LoginPlan>, provider: Provider) -> Desk {
        Desk { plan, provider, used: RefCell::default() }
    }

    /// Sends a browser to the issuer.
    pub(super) async fn begin(&self, client: &Client, return_to: &str) -> Step {
        let endpoints = self.provider.endpoints(client).await.map_err(Failure::Unavailable)?;
        let text = || random::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let (state, nonce, verifier) = (text()?, text()?, text()?);
        let begun = machine::wall().seconds();
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let mut location = endpoints.authorization.clone();
        location.push(if location.contains('?') { '&' } else { '?' });
        let plan = &self.plan;
        let own = [
            ("response_type", "code"),
            ("client_id", &*plan.client.id),
            ("redirect_uri", &plan.redirect),
            ("scope", &plan.scopes),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let further = plan.parameters.iter().map(|(name, value)| (&**name, &**value));
        own.into_iter().chain(further).for_each(|(name, value)| form::append(name, value, &mut location));
        let ticket = Ticket { state: state.clone(), nonce, verifier, return_to: return_to.to_owned(), begun };
        let ticket = self.seal(Purpose::Ticket, &serde_json::to_vec(&ticket).unwrap_or_default())?;
        Ok(LoginAnswer::Begun { location: location.into(), state: state.into(), ticket: ticket.into() }.into())
    }

    /// Ends a login: the code becomes a session.
    pub(super) async fn finish(&self, client: &Client, returned: &Returned) -> Step {
        let unknown = |reason| Failure::Refused(LoginFault::Unknown, reason);
        let opened = self.plan.keys.open(Purpose::Ticket, returned.ticket.as_bytes());
        let ticket: Option<Ticket> = opened.and_then(|text| serde_json::from_slice(&text).ok());
        let ticket = ticket.ok_or_else(|| unknown("its ticket is none of ours"))?;
        if !bool::from(ticket.state.as_bytes().ct_eq(returned.state.as_bytes())) {
            return Err(unknown("its state is that of another login"));
        }
        if ticket.is_over(machine::wall().seconds()) {
            return Err(unknown("it took too long"));
        }
        let endpoints = self.provider.endpoints(client).await.map_err(Failure::Unavailable)?;
        match returned.issuer.as_deref() {
            Some(issuer) if *issuer != *self.plan.issuer => {
                return Err(Failure::Refused(LoginFault::Mixed, "`iss` names another issuer"));
            }
            None if endpoints.names_itself == Naming::Always => {
                return Err(Failure::Refused(LoginFault::Mixed, "`iss` is missing"));
            }
            Some(_) | None => {}
        }
        // From here on the login is used, whatever becomes of it.
        self.use_once(ticket.state.as_bytes(), Duration::from_secs(2 * TICKET_SECONDS))?;
        let code = match &returned.outcome {
            Ok(code) => code,
            Err(fault) => return Err(Failure::Refused(*fault, "the issuer says so")),
        };
        let shown = Shown::Code(code, &self.plan.redirect, &ticket.verifier);
        let tokens = match tokens::get(client, &endpoints.token, &self.plan.client, shown).await {
            Ok(tokens) => tokens,
            Err(NoTokens::Refused) => {
                return Err(Failure::Refused(LoginFault::Issuer, "the issuer takes the code for no good one"));
            }
            Err(NoTokens::Failed(reason)) => return Err(Failure::Unavailable(reason)),
        };
        let session = self.session(client, &endpoints, &ticket.nonce, tokens).await?;
        let sealed = self.seal_session(session.clone())?;
        let answer = LoginAnswer::Finished { sealed, return_to: ticket.return_to.into() };
        Ok(Done { session: Some(Box::new(session)), ..answer.into() })
    }

    /// A session that was opened, if it is not over.
    pub(super) fn open(&self, sealed: &str) -> Option<Session> {
        let text = self.plan.keys.open(Purpose::Session, sealed.as_bytes())?;
        let session: Session = serde_json::from_slice(&text).ok()?;
        (machine::wall() < session.until(self.plan.lifetime)).then_some(session)
    }

    /// Seals a session again, with new tokens where they are due.
    pub(super) async fn renew(&self, client: &Client, mut session: Session) -> Step {
        let wall = machine::wall();
        if matches!(session.due(self.plan.lifetime, wall), Due::Refresh | Due::Late(_)) {
            let endpoints = self.provider.endpoints(client).await.map_err(Failure::Unavailable)?;
            let token = session.refresh_token.clone().unwrap_or_default();
            let shown = Shown::Refresh(&token);
            match tokens::get(client, &endpoints.token, &self.plan.client, shown).await {
                Ok(tokens) => self.take_tokens(client, &mut session, tokens).await?,
                Err(NoTokens::Refused) => {
                    return Ok(Done { revoked: vec![self.end_of(&session)], ..LoginAnswer::Over.into() });
                }
                Err(NoTokens::Failed(reason)) => return Err(Failure::Unavailable(reason)),
            }
        }
        session.renewed = machine::wall().0;
        session.generation = session.generation.saturating_add(1);
        let answer = LoginAnswer::Renewed { sealed: self.seal_session(session.clone())? };
        Ok(Done { session: Some(Box::new(session)), ..answer.into() })
    }

    /// Ends a session, here and where the issuer wants to know.
    pub(super) async fn end(&self, client: &Client, sealed: Option<&str>) -> Step {
        let session = sealed.and_then(|sealed| self.open(sealed));
        let revoked: Vec<Revocation> = session.iter().map(|session| self.end_of(session)).collect();
        let mut location = None;
        if self.plan.id_token == plan::Tokens::Held
            && let Some(session) = &session
            // Where the issuer cannot be asked, the session ends here all the same.
            && let Ok(endpoints) = self.provider.endpoints(client).await
            && let Some(end_session) = &endpoints.end_session
        {
            let mut url = end_session.clone();
            url.push(if url.contains('?') { '&' } else { '?' });
            form::append("client_id", &self.plan.client.id, &mut url);
            if let Some(token) = &session.id_token {
                form::append("id_token_hint", token, &mut url);
            }
            if let Some(target) = &self.plan.after_logout {
                form::append("post_logout_redirect_uri", target, &mut url);
            }
            location = Some(url.into());
        }
        Ok(Done { revoked, ..LoginAnswer::Ended { location }.into() })
    }

    /// Heeds what the issuer says of somebody who signed out.
    pub(super) async fn notice(&self, client: &Client, token: &str) -> Step {
        self.provider.endpoints(client).await.map_err(Failure::Unavailable)?;
        let wall = machine::wall();
        let verify = |keys: &mut _| id_token::logout_token(token, keys, &self.expected(), wall);
        let notice = self.provider.verify(client, verify, |fault| *fault == TokenFault::Key).await;
        let notice = notice.map_err(refused)?;
        let scope = &self.plan.scope;
        self.use_once(format!("logout {}", notice.id).as_bytes(), NOTICE_KEPT)?;
        // A notice with a session is about that session alone (Back-Channel Logout section 2.7).
        let whom = match (&notice.sid, &notice.subject) {
            (Some(sid), _) => Whom::sid(scope, sid),
            (None, Some(subject)) => Whom::subject(scope, subject),
            (None, None) => return Err(Failure::Refused(LoginFault::Token, "it names nobody")),
        };
        Ok(Done { revoked: vec![self.revocation(whom, wall)], ..LoginAnswer::Noticed.into() })
    }

    /// A session as operators see it.
    pub(super) fn row(&self, session: &Session, policy: &str) -> SessionRow {
        let text = |name: &str| session.claims.get(name).and_then(Value::as_str);
        let label = ["email", "preferred_username", "name"].into_iter().find_map(text).unwrap_or_default();
        let scope = &self.plan.scope;
        SessionRow {
            id: session.id.clone(),
            policy: policy.to_owned(),
            issuer: self.plan.issuer.to_string(),
            subject: session.subject().to_owned(),
            label: label.chars().take(LABEL_CHARS_MAX).collect(),
            begun: Wall(session.begun).seconds(),
            renewed: Wall(session.renewed).seconds(),
            ends: session.until(self.plan.lifetime).seconds(),
            marks: (
                Whom::session(&session.id),
                session.sid.as_ref().map(|sid| Whom::sid(scope, sid)),
                Whom::subject(scope, session.subject()),
            ),
        }
    }

    /// The end of sessions that began until now.
    fn revocation(&self, whom: Whom, wall: Wall) -> Revocation {
        let whole = u64::try_from(self.plan.lifetime.whole.as_micros()).unwrap_or(u64::MAX);
        Revocation { whom, begun: wall, until: Wall(wall.0.saturating_add(whole)) }
    }

    fn end_of(&self, session: &Session) -> Revocation {
        self.revocation(Whom::session(&session.id), machine::wall())
    }

    fn expected(&self) -> Expected<'_> {
        let plan = &self.plan;
        Expected { issuer: &plan.issuer, client: &plan.client.id, algorithms: plan.algorithms, leeway: plan.leeway }
    }

    /// Notes that something is used. Refused where it was before, and where there is no room to know later.
    fn use_once(&self, what: &[u8], keep: Duration) -> Result<(), Failure> {
        let (mut used, now) = (self.used.borrow_mut(), machine::now());
        if used.len() >= LOGINS_USED_MAX {
            used.retain(|_, until| now < *until);
            if used.len() >= LOGINS_USED_MAX {
                return Err(Failure::Unavailable("too many logins are remembered".to_owned()));
            }
        }
        let hash = digest(&SHA256, what);
        let key = hash.as_ref().try_into().expect("a SHA-256 has 32 bytes");
        match used.insert(key, now.after(keep)) {
            Some(until) if now < until => Err(Failure::Refused(LoginFault::Replayed, "it was used before")),
            Some(_) | None => Ok(()),
        }
    }

    /// The session of a login whose tokens do.
    async fn session(
        &self,
        client: &Client,
        endpoints: &Endpoints,
        nonce: &str,
        tokens: Tokens,
    ) -> Result<Session, Failure> {
        let id = tokens.id.as_deref().ok_or(Failure::Refused(LoginFault::Token, "there is no ID token"))?;
        let fits = Fits { nonce: Some(nonce), access_token: Some(&tokens.access) };
        let mut claims = self.verified(client, id, fits).await?;
        if self.plan.userinfo == Userinfo::Asked
            && let Some(url) = &endpoints.userinfo
        {
            let more = tokens::userinfo(client, url, &tokens.access).await.map_err(Failure::Unavailable)?;
            if id_token::subject(&more) != id_token::subject(&claims) {
                return Err(Failure::Refused(LoginFault::Token, "userinfo is about somebody else"));
            }
            // What is signed counts.
            for (name, value) in more {
                claims.entry(name).or_insert(value);
            }
        }
        let wall = machine::wall();
        let mut session = Session {
            id: URL_SAFE_NO_PAD.encode(random::<16>()?),
            begun: wall.0,
            renewed: wall.0,
            generation: 0,
            sid: claims.get("sid").and_then(Value::as_str).map(str::to_owned),
            claims,
            access_token: None,
            access_until: None,
            refresh_token: None,
            id_token: None,
        };
        self.hold(&mut session, tokens, wall);
        Ok(session)
    }

    /// Takes the tokens of a renewal. An ID token among them must be about the same person.
    async fn take_tokens(&self, client: &Client, session: &mut Session, tokens: Tokens) -> Result<(), Failure> {
        if let Some(id) = &tokens.id {
            let fits = Fits { nonce: None, access_token: Some(&tokens.access) };
            let claims = self.verified(client, id, fits).await?;
            if id_token::subject(&claims) != Some(session.subject()) {
                return Err(Failure::Refused(LoginFault::Token, "the new ID token is about somebody else"));
            }
            session.claims.extend(claims);
        }
        self.hold(session, tokens, machine::wall());
        Ok(())
    }

    async fn verified(&self, client: &Client, token: &str, fits: Fits<'_>) -> Result<Members, Failure> {
        let wall = machine::wall();
        let verify = |keys: &mut _| id_token::id_token(token, keys, &self.expected(), fits, wall);
        self.provider.verify(client, verify, |fault| *fault == TokenFault::Key).await.map_err(refused)
    }

    /// Puts into a session what the plan wants to be there.
    fn hold(&self, session: &mut Session, tokens: Tokens, wall: Wall) {
        let Tokens { access, expires_in, refresh, id, scope } = tokens;
        let granted = scope.or_else(|| Some(self.plan.scopes.to_string()));
        if let Some(scope) = granted.filter(|_| !session.claims.contains_key("scope") || session.generation > 0) {
            session.claims.insert("scope".to_owned(), Value::String(scope));
        }
        session.access_until = expires_in.map(|seconds| wall.seconds().saturating_add(seconds));
        if self.plan.access_token == plan::Tokens::Held {
            session.access_token = Some(access);
        }
        if self.plan.id_token == plan::Tokens::Held && id.is_some() {
            session.id_token = id;
        }
        // Where the issuer gives no other one, the one before stays good.
        if refresh.is_some() {
            session.refresh_token = refresh;
        }
    }

    /// Seals a session, without its ID token where it is too large with it: then the issuer asks who signs out.
    fn seal_session(&self, mut session: Session) -> Result<Box<str>, Failure> {
        for _ in 0..2 {
            let text = serde_json::to_vec(&session).unwrap_or_default();
            if SealingKeys::sealed_bytes(text.len()) <= SESSION_COOKIES_MAX * PIECE_BYTES {
                return Ok(self.seal(Purpose::Session, &text)?.into());
            }
            session.id_token = None;
        }
        Err(Failure::Refused(LoginFault::Large, "claims and tokens are more than cookies can hold"))
    }

    fn seal(&self, purpose: Purpose, text: &[u8]) -> Result<String, Failure> {
        let sealed = self.plan.keys.seal(purpose, text, random()?);
        sealed.ok_or_else(|| Failure::Unavailable("there is no key to seal with".to_owned()))
    }
}

fn refused(fault: TokenFault) -> Failure {
    match fault {
        TokenFault::Key => Failure::Refused(LoginFault::Token, "the issuer has no such key"),
        TokenFault::Wrong(reason) => Failure::Refused(LoginFault::Token, reason),
    }
}

/// Characters of a person's name that operators see.
const LABEL_CHARS_MAX: usize = 128;
/// How long a logout token is known as used: longer than it is good.
const NOTICE_KEPT: Duration = Duration::from_secs(3_600);
