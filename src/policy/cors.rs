// SPDX-License-Identifier: Apache-2.0
//! Hot. Cross-origin resource sharing (Fetch standard, section 3.3): answers preflights, and says which origins may
//! read a response.
//!
//! The gateway decides alone: it removes these fields from the upstream's response, except from that to a preflight
//! which the upstream is to answer. With `Origins::Any` it never allows credentials, whatever the plan says, because
//! then every site could act as the user.

use std::time::Duration;

use crate::base::Span;
use crate::base::ascii::push_decimal;
use crate::policy::decision::{Decision, LocalBody, LocalResponse};
use crate::policy::facts::{Effects, Response};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::wire::field::Known;
use crate::wire::head::{Method, Request};
use crate::wire::template::Lookup;

/// Who may read what from which pages.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Pages of which origins.
    pub origins: Origins,
    /// Methods beyond those that need no preflight, as sent in `Access-Control-Allow-Methods`: `GET, PUT`. Empty allows
    /// what was asked for.
    pub methods: Box<[u8]>,
    /// Request fields, as sent in `Access-Control-Allow-Headers`: `authorization, x-a`. Empty allows what was asked
    /// for.
    pub headers: Box<[u8]>,
    /// Response fields that the page may read, as sent in `Access-Control-Expose-Headers`; may be empty.
    pub expose: Box<[u8]>,
    /// Whether the page may send cookies and the like.
    pub credentials: Credentials,
    /// How long a browser may remember a preflight; `None` leaves it to the browser (5 seconds).
    pub max_age: Option<Duration>,
    /// Whether pages from public networks may reach us on a private one.
    pub private_network: PrivateNetwork,
    /// Who answers preflights.
    pub preflights: Preflights,
}

/// Who answers preflights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preflights {
    /// We do, with this status: 200 to 299.
    Answered(u16),
    /// The upstream does, and its answer reaches the browser as it is.
    Forwarded,
}

/// Pages of which origins.
#[derive(Clone, Debug)]
pub enum Origins {
    /// All, without credentials.
    Any,
    /// Those that one of these fits.
    Listed(Box<[OriginRule]>),
}

/// One rule for an origin (`https://example.com`, `https://example.com:8443`, `null`).
#[derive(Clone, Debug)]
pub enum OriginRule {
    /// Exactly this, in any case.
    Exact(Box<str>),
    /// `https://*.example.com`: scheme with `://`, and the rest with its leading dot. Any depth of subdomains, not the
    /// domain itself.
    Subdomains(Box<str>, Box<str>),
    /// The whole origin; made by `OriginRule::regex`, which anchors it. It never fits `null`, the origin of sandboxed
    /// pages and of files, which everybody can have: that must be named.
    Regex(regex::bytes::Regex),
}

/// Whether the page may send cookies and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// It may; needs listed origins.
    Allowed,
    /// It may not.
    Denied,
}

/// Whether pages from public networks may reach us on a private one (Private Network Access).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateNetwork {
    /// They may.
    Allowed,
    /// They may not.
    Denied,
}

/// Where the bytes of a preflight (Fetch standard, section 3.3.5) name the method that it asks for; `None` for any
/// other request.
pub(crate) fn asked_method(request: Request<'_>) -> Option<Span> {
    if request.head.method != Method::Options {
        return None;
    }
    let fields = &request.head.fields.list;
    let first = |known: Known| fields.iter().find(|field| field.known == known).map(|field| field.value);
    first(Known::Origin).and_then(|_| first(Known::AccessControlRequestMethod))
}

impl OriginRule {
    /// A rule from what a user wrote without a regex: an origin, or one with `*.` directly after `://`. `None` where a
    /// `*` stands elsewhere.
    pub fn parse(text: &str) -> Option<OriginRule> {
        if !text.contains('*') {
            return Some(OriginRule::Exact(text.into()));
        }
        let (scheme, rest) = text.split_once("*.")?;
        let domain = &text[text.len() - rest.len() - 1..];
        let whole = scheme.ends_with("://") && !scheme.contains('*') && !rest.contains('*') && !rest.is_empty();
        whole.then(|| OriginRule::Subdomains(scheme.into(), domain.into()))
    }

