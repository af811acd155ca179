// SPDX-License-Identifier: Apache-2.0
//! Hot. Another server says whether a request may pass, asked by a subrequest, as nginx's `auth_request` does:
//! 2xx passes, 401 and 403 refuse (401 with its `WWW-Authenticate`), everything else is a failure. By choice every
//! refusal is passed on whole, as Traefik's `forwardAuth` and Envoy's `ext_authz` do, and verdicts are remembered
//! (`cache`) as long as the server allows.
//!
//! Fields that the server's response may set on the way to the upstream are `protect`ed, so that a client cannot forge
//! them.

mod cache;

use std::sync::Arc;
use std::time::Duration;

use crate::base::UpstreamId;
use crate::base::ascii::is_same_to_origin;
use crate::base::limits::AUTH_BODY_BYTES_MAX;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
use crate::policy::external_auth::cache::Remembered;
use crate::policy::facts::{Carried, Effects, Facts, Response, Subrequest};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::policy::protected::{Protected, has_start, is_of_body, is_of_connection};
use crate::wire::field::Known;
use crate::wire::head::{Field, Fields, Request};
use crate::wire::patch::Patch;
use crate::wire::template::{Lookup, Template, Variable};

pub(crate) use cache::{Cache, CachePlan};

/// Whom to ask, and what to do with the answer.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The upstream that is asked.
    pub upstream: UpstreamId,
    /// Its name, for logs.
    pub name: Arc<str>,
    /// Its method.
    pub method: SubrequestMethod,
    /// Path and query of the subrequest.
    pub target: Target,
    /// The most bytes of the request's body that are sent along; `None` sends none. A longer body is refused with 413.
    pub body_bytes_max: Option<u64>,
    /// In which fields the server is told of the request.
    pub original: OriginalFields,
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
    /// What the client gets of a refusal.
    pub refusals: Refusals,
    /// Whether verdicts are remembered.
    pub cache: Option<CachePlan>,
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

/// Fields that are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copied {
    /// Those with this name.
    Named(Box<[u8]>),
    /// Those whose names begin like this, but for those of a connection and of a body.
    Prefixed(Box<[u8]>),
}

impl Copied {
    /// Does it copy a field of this name? As an origin reads names: in any case, and with `_` for `-`.
    fn takes(&self, name: &[u8]) -> bool {
        match self {
            Copied::Named(own) => is_same_to_origin(name, own),
            Copied::Prefixed(start) => has_start(name, start),
        }
    }

    /// Copies such fields of a response.
    fn copy(&self, response: Response<'_>, patch: &mut Patch) {
        for field in &response.head.fields.list {
            let name = field.name.of(response.bytes);
            let copied = match self {
                Copied::Named(own) => name.eq_ignore_ascii_case(own),
                Copied::Prefixed(_) => self.takes(name) && !is_of_connection(field.known) && !is_of_body(name),
            };
            if copied {
                patch.add(name, field.value.of(response.bytes));
            }
        }
    }

    /// Removes such fields from what was added before.
    fn remove(&self, patch: &mut Patch) {
        patch.remove_added_like(|name| self.takes(name));
    }
}

/// The method of the subrequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubrequestMethod {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// The request's own.
    Original,
}

/// Path and query of the subrequest.
#[derive(Clone, Debug)]
pub enum Target {
    /// This text.
    Template(Template),
    /// Behind this path, the normalised path and the query of the request.
    Original(Box<[u8]>),
}

/// In which fields the server is told of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginalFields {
    /// In all that servers read.
    All,
    /// In `X-Forwarded-*`, as Traefik does.
    Forwarded,
    /// In none but `X-Forwarded-For` and `-Proto`: host, target and method are those of the request.
    Ends,
}

/// What the client gets of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// A 401 or 403 of ours; every other status is a failure.
    Own,
    /// Every response that is no 2xx, with its fields and its body.
    Whole,
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

impl ShardState<Plan> for Cache {
    fn new(_: &Plan, _: Shards, _: u32) -> Cache {
        Cache::default()
    }
}

