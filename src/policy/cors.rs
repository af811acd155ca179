// SPDX-License-Identifier: Apache-2.0
//! Hot. Cross-origin resource sharing (Fetch standard, section 3.3): answers preflights, and says which origins may
//! read a response.
//!
//! The gateway decides alone: it removes these fields from the upstream's response. With `Origins::Any` it never allows
//! credentials, whatever the plan says, because then every site could act as the user.

use std::time::Duration;

use crate::base::Span;
use crate::base::ascii::push_decimal;
use crate::policy::decision::{Decision, LocalBody, LocalResponse};
use crate::policy::facts::{Effects, Response};
use crate::policy::kind::{Call, Kind};
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
    /// The whole origin; made by `OriginRule::regex`, which anchors it.
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
            OriginRule::Regex(regex) => regex.is_match(origin),
        }
    }
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    /// Before all others: a preflight carries no credentials, and a page can only read a refusal that has its CORS
    /// fields.
    fn phase(&self) -> Phase {
        Phase::Screen
    }

    fn protects(&self) -> bool {
        false
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let request = facts.request;
        let origin = sole_origin(request).filter(|origin| self.allows(origin));
        let asked = asked_method(request).map(|asked| asked.of(request.bytes));
        if asked.is_some() {
            add_preflight_vary(effects);
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
        Decision::Respond(LocalResponse { status: 204, reason, body: LocalBody::Empty })
    }

    fn answers_preflights(&self) -> bool {
        true
    }

    fn adapt<L: Lookup>(&self, (): &mut (), response: Response<'_>, _: &L, effects: &mut Effects) {
        for (index, field) in response.head.fields.list.iter().enumerate() {
            let name = field.name.of(response.bytes);
            if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
                effects.to_client.remove_at(index);
            }
        }
    }
}

