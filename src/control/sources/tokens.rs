// SPDX-License-Identifier: Apache-2.0
//! Asks one authorisation server about tokens (RFC 7662): `INTROSPECTIONS_MAX` at once, one request for all that ask
//! about the same token meanwhile. After `FAILURES_MAX` failures in a row the server is left alone for `PAUSE`, and
//! whoever asks is told at once that it is not available.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::base::Tick;
use crate::base::limits::{INTROSPECTION_BYTES_MAX, INTROSPECTIONS_MAX};
use crate::config::plan::{AskedFor, IntrospectionPlan};
use crate::control::fetch::{Client, Connection, Fetched};
use crate::control::sources::client;
use crate::control::sources::task::{Asked as Question, Asker, Run, Told};
use crate::net::machine;
use crate::policy::Answer;
use crate::wire::form;
use crate::wire::jose;

/// Failures in a row after which the server is left alone for a while.
const FAILURES_MAX: u32 = 5;
/// How long.
const PAUSE: Duration = Duration::from_secs(1);

/// What came of one request, with its connection where that may be used again.
struct Asked {
    token: Rc<str>,
    outcome: Result<Answer, String>,
    connection: Option<Connection>,
}

/// Runs until it is aborted.
pub(super) async fn follow(mut run: Run) {
    let mut under_way: HashMap<Rc<str>, Vec<Asker>> = HashMap::new();
    let mut tasks: JoinSet<Asked> = JoinSet::new();
    let mut idle: Vec<Connection> = Vec::new();
    let (mut failures, mut quiet_until) = (0, Tick::ZERO);
    loop {
        let asked = tokio::select! {
            Some(ended) = tasks.join_next() => {
                let Ok(Asked { token, outcome, connection }) = ended else {
                    // A task panicked, and nobody knows which: all that wait are told.
                    let all = under_way.drain().flat_map(|(_, askers)| askers).collect();
                    let _ = run.told.send(Told::Answer(all, Answer::Unavailable)).await;
                    continue;
                };
                idle.extend(connection);
                let answer = run.judge(outcome, &mut failures);
                if failures >= FAILURES_MAX {
                    quiet_until = machine::now().after(PAUSE);
                }
                let askers = under_way.remove(&token).unwrap_or_default();
                let _ = run.told.send(Told::Answer(askers, answer)).await;
                continue;
            }
            asked = run.questions.recv(), if tasks.len() < INTROSPECTIONS_MAX => asked,
        };
        let Some((asker, token)) = asked else { return };
        let Question::Token(token) = token else { continue };
        if let Some(askers) = under_way.get_mut(&*token) {
            askers.push(asker);
            continue;
        }
        if machine::now() < quiet_until {
            let _ = run.told.send(Told::Answer(vec![asker], Answer::Unavailable)).await;
            continue;
        }
        let token: Rc<str> = token.into();
        under_way.insert(Rc::clone(&token), vec![asker]);
        idle.retain(Connection::is_open);
        let connection = idle.pop();
        let (client, terms) = (run.client(), run.slot.terms.borrow().clone());
        tasks.spawn_local(async move {
            let AskedFor::Tokens(plan) = &terms.asked_for else {
                return Asked { token, outcome: Err("it is no authorisation server".to_owned()), connection: None };
            };
            let asked = tokio::time::timeout(terms.timeout, ask(&client, plan, &token, connection)).await;
            match asked.unwrap_or_else(|_| Err("no response in time".to_owned())) {
                Ok((answer, connection)) => Asked { token, outcome: Ok(answer), connection: Some(connection) },
                Err(reason) => Asked { token, outcome: Err(reason), connection: None },
            }
        });
    }
}

impl Run {
    /// Counts failures, and says the first of several in the log.
    fn judge(&self, outcome: Result<Answer, String>, failures: &mut u32) -> Answer {
        let policy = &self.slot.terms.borrow().policy;
        match outcome {
            Ok(answer) => {
                if std::mem::take(failures) > 0 {
                    tracing::info!(%policy, "the authorisation server answers again");
                }
                answer
            }
            Err(reason) => {
                if *failures == 0 {
                    tracing::warn!(%policy, %reason, "the authorisation server does not say whether a token is valid");
                }
                *failures = failures.saturating_add(1);
                Answer::Unavailable
            }
        }
    }
}

/// Asks on an idle connection, and on a new one where that has ended meanwhile.
async fn ask(
    client: &Client,
    plan: &IntrospectionPlan,
    token: &str,
    idle: Option<Connection>,
) -> Result<(Answer, Connection), String> {
    if let Some(mut connection) = idle
        && let Ok(fetched) = connection.exchange(&plan.url, request(plan, token)?, INTROSPECTION_BYTES_MAX).await
    {
        return Ok((read(&fetched)?, connection));
    }
    let mut connection = client.connect(&plan.url).await?;
    let fetched = connection.exchange(&plan.url, request(plan, token)?, INTROSPECTION_BYTES_MAX).await?;
    Ok((read(&fetched)?, connection))
}

fn request(plan: &IntrospectionPlan, token: &str) -> Result<Request<Full<Bytes>>, String> {
    let mut fields = String::new();
    form::append("token", token, &mut fields);
    form::append("token_type_hint", "access_token", &mut fields);
    client::post(&plan.url, &plan.client, fields)
}

/// What the server says: an object whose `active` is `true` or `false`. Anything else is a failure, never a no.
fn read(fetched: &Fetched) -> Result<Answer, String> {
    if fetched.status != 200 {
        return Err(format!("status {}", fetched.status));
    }
    let members = jose::members(&fetched.body).ok_or_else(|| "the response is no JSON object".to_owned())?;
    match members.get("active") {
        Some(Value::Bool(true)) => Ok(Answer::Token(Some(Arc::new(members)))),
        Some(Value::Bool(false)) => Ok(Answer::Token(None)),
        Some(_) | None => Err("the response has no `active`".to_owned()),
    }
}