impl Kind for Plan {
    type State = Cache;
    type Memo = Memo;

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn needs_route(&self) -> Option<&'static str> {
        let named = self.cache.iter().flat_map(|cache| &cache.by).any(Template::names_route);
        match &self.target {
            _ if self.body_bytes_max.is_some() => Some("`body`"),
            Target::Template(target) if target.names_route() => Some("`{route}` in `path`"),
            Target::Template(_) | Target::Original(_) => named.then_some("`{route}` in `cache`"),
        }
    }

    fn protect(&self, names: &mut Protected) {
        for copied in &self.to_upstream {
            match copied {
                Copied::Named(name) => names.add(name),
                Copied::Prefixed(start) => names.add_prefix(start),
            }
        }
    }

    fn reads_body(&self) -> bool {
        self.body_bytes_max.is_some()
    }

    fn decide<L: Lookup>(&self, state: &mut Cache, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        for copied in &self.to_upstream {
            copied.remove(&mut effects.to_upstream);
        }
        if !self.write_start(facts, &mut effects.subrequest) {
            return self.fail("external_auth_target", &mut effects.reported);
        }
        if let Some(cache) = &self.cache {
            let Effects { subrequest, scratch, to_upstream, to_client, .. } = effects;
            let key = cache.key([&subrequest.method, &subrequest.host, &subrequest.target], facts.words, scratch);
            memo.key = key.to_ne_bytes();
            if let Some(verdict) = state.find(key, now) {
                return match verdict.apply(to_upstream, to_client) {
                    None => Decision::Pass,
                    Some(401) => refuse(401, "Unauthorized"),
                    Some(status) => refuse(status, "Forbidden"),
                };
            }
        }
        match self.body_bytes_max {
            Some(bytes_max) => {
                memo.step = Step::Body;
                Decision::Ask(Ask::Body { bytes_max })
            }
            None => self.ask(facts, effects),
        }
    }

    fn resume<L: Lookup>(&self, state: &mut Cache, call: Call<'_, L, Memo>, outcome: AskOutcome<'_>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        if std::mem::take(&mut memo.step) == Step::Body {
            return self.ask(facts, effects);
        }
        let response = match outcome {
            AskOutcome::Subrequest(response) => response,
            AskOutcome::Failed | AskOutcome::Expired | AskOutcome::Woken => {
                return self.fail("external_auth_failed", &mut effects.reported);
            }
        };
        let before = (effects.to_upstream.mark(), effects.to_client.mark());
        let decision = self.judge(effects, response);
        if let Some(cache) = &self.cache
            && let Some(keep) = cache.lifetime(response)
            && let Some(verdict) = Remembered::of(&decision, response.head.status, effects, before)
        {
            state.insert(u128::from_ne_bytes(memo.key), now.after(keep), verdict);
        }
        decision
    }
}

impl Plan {
    /// Writes method, host, path and query of the subrequest. False where there is no such path or query.
    fn write_start<L: Lookup>(&self, facts: &Facts<'_, L>, subrequest: &mut Subrequest) -> bool {
        let Subrequest { method, host, target, .. } = subrequest;
        [&mut *method, &mut *host, &mut *target].into_iter().for_each(Vec::clear);
        method.extend_from_slice(match self.method {
            SubrequestMethod::Get => b"GET",
            SubrequestMethod::Post => b"POST",
            SubrequestMethod::Original => facts.request.method_text(),
        });
        if self.original == OriginalFields::Ends {
            host.extend_from_slice(facts.request.authority());
        }
        match &self.target {
            Target::Template(template) => template.render(facts.words, target),
            Target::Original(prefix) => {
                target.extend_from_slice(prefix);
                append_original(facts, target);
            }
        }
        let safe = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
        target.first() == Some(&b'/') && target.iter().all(safe)
    }