impl Plan {
    /// Is this origin allowed?
    pub fn allows(&self, origin: &[u8]) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Listed(rules) => rules.iter().any(|rule| rule.fits(origin)),
        }
    }

    /// A cache must not give one origin's answer to another; with `*` all get the same.
    fn add_vary(&self, effects: &mut Effects) {
        match self.origins {
            Origins::Any => {}
            Origins::Listed(_) => {
                effects.to_client.add(b"Vary", b"Origin");
            }
        }
    }

    fn add_origin(&self, origin: &[u8], effects: &mut Effects) {
        match self.origins {
            Origins::Any => {
                effects.to_client.add(ORIGIN, b"*");
            }
            Origins::Listed(_) => {
                effects.to_client.add(ORIGIN, origin);
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

/// The answer to a preflight may depend on all that it asks.
fn add_preflight_vary(effects: &mut Effects) {
    effects.to_client.add(b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
}

/// The origin, where the request has exactly one. A browser never sends two.
fn sole_origin(request: Request<'_>) -> Option<&[u8]> {
    let mut origins = request.head.fields.values(request.bytes, Known::Origin);
    let origin = origins.next()?;
    origins.next().is_none().then_some(origin)
}

const ORIGIN: &[u8] = b"Access-Control-Allow-Origin";
const CREDENTIALS: &[u8] = b"Access-Control-Allow-Credentials";
const METHODS: &[u8] = b"Access-Control-Allow-Methods";
const HEADERS: &[u8] = b"Access-Control-Allow-Headers";
const EXPOSE: &[u8] = b"Access-Control-Expose-Headers";
const MAX_AGE: &[u8] = b"Access-Control-Max-Age";
const PRIVATE_NETWORK: &[u8] = b"Access-Control-Allow-Private-Network";
const OURS: [&[u8]; 7] = [ORIGIN, CREDENTIALS, METHODS, HEADERS, EXPOSE, MAX_AGE, PRIVATE_NETWORK];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{Fixture, NamedValues, ResponseFixture, added, decide};

    fn plan(origins: &[&str]) -> Plan {
        Plan {
            origins: Origins::Listed(origins.iter().map(|origin| OriginRule::parse(origin).unwrap()).collect()),
            methods: (*b"GET, PUT").into(),
            headers: Box::default(),
            expose: (*b"X-Total").into(),
            credentials: Credentials::Allowed,
            max_age: Some(Duration::from_secs(600)),
            private_network: PrivateNetwork::Allowed,
        }
    }

    fn preflight(origin: &str) -> Fixture {
        Fixture::new("OPTIONS", "/")
            .field("Origin", origin)
            .field("Access-Control-Request-Method", "PUT")
            .field("Access-Control-Request-Headers", "x-a, x-b")
            .field("Access-Control-Request-Private-Network", "true")
    }

    const VARY: (&str, &str) = ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

    #[test]
    fn a_preflight_is_answered() {
        let plan = plan(&["https://app.example.com"]);
        let mut effects = Effects::default();
        let decision = decide(&plan, &preflight("https://app.example.com").facts(), &mut effects);
        assert!(matches!(decision, Decision::Respond(LocalResponse { status: 204, body: LocalBody::Empty, .. })));
        let expected = [
            VARY,
            ("Access-Control-Allow-Origin", "https://app.example.com"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", "X-Total"),
            ("Access-Control-Allow-Methods", "GET, PUT"),
            ("Access-Control-Allow-Headers", "x-a, x-b"),
            ("Access-Control-Max-Age", "600"),
            ("Access-Control-Allow-Private-Network", "true"),
        ];
        assert_eq!(added(&effects.to_client), expected);
        effects.clear();
        let decision = decide(&plan, &preflight("https://evil.com").facts(), &mut effects);
        assert!(matches!(decision, Decision::Respond(LocalResponse { reason: "cors_origin_denied", .. })));
        assert_eq!(added(&effects.to_client), [VARY], "no permission, and no cache mixes the two up");
    }

    #[test]
    fn only_a_preflight_asks_for_a_method() {
        let asked = |fixture: &Fixture| asked_method(fixture.request()).map(|span| span.of(&fixture.bytes).to_vec());
        assert_eq!(asked(&preflight("https://a.com")), Some(b"PUT".to_vec()));
        let (origin, method) = (("Origin", "https://a.com"), ("Access-Control-Request-Method", "PUT"));
        let with = |verb: &str, fields: &[(&str, &str)]| {
            fields.iter().fold(Fixture::new(verb, "/"), |request, (name, value)| request.field(name, value))
        };
        for other in [with("GET", &[origin, method]), with("OPTIONS", &[origin]), with("OPTIONS", &[method])] {
            assert_eq!(asked(&other), None);
        }
    }

    #[test]
    fn an_actual_request_passes_and_the_upstream_has_no_say() {
        let plan = plan(&["https://app.example.com"]);
        let mut effects = Effects::default();
        let fixture = Fixture::get("/").field("Origin", "https://app.example.com");
        assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
        let reply = ResponseFixture::new(200).field("access-control-allow-origin", "*").field("X-Total", "3");
        plan.adapt(&mut (), reply.response(), &NamedValues, &mut effects);
        assert_eq!(reply.left(&effects.to_client), [("X-Total".to_owned(), "3".to_owned())]);
        let expected = [
            ("Vary", "Origin"),
            ("Access-Control-Allow-Origin", "https://app.example.com"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", "X-Total"),
        ];
        assert_eq!(added(&effects.to_client), expected);

        for fixture in [
            Fixture::get("/"),
            Fixture::get("/").field("Origin", "https://evil.com"),
            Fixture::get("/").field("Origin", "https://app.example.com").field("Origin", "https://evil.com"),
            Fixture::new("OPTIONS", "/"),
        ] {
            effects.clear();
            assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
            assert_eq!(added(&effects.to_client), [("Vary", "Origin")]);
        }
    }

    #[test]
    fn any_origin_never_gets_credentials() {
        let plan = Plan { origins: Origins::Any, ..plan(&[]) };
        let mut effects = Effects::default();
        decide(&plan, &Fixture::get("/").field("Origin", "https://evil.com").facts(), &mut effects);
        assert_eq!(
            added(&effects.to_client),
            [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "X-Total")]
        );
    }

    #[test]
    fn rules_fit_whole_origins_only() {
        let plan = plan(&["https://a.com", "https://*.example.com", "http://*.dev.local:3000", "null"]);
        let allows = |origin: &str| plan.allows(origin.as_bytes());
        assert!(allows("https://a.com") && allows("HTTPS://A.com") && allows("null"));
        assert!(
            allows("https://x.example.com") && allows("https://x.y.example.com") && allows("http://x.dev.local:3000")
        );
        for origin in [
            "http://a.com",
            "https://a.com.evil.com",
            "https://a.com:8443",
            "https://example.com",
            "https://.example.com.evil.com",
            "https://evil.com/.example.com",
            "https://evil.com#.example.com",
            "https://evil.com:1.example.com",
            "https://user@x.example.com",
            "http://x.example.com",
            "http://x.dev.local",
            "",
        ] {
            assert!(!allows(origin), "{origin}");
        }
        assert!(
            ["*", "https://*", "https://a.*.com", "*.example.com", "https://*.*.com", "https://x*.com"]
                .iter()
                .all(|text| OriginRule::parse(text).is_none())
        );
        let regex = OriginRule::regex(r"https://pr-\d+\.preview\.dev|https://b\.com").unwrap();
        assert!(regex.fits(b"https://pr-12.preview.dev") && regex.fits(b"https://b.com"));
        assert!(!regex.fits(b"https://pr-12.preview.dev.evil.com") && !regex.fits(b"xhttps://b.com"));
        assert!(OriginRule::regex("a)|(b").is_err());
    }
}
