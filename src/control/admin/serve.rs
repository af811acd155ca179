// SPDX-License-Identifier: Apache-2.0
//! The way of one request: Origin, Host, route, who asks, whether it may, query, body, action, response.
//!
//! A write runs in a task of its own, so it ends whether or not its client waits for it.

use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::task::spawn_local;

use crate::control::admin::access::{Access, Received};
use crate::control::admin::auth::{self, Sender};
use crate::control::admin::call::Call;
use crate::control::admin::idempotency::{self, Begun, Given, Key};
use crate::control::admin::precondition::Precondition;
use crate::control::admin::principal::Principal;
use crate::control::admin::problem::{Problem, Reason};
use crate::control::admin::query::Query;
use crate::control::admin::response::{AdminResponse, Kept, Payload, Reply, refusal};
use crate::control::admin::router::{Found, Route, find};
use crate::control::admin::state::AdminState;
use crate::control::admin::{actions, body};
use crate::control::store::response::{self, Idempotency};
use crate::control::store::token;
use crate::net::machine;

/// Longest wait for the control plane's response; a reload with many certificates takes several seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(90);
/// Longest wait for a response to be in the store.
const KEEP_WAIT: Duration = Duration::from_secs(1);
/// The field that names a request in the audit and in problem documents.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Serves one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    received: Received,
    access: Access,
    state: Rc<AdminState>,
) -> AdminResponse {
    let request_id = request_id();
    let replied = tokio::time::timeout(ANSWER_WAIT, reply(request, received, &access, &state, &request_id)).await;
    let replied = replied.unwrap_or_else(|_| Err(Problem::no_answer()));
    let reply = replied.unwrap_or_else(|problem| refusal(problem, &request_id));
    let mut response = reply.response();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

async fn reply(
    request: Request<Incoming>,
    received: Received,
    access: &Access,
    state: &Rc<AdminState>,
    request_id: &str,
) -> Result<Reply, Problem> {
    let (head, content) = request.into_parts();
    if ![Method::GET, Method::HEAD].contains(&head.method) {
        auth::not_a_page(&head.headers)?;
    }
    access.sees(received, head.version, &head.headers)?;
    let (route, segments) = match find(&state.routes, &head.method, head.uri.path()) {
        Found::Route(route, segments) => (route.clone(), segments),
        Found::OtherMethod(allowed) => {
            let problem = Problem::new(Reason::MethodNotAllowed, format!("this path takes {allowed}"));
            let allowed = HeaderValue::try_from(allowed).map_err(|_| Problem::no_answer())?;
            return Err(problem.field(ALLOW, allowed));
        }
        Found::Nothing => return Err(Problem::new(Reason::NotFound, "nothing is here; GET / lists what is")),
    };
    let principal = authenticate(access, received, &head.headers, state).await?;
    principal.may(route.need)?;
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let raw_query = head.uri.query().unwrap_or("").to_owned();
    let known: Vec<&str> = route.query.iter().map(|parameter| parameter.name).collect();
    // Pages read their own, and leave out what they do not know.
    let query = if route.is_api() { Query::parse(&raw_query, &known)? } else { Query::default() };
    let key = Key::of(&head.headers, &principal.name)?.filter(|_| route.is_api() && route.writes());
    let bytes = body::read(content).await?;
    let body = body::parse(&route.takes, &head.headers, &bytes)?;
    let digest = idempotency::fingerprint(head.method.as_str(), target, &bytes);
    let idempotency = key.as_ref().map(|key| Idempotency { key: key.text().to_owned(), digest });
    let (from, precondition) = (received.peer(), Precondition::parse(&head.headers)?);
    let request_id = request_id.to_owned();
    let accept = head.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let call =
        Call { request_id, principal, precondition, idempotency, from, segments, query, raw_query, accept, body };
    if !route.writes() {
        return actions::run(route.action, call, state).await;
    }
    let state = Rc::clone(state);
    let written = spawn_local(async move {
        match key {
            Some(key) => once(route, call, &state, (key, digest)).await,
            None => actions::run(route.action, call, &state).await,
        }
    });
    written.await.unwrap_or_else(|_| Err(Problem::no_answer()))
}

async fn authenticate(
    access: &Access,
    received: Received,
    fields: &HeaderMap,
    state: &AdminState,
) -> Result<Principal, Problem> {
    let now = || (machine::now(), machine::wall());
    let sender = auth::sender(access, received, fields, &mut state.attempts.borrow_mut(), now())?;
    let hash = match sender {
        Sender::Known(principal) => return Ok(principal),
        Sender::Token(hash) => hash,
    };
    let found = state.read(move |connection, _| match connection {
        Some(connection) => token::by_hash(connection, &hash),
        None => Ok(None),
    });
    let found = found.await?;
    auth::holder(found.as_ref(), &hash, received, &mut state.attempts.borrow_mut(), now())
}

/// Serves a request that has an `Idempotency-Key`: once, or again as it was served before.
async fn once(
    route: Route,
    call: Call,
    state: &Rc<AdminState>,
    (key, fingerprint): (Key, [u8; 32]),
) -> Result<Reply, Problem> {
    let begun = state.idempotency.borrow_mut().begin(&key, fingerprint, machine::now())?;
    if let Begun::Again(given) = begun {
        return Ok(again(given));
    }
    let stored = kept_before(&call, state).await;
    if let Ok(Some(given)) = stored {
        state.idempotency.borrow_mut().end(&key, Some(given.clone()));
        return Ok(again(given));
    }
    // What the store does not say now it says of the write, if there is one. Another request with the key is refused.
    if let Err(refused) = stored.map_err(|problem| (problem.reason == Reason::KeyReused).then_some(problem))
        && let Some(refused) = refused
    {
        state.idempotency.borrow_mut().end(&key, None);
        return Err(refused);
    }
    let (principal, idempotency) = (call.principal.name.clone(), call.idempotency.clone());
    let replied = actions::run(route.action, call, state).await;
    let given = replied.as_ref().ok().and_then(|reply| match &reply.content {
        Payload::Bytes(body) => {
            let (status, media_type, fields) = (reply.status, reply.media_type, reply.fields.clone());
            Some(Given { status, media_type, fields, body: body.clone() })
        }
        Payload::Trace(_) => None,
    });
    let given = given.filter(|given| given.status < StatusCode::BAD_REQUEST);
    if let Ok(Reply { kept: Kept::Stored, .. }) = &replied
        && let (Some(given), Some(idempotency)) = (&given, idempotency)
    {
        keep(principal, idempotency, given, state).await;
    }
    state.idempotency.borrow_mut().end(&key, given);
    replied
}

/// A response that was given before.
fn again(given: Given) -> Reply {
    let reply = Reply::bytes(given.status, given.media_type, given.body);
    let replayed = (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
    Reply { fields: given.fields.into_iter().chain([replayed]).collect(), ..reply }
}

/// The response that this or another process gave to the same request before.
async fn kept_before(call: &Call, state: &AdminState) -> Result<Option<Given>, Problem> {
    let Some(idempotency) = call.idempotency.clone() else { return Ok(None) };
    let (principal, now) = (call.principal.name.clone(), machine::wall().seconds());
    let found = state.read(move |database, _| match database {
        Some(database) => response::find(database, &principal, &idempotency, now),
        None => Ok(None),
    });
    Ok(found.await?.and_then(Given::of_store))
}

/// Keeps a response in the store, where there is one. Where that fails, it is known as long as the process lives.
async fn keep(principal: String, idempotency: Idempotency, given: &Given, state: &AdminState) {
    let (response, now) = (given.stored(), machine::wall().seconds());
    let kept = state.read(move |database, _| match database {
        Some(database) => response::keep(database, &principal, &idempotency, &response, now),
        None => Ok(()),
    });
    // A disk that hangs must not hold up the response.
    let _ = tokio::time::timeout(KEEP_WAIT, kept).await;
}

/// Sixteen hexadecimal digits.
fn request_id() -> String {
    let mut bytes = [0; 8];
    // Without randomness the id is no name any more, and the request can be served all the same.
    let _ = getrandom::fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}