    /// A rule from a regex, which must fit the whole origin.
    ///
    /// # Errors
    /// What is wrong with the regex.
    pub fn regex(text: &str) -> Result<OriginRule, regex::Error> {
        // Compiled alone first, so that an unbalanced parenthesis cannot escape from the anchors around it.
        regex::bytes::Regex::new(text)?;
        // tidy(hot): rules are compiled when a configuration is loaded.
        regex::bytes::Regex::new(&format!("^(?:{text})$")).map(OriginRule::Regex)
    }

    /// Does it hold for this `Origin`?
    pub fn fits(&self, origin: &[u8]) -> bool {
        match self {
            OriginRule::Exact(exact) => origin.eq_ignore_ascii_case(exact.as_bytes()),
            OriginRule::Subdomains(scheme, domain) => {
                let Some(middle) = origin.len().checked_sub(scheme.len() + domain.len()) else { return false };
                let (start, rest) = origin.split_at(scheme.len());
                let (label, end) = rest.split_at(middle);
                // Nothing but a host's letters: `https://evil.com/.example.com` and `https://evil.com:1.example.com` do
                // not fit.
                let host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
                middle > 0
                    && start.eq_ignore_ascii_case(scheme.as_bytes())
                    && end.eq_ignore_ascii_case(domain.as_bytes())
                    && label.iter().all(host)
            }
            OriginRule::Regex(regex) => origin != NULL && regex.is_match(origin),
        }
    }
}

/// The rules for origins as one shard compares them: regular expressions have scratch memory of their own here, since
/// otherwise shards would meet at a lock.
#[derive(Debug)]
pub struct Rules(Box<[OriginRule]>);

impl ShardState<Plan> for Rules {
    fn new(plan: &Plan, _: Shards, _: u32) -> Rules {
        match &plan.origins {
            Origins::Any => Rules(Box::default()),
            Origins::Listed(rules) => Rules(rules.clone()),
        }
    }
}

impl Kind for Plan {
    type State = Rules;
    type Memo = Memo;

    /// Before all others: a preflight carries no credentials, and a page can only read a refusal that has its CORS
    /// fields.
    fn phase(&self) -> Phase {
        Phase::Screen
    }

    fn protects(&self) -> bool {
        false
    }

    fn decide<L: Lookup>(&self, rules: &mut Rules, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, .. } = call;
        let request = facts.request;
        let asked = asked_method(request).map(|asked| asked.of(request.bytes));
        let status = match (asked, self.preflights) {
            (Some(_), Preflights::Forwarded) => {
                *memo = Memo::Untouched;
                return Decision::Pass;
            }
            (_, Preflights::Answered(status)) => status,
            (None, Preflights::Forwarded) => 0,
        };
        let origin = sole_origin(request).filter(|origin| self.allows(rules, origin));
        if asked.is_some() {
            self.add_preflight_vary(effects);
        } else {
            self.add_vary(effects);
        }
        if let Some(origin) = origin {
            self.add_origin(origin, effects);
        }
        // Browsers read this in the answer itself only; that preflights have it too is what the Gateway API asks for.
        if origin.is_some() && !self.expose.is_empty() {
            effects.to_client.add(EXPOSE, &self.expose);
        }
        let Some(method) = asked else { return Decision::Pass };
        // Without the fields of permission the browser refuses by itself, and says so to the page's author.
        if origin.is_some() {
            self.add_permissions(method, request, effects);
        }
        let reason = if origin.is_some() { "cors_preflight" } else { "cors_origin_denied" };
        Decision::Respond(LocalResponse { status, reason, body: LocalBody::Empty })
    }

    fn answers_preflights(&self) -> bool {
        true
    }

    fn adapt<L: Lookup>(&self, memo: &mut Memo, response: Response<'_>, _: &L, effects: &mut Effects) {
        if *memo == Memo::Untouched {
            return;
        }
        for (index, field) in response.head.fields.list.iter().enumerate() {
            let name = field.name.of(response.bytes);
            // Few names are that long.
            if name.len() >= SHORTEST && OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
                effects.to_client.remove_at(index);
            }
        }
    }
}

