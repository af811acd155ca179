// SPDX-License-Identifier: Apache-2.0
//! Takes the steps of logins at one issuer: `LOGINS_MAX` at once, and one renewal of a session at a time, for all that
//! ask meanwhile. A renewal is remembered for a minute, because a browser still sends requests with the cookies from
//! before, whose refresh token may be used up.

mod desk;
mod provider;
mod tokens;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::base::Tick;
use crate::base::limits::{LOGINS_MAX, SESSIONS_RENEWED_MAX};
use crate::config::plan::LoginPlan;
use crate::control::fetch::Client;
use crate::control::sources::login::desk::{Desk, Done, Failure, Step};
use crate::control::sources::login::provider::Provider;
use crate::control::sources::task::{Asked, Asker, Ended, Run, Told};
use crate::net::machine;
use crate::policy::Answer;
use crate::policy::login::{LoginAnswer, LoginStep, Session};

/// How long a renewal is remembered.
const KEEP: Duration = Duration::from_secs(60);
/// Steps of one login ask the issuer up to three times.
const RESPONSES: u32 = 3;

/// Renewals by the id of the session.
#[derive(Default)]
struct Renewals {
    under_way: HashMap<String, Vec<Asker>>,
    /// What came of them: from which generation, and until when it is remembered.
    done: HashMap<String, (u32, Arc<LoginAnswer>, Tick)>,
}

/// A step that was taken, and for whom.
struct Taken {
    /// The session that it renewed, and its generation.
    session: Option<(String, u32)>,
    askers: Vec<Asker>,
    step: Step,
}

/// Runs until it is aborted.
pub(super) async fn follow(mut run: Run, plan: Arc<LoginPlan>) {
    let source = run.slot.terms.borrow().id;
    let provider = Provider::new(source, &plan.issuer, plan.metadata.clone());
    let desk = Rc::new(Desk::new(plan, provider));
    let mut renewals = Renewals::default();
    let mut tasks: JoinSet<Taken> = JoinSet::new();
    // Before the first login needs it. Where it fails, the first login says so.
    let (client, early) = (run.client(), Rc::clone(&desk));
    let timeout = run.slot.terms.borrow().timeout;
    let prefetch = tokio::task::spawn_local(async move {
        let _ = tokio::time::timeout(timeout * RESPONSES, early.provider.endpoints(&client)).await;
    });
    let _aborted = AbortOnDrop(prefetch);
    loop {
        let asked = tokio::select! {
            Some(ended) = tasks.join_next() => {
                match ended {
                    Ok(taken) => run.conclude(&desk, &mut renewals, taken).await,
                    // A task panicked, and nobody knows which: whoever waits for it gives up by itself.
                    Err(_) => renewals.under_way.clear(),
                }
                continue;
            }
            asked = run.questions.recv(), if tasks.len() < LOGINS_MAX => asked,
        };
        let Some((asker, asked)) = asked else { return };
        let Asked::Login(step) = asked else { continue };
        let mut session = None;
        if let LoginStep::Renew { sealed } = &*step {
            match renewals.take(&desk, sealed, asker) {
                Take::Begin(opened) => session = Some(*opened),
                Take::Wait => continue,
                Take::Known(answer) => {
                    run.say(vec![asker], Answer::Login(answer)).await;
                    continue;
                }
                Take::Refuse => {
                    run.say(vec![asker], Answer::Busy).await;
                    continue;
                }
            }
        }
        let (client, desk) = (run.client(), Rc::clone(&desk));
        let timeout = run.slot.terms.borrow().timeout * RESPONSES;
        tasks.spawn_local(async move {
            let renewed = session.as_ref().map(|session| (session.id.clone(), session.generation));
            let taken = tokio::time::timeout(timeout, take(&desk, &client, &step, session)).await;
            let step = taken.unwrap_or_else(|_| Err(Failure::Unavailable("no response in time".to_owned())));
            Taken { session: renewed, askers: vec![asker], step }
        });
    }
}

async fn take(desk: &Desk, client: &Client, step: &LoginStep, session: Option<Session>) -> Step {
    match (step, session) {
        (LoginStep::Begin { return_to }, _) => desk.begin(client, return_to).await,
        (LoginStep::Finish(returned), _) => desk.finish(client, returned).await,
        (LoginStep::Renew { .. }, Some(session)) => desk.renew(client, session).await,
        (LoginStep::Renew { .. }, None) => Ok(LoginAnswer::Over.into()),
        (LoginStep::End { sealed }, _) => desk.end(client, sealed.as_deref()).await,
        (LoginStep::Notice { token }, _) => desk.notice(client, token).await,
    }
}

/// What is done about a renewal.
enum Take {
    /// It begins.
    Begin(Box<Session>),
    /// It is under way.
    Wait,
    /// It was done just now.
    Known(Arc<LoginAnswer>),
    /// Too many are remembered.
    Refuse,
}

impl Renewals {
    fn take(&mut self, desk: &Desk, sealed: &str, asker: Asker) -> Take {
        let Some(session) = desk.open(sealed) else { return Take::Known(Arc::new(LoginAnswer::Over)) };
        if let Some(askers) = self.under_way.get_mut(&session.id) {
            askers.push(asker);
            return Take::Wait;
        }
        let now = machine::now();
        if let Some((generation, answer, until)) = self.done.get(&session.id)
            && *generation >= session.generation
            && now < *until
        {
            return Take::Known(Arc::clone(answer));
        }
        if self.done.len() >= SESSIONS_RENEWED_MAX {
            self.done.retain(|_, (_, _, until)| now < *until);
            if self.done.len() >= SESSIONS_RENEWED_MAX {
                return Take::Refuse;
            }
        }
        self.under_way.insert(session.id.clone(), Vec::new());
        Take::Begin(Box::new(session))
    }
}

impl Run {
    /// Tells what came of a step to all that wait for it. Where sessions have ended, all shards know that first.
    async fn conclude(&self, desk: &Desk, renewals: &mut Renewals, taken: Taken) {
        let Taken { session, mut askers, step } = taken;
        let waiting = session.as_ref().and_then(|(id, _)| renewals.under_way.remove(id));
        askers.extend(waiting.into_iter().flatten());
        let answer = match step {
            Ok(Done { answer, revoked, session: goes_on }) => {
                if let Some(session) = goes_on {
                    let row = desk.row(&session, &self.slot.terms.borrow().policy);
                    let _ = self.told.send(Told::Session(Box::new(row))).await;
                }
                let answer = Arc::new(answer);
                if let Some((id, generation)) = session {
                    renewals.done.insert(id, (generation, Arc::clone(&answer), machine::now().after(KEEP)));
                }
                let answer = Answer::Login(answer);
                if !revoked.is_empty() {
                    let _ = self.told.send(Told::Ended(Ended { revoked, askers, answer })).await;
                    return;
                }
                answer
            }
            Err(Failure::Refused(fault, reason)) => {
                let policy = &self.slot.terms.borrow().policy;
                tracing::info!(%policy, ?fault, %reason, "a login was refused");
                Answer::Login(Arc::new(LoginAnswer::Refused(fault)))
            }
            Err(Failure::Unavailable(reason)) => {
                let policy = &self.slot.terms.borrow().policy;
                tracing::warn!(%policy, %reason, "the issuer cannot be asked about a login");
                Answer::Unavailable
            }
        };
        self.say(askers, answer).await;
    }

    async fn say(&self, askers: Vec<Asker>, answer: Answer) {
        // The receiver is gone only where the process ends.
        let _ = self.told.send(Told::Answer(askers, answer)).await;
    }
}

/// A task that ends with this.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
