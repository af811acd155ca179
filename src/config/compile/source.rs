// SPDX-License-Identifier: Apache-2.0
//! Servers outside that policies need, and what policies that take tokens have in common.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use crate::config::compile::fields::Head;
use crate::config::compile::{Compiler, Section};
use crate::config::location::{Located, Location};
use crate::config::plan::{HttpVersions, SourcePlan, UpstreamTlsPlan};
use crate::config::report::Report;
use crate::config::spec::policy::jwt::{self as spec, TokenConsumer, TokenFrom};
use crate::config::spec::shape::{Many, Named};
use crate::config::spec::upstream::UpstreamTlsSpec;
use crate::policy::SourceId;
use crate::policy::login::return_target;
use crate::policy::token::{Challenge, ClaimDemands, ClaimPath, ConsumerBy, ConsumerRule, TokenLocation, Unknown};
use crate::wire::url::Url;

impl Compiler<'_> {
    /// The URL of a server that the gateway asks.
    pub(super) fn url(&mut self, text: &Located<String>) -> Option<Url> {
        match Url::parse(&text.value) {
            Ok(url) => {
                let is_near = url.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                if !url.secure && !is_near && &*url.host != "localhost" {
                    let report = Report::warning(text.location, "this is asked without TLS");
                    self.faults.push(report.label("whoever is on the way can answer in its place"));
                }
                Some(url)
            }
            Err(reason) => {
                let report = Report::error(text.location, format!("this is no URL that can be asked: {reason}"));
                self.faults.push(report.help("such as \"https://login.example.com/keys\""));
                None
            }
        }
    }

    /// TLS towards a server that the gateway asks.
    pub(super) fn source_tls(&mut self, ca: &Many<Located<PathBuf>>, location: Location) -> Option<UpstreamTlsPlan> {
        let tls = UpstreamTlsSpec { ca: ca.clone(), ..UpstreamTlsSpec::default() };
        self.upstream_tls(&tls, HttpVersions::Http1, location)
    }

    /// Puts a server among those that are asked, once for all policies that ask it in the same way.
    pub(super) fn source(&mut self, id: SourceId, source: impl FnOnce(SourceId) -> SourcePlan) -> SourceId {
        if !self.sources.iter().any(|known| known.id == id) {
            self.sources.push(source(id));
        }
        id
    }

    /// A scope (RFC 6749 section 3.3).
    pub(super) fn scope(&mut self, scope: &Located<String>) {
        let good = |byte: u8| (0x21..0x7f).contains(&byte) && !b"\"\\".contains(&byte);
        if scope.value.is_empty() || !scope.value.bytes().all(good) {
            self.error(scope.location, "a scope has no spaces, quotes, backslashes or control characters");
        }
    }

    /// A path that a policy serves itself.
    pub(super) fn own_path(&mut self, path: Option<&Located<String>>) -> Option<Box<[u8]>> {
        let path = path?;
        if return_target::same_origin(path.value.as_bytes()).is_none() || path.value.contains('?') {
            self.error(path.location, "a path begins with `/` and has no query");
        }
        Some(path.value.as_bytes().into())
    }

    /// Where tokens stand.
    pub(super) fn token_locations(&mut self, from: &TokenFrom, location: Location) -> Box<[TokenLocation]> {
        let mut list = Vec::new();
        let scheme = from.scheme.value.as_str();
        if !scheme.is_empty() {
            self.token(&from.scheme, "scheme");
        }
        let lower = |name: &str| -> Box<[u8]> { name.to_ascii_lowercase().into_bytes().into() };
        for name in from.header.iter() {
            if self.token(name, "field") {
                list.push(match scheme.is_empty() {
                    true => TokenLocation::Header(lower(&name.value)),
                    false => TokenLocation::Scheme(lower(&name.value), scheme.as_bytes().into()),
                });
            }
        }
        for name in from.cookie.iter() {
            if self.token(name, "cookie") {
                list.push(TokenLocation::Cookie(name.value.as_bytes().into()));
            }
        }
        for name in from.query.iter() {
            if name.value.is_empty()
                || !name.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            {
                self.error(name.location, "a query parameter's name here has letters, digits, `-`, `_` and `.`");
            }
            list.push(TokenLocation::Query(name.value.as_bytes().into()));
        }
        if list.is_empty() {
            self.absent(location, Report::error(location, "tokens stand nowhere: `from` names no place"));
        }
        list.into()
    }

    /// How a token leads to a consumer. Where nothing is said, whoever has a credential for its subject is known, and
    /// all others pass with their claims.
    pub(super) fn token_consumer(&mut self, spec: Option<&TokenConsumer>) -> Option<ConsumerRule> {
        let unsaid = TokenConsumer { optional: true, ..TokenConsumer::default() };
        let spec = spec.unwrap_or(&unsaid);
        Some(ConsumerRule {
            claim: ClaimPath::new(&spec.claim),
            by: match spec.by {
                spec::ConsumerBy::Credential => ConsumerBy::Credential,
                spec::ConsumerBy::Name => ConsumerBy::Name,
            },
            unknown: if spec.optional { Unknown::Passes } else { Unknown::Refused },
        })
    }

    /// The consumer that a request without a token counts as.
    pub(super) fn token_anonymous(&mut self, name: Option<&Located<String>>) -> Option<Box<str>> {
        let name = name?;
        self.stored_or(name, Section::Consumer);
        Some(name.value.as_str().into())
    }

    /// The headers that tell the upstream claims.
    pub(super) fn claim_headers(&mut self, headers: &Named<String>) -> Box<[(ClaimPath, Box<[u8]>)]> {
        let mut list = Vec::new();
        for (name, claim) in headers.iter() {
            if self.field_name(name, Head::Request) {
                list.push((ClaimPath::new(claim), name.value.as_bytes().into()));
            }
        }
        list.into()
    }

    /// Claims that must say one of some texts.
    pub(super) fn claims_equal(&mut self, claims: &Named<Many<String>>) -> ClaimDemands {
        let texts = |values: &Many<String>| values.iter().map(|value| value.as_str().into()).collect();
        claims.iter().map(|(name, values)| (ClaimPath::new(&name.value), texts(values))).collect()
    }

    /// How a refusal is said.
    pub(super) fn challenge(
        &mut self,
        realm: &Located<String>,
        metadata: Option<&Located<String>>,
        scopes: &Many<Located<String>>,
    ) -> Challenge {
        if realm.value.bytes().any(|byte| !(0x20..0x7f).contains(&byte) || b"\"\\".contains(&byte)) {
            self.error(realm.location, "a realm has no quotes, backslashes or control characters");
        }
        let mut start = format!("Bearer realm=\"{}\"", realm.value);
        if let Some(metadata) = metadata
            && self.url(metadata).is_some()
        {
            start.push_str(&format!(", resource_metadata=\"{}\"", metadata.value));
        }
        scopes.iter().for_each(|scope| self.scope(scope));
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.value.as_str()).collect();
        Challenge { start: start.into_bytes().into(), scopes: scopes.join(" ").into() }
    }
}

/// Scheme and authority of a URL, which `Url::parse` has read.
pub(super) fn origin_of(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let end = url[start..].find(['/', '?']).map_or(url.len(), |end| start + end);
    &url[..end]
}

/// What a source is known by: a hash of where and how it is asked.
pub(super) fn source_id(asked: &impl Hash) -> SourceId {
    let mut hasher = DefaultHasher::new();
    asked.hash(&mut hasher);
    SourceId(hasher.finish())
}

/// Texts as a plan holds them.
pub(super) fn boxed(texts: &Many<String>) -> Box<[Box<str>]> {
    texts.iter().map(|text| text.as_str().into()).collect()
}