impl Plan {
    /// Is this origin allowed?
    fn allows(&self, rules: &Rules, origin: &[u8]) -> bool {
        match self.origins {
            Origins::Any => true,
            Origins::Listed(_) => rules.0.iter().any(|rule| rule.fits(origin)),
        }
    }

    /// A cache must not give one origin's answer to another; with `*` all get the same.
    fn add_vary(&self, effects: &mut Effects) {
        match self.origins {
            Origins::Any => {}
            Origins::Listed(_) => {
                effects.to_client.add_value(Known::Vary, b"Vary: ", b"Origin");
            }
        }
    }

    /// The answer to a preflight may depend on all that it asks.
    fn add_preflight_vary(&self, effects: &mut Effects) {
        let asked: &[u8] = match self.private_network {
            PrivateNetwork::Allowed => PRIVATE_VARY,
            PrivateNetwork::Denied => VARY,
        };
        effects.to_client.add(b"Vary", asked);
    }

    fn add_origin(&self, origin: &[u8], effects: &mut Effects) {
        match self.origins {
            Origins::Any => {
                effects.to_client.add(ORIGIN, b"*");
            }
            Origins::Listed(_) => {
                effects.to_client.add_value(Known::Other, b"Access-Control-Allow-Origin: ", origin);
                if self.credentials == Credentials::Allowed {
                    effects.to_client.add(CREDENTIALS, b"true");
                }
            }
        }
    }

    fn add_permissions(&self, method: &[u8], request: Request<'_>, effects: &mut Effects) {
        let methods = if self.methods.is_empty() { method } else { &self.methods };
        effects.to_client.add(METHODS, methods);
        let asked = request.value(Known::AccessControlRequestHeaders).unwrap_or_default();
        let headers = if self.headers.is_empty() { asked } else { &self.headers };
        if !headers.is_empty() {
            effects.to_client.add(HEADERS, headers);
        }
        if let Some(max_age) = self.max_age {
            effects.to_client.add_with(MAX_AGE, |out| push_decimal(out, max_age.as_secs()));
        }
        let asks_private = request.named(b"access-control-request-private-network") == Some(b"true");
        if asks_private && self.private_network == PrivateNetwork::Allowed {
            effects.to_client.add(PRIVATE_NETWORK, b"true");
        }
    }
}

/// The origin, where the request has exactly one. A browser never sends two.
fn sole_origin(request: Request<'_>) -> Option<&[u8]> {
    let mut origins = request.head.fields.values(request.bytes, Known::Origin);
    let origin = origins.next()?;
    origins.next().is_none().then_some(origin)
}

/// What it remembers of a request: whether its response is the upstream's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memo {
    /// It is ours.
    #[default]
    Ours,
    /// A preflight that the upstream answers.
    Untouched,
}

/// The origin of sandboxed pages, of files, and of redirects across origins.
pub(crate) const NULL: &[u8] = b"null";
const VARY: &[u8] = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
const PRIVATE_VARY: &[u8] =
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network";
const ORIGIN: &[u8] = b"Access-Control-Allow-Origin";
const CREDENTIALS: &[u8] = b"Access-Control-Allow-Credentials";
const METHODS: &[u8] = b"Access-Control-Allow-Methods";
const HEADERS: &[u8] = b"Access-Control-Allow-Headers";
const EXPOSE: &[u8] = b"Access-Control-Expose-Headers";
const MAX_AGE: &[u8] = b"Access-Control-Max-Age";
const PRIVATE_NETWORK: &[u8] = b"Access-Control-Allow-Private-Network";
const OURS: [&[u8]; 7] = [ORIGIN, CREDENTIALS, METHODS, HEADERS, EXPOSE, MAX_AGE, PRIVATE_NETWORK];
/// The length of the shortest of them.
const SHORTEST: usize = MAX_AGE.len();

#[cfg(test)]
mod tests;