    /// The subrequest, whose start is written.
    fn ask<L: Lookup>(&self, facts: &Facts<'_, L>, effects: &mut Effects) -> Decision<'_> {
        let request = facts.request;
        let Effects { to_upstream, subrequest, scratch, .. } = effects;
        subrequest.fields.clear();
        subrequest.body = if self.body_bytes_max.is_some() { Carried::Body } else { Carried::Nothing };
        subrequest.kept_bytes_max = if self.refusals == Refusals::Whole { AUTH_BODY_BYTES_MAX } else { 0 };
        for (index, field) in request.head.fields.list.iter().enumerate() {
            if !to_upstream.is_removed(index) && self.forwards(field, request) {
                subrequest.fields.add(field.name.of(request.bytes), field.value.of(request.bytes));
            }
        }
        self.add_original(facts, &mut subrequest.fields, scratch);
        Decision::Ask(Ask::Subrequest { upstream: self.upstream, name: &self.name, timeout: self.timeout })
    }

    fn judge(&self, effects: &mut Effects, response: Response<'_>) -> Decision<'_> {
        match response.head.status {
            200..=299 => {
                for copied in &self.to_upstream {
                    copied.remove(&mut effects.to_upstream);
                    copied.copy(response, &mut effects.to_upstream);
                }
                self.copy_to_client(response, effects);
                Decision::Pass
            }
            status if self.refusals == Refusals::Whole => {
                for field in &response.head.fields.list {
                    let name = field.name.of(response.bytes);
                    let framing = matches!(field.known, Known::ContentLength | Known::TransferEncoding);
                    if !framing
                        && !is_of_connection(field.known)
                        && !is_nominated(name, &response.head.fields, response.bytes)
                    {
                        effects.to_client.add(name, field.value.of(response.bytes));
                    }
                }
                let reason = if status < 400 { "external_auth_redirect" } else { "external_auth_denied" };
                Decision::Respond(LocalResponse { status, reason, body: LocalBody::Kept })
            }
            401 => {
                copy(response, b"WWW-Authenticate", &mut effects.to_client);
                self.copy_to_client(response, effects);
                refuse(401, "Unauthorized")
            }
            403 => {
                self.copy_to_client(response, effects);
                refuse(403, "Forbidden")
            }
            status @ (301 | 302 | 303 | 307 | 308) if self.redirects == Redirects::Forward => {
                copy(response, b"Location", &mut effects.to_client);
                copy(response, b"Set-Cookie", &mut effects.to_client);
                Decision::Respond(LocalResponse { status, reason: "external_auth_redirect", body: LocalBody::Empty })
            }
            _ => self.fail("external_auth_status", &mut effects.reported),
        }
    }

    fn copy_to_client(&self, response: Response<'_>, effects: &mut Effects) {
        for copied in &self.to_client {
            copied.copy(response, &mut effects.to_client);
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
            // What describes a body goes with it.
            Forward::All => self.body_bytes_max.is_some() || !is_of_body(name),
            Forward::Only(names) => names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)),
        }
    }

    /// Tells the server what the request was. The names are nginx's custom and those of forward-auth servers.
    fn add_original<L: Lookup>(&self, facts: &Facts<'_, L>, fields: &mut Patch, scratch: &mut Vec<u8>) {
        let request = facts.request;
        scratch.clear();
        append_original(facts, scratch);
        if self.original == OriginalFields::All {
            fields.add(b"X-Original-Method", request.method_text());
            fields.add(b"X-Original-URI", scratch);
        }
        if self.original != OriginalFields::Ends {
            fields.add(b"X-Forwarded-Method", request.method_text());
            fields.add(b"X-Forwarded-Uri", scratch);
            fields.add(b"X-Forwarded-Host", request.authority());
        }
        fields.add(b"X-Forwarded-Proto", facts.scheme.name().as_bytes());
        scratch.clear();
        facts.words.append(&Variable::ClientIp, scratch);
        fields.add(b"X-Forwarded-For", scratch);
    }
}

/// The normalised path, as routes and the upstream see it, and the query: the server must judge what is served.
fn append_original<L>(facts: &Facts<'_, L>, out: &mut Vec<u8>) {
    out.extend_from_slice(facts.path);
    if let Some(query) = facts.request.head.query {
        out.push(b'?');
        out.extend_from_slice(query.of(facts.request.bytes));
    }
}

/// What is remembered of a request between the calls.
#[derive(Debug, Default)]
pub struct Memo {
    /// Under which a verdict is remembered, where they are. As bytes, because a number would be aligned.
    key: [u8; 16],
    step: Step,
}

/// What was asked for last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// The server.
    #[default]
    Server,
    /// The request's body.
    Body,
}

fn refuse<'p>(status: u16, title: &'static str) -> Decision<'p> {
    let problem = Problem { kind: "", title, detail: "", violated_policy: "" };
    Decision::Respond(LocalResponse { status, reason: "external_auth_denied", body: LocalBody::Problem(problem) })
}

fn copy(response: Response<'_>, name: &[u8], patch: &mut Patch) {
    for value in response.head.fields.named(response.bytes, name) {
        patch.add(name, value);
    }
}

/// Named by a `Connection` field: meant for us and not for anybody behind us.
fn is_nominated(name: &[u8], fields: &Fields, bytes: &[u8]) -> bool {
    let mut values = fields.values(bytes, Known::Connection);
    values.any(|value| value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(name)))
}

const ORIGINAL: [&[u8]; 4] = [b"x-original-method", b"x-original-uri", b"x-forwarded-method", b"x-forwarded-uri"];

#[cfg(test)]
mod tests;
