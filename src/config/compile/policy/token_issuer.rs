// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.token_issuer]`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::compile::source::origin_of;
use crate::config::location::{Located, Location};
use crate::config::report::Report;
use crate::config::spec::policy::token_issuer::Spec;
use crate::config::spec::shape::{Many, Secret};
use crate::policy::password::PasswordHash;
use crate::policy::token_issuer::{Grants, GroupScopes, Paths, Plan};
use crate::wire::jose::{SigningKey, published};
use crate::wire::url::Url;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let (location, spec) = (spec.location, &spec.value);
    compiler.realm(&spec.realm);
    compiler.token_bounds(spec);
    if spec.audience.is_empty() {
        let report = Report::error(location, "`audience` is missing: whom tokens are for");
        compiler.absent(location, report.help("such as \"https://api.example.com\""));
    }
    let issuer = compiler.issuer_name(spec.issuer.as_ref(), location);
    let keys = compiler.signing_keys(&spec.keys, location);
    let token = compiler.own_path(Some(&spec.token_path));
    let jwks = compiler.own_path(Some(&spec.jwks_path));
    let (issuer, token, jwks, mut keys) = (issuer?, token?, jwks?, keys?);
    let metadata = metadata(spec, issuer);
    let published = published(keys.iter());
    let key = Arc::new(keys.swap_remove(0));
    let below = issuer[origin_of(issuer).len()..].trim_end_matches('/');
    let paths = Paths {
        token,
        keys: jwks,
        metadata: [
            // RFC 8414 section 3.1 puts it in front of the issuer's path, OpenID Connect Discovery section 4 behind.
            format!("/.well-known/oauth-authorization-server{below}").into_bytes().into(),
            format!("{below}/.well-known/openid-configuration").into_bytes().into(),
        ],
    };
    compiler.apart(spec, &paths);
    let list = |scopes: &Many<Located<String>>| scopes.iter().map(|scope| scope.value.as_str().into()).collect();
    let by_group = spec
        .group_scopes
        .iter()
        .map(|(group, scopes)| GroupScopes { group: group.value.as_str().into(), scopes: list(scopes) });
    Some(Plan {
        issuer: issuer.into(),
        paths,
        key,
        published: published.into(),
        metadata: metadata.into(),
        grants: Grants {
            scopes: list(&spec.scopes),
            by_group: by_group.collect(),
            by_default: list(&spec.default_scopes),
            audiences: spec.audience.iter().map(|audience| audience.value.as_str().into()).collect(),
        },
        lifetime: spec.lifetime.value.0,
        challenge: format!("Basic realm=\"{}\", charset=\"UTF-8\"", spec.realm.value).into_bytes().into(),
        nobody: Arc::new(PasswordHash::of_nobody()),
        keep: spec.cache.0,
        timeout: spec.timeout.value.0,
    })
}

/// The metadata of an issuer (RFC 8414 section 2).
fn metadata(spec: &Spec, issuer: &str) -> Vec<u8> {
    let origin = origin_of(issuer);
    let mut scopes: Vec<&str> = Vec::new();
    for scope in spec.scopes.iter().chain(spec.group_scopes.iter().flat_map(|(_, scopes)| scopes.iter())) {
        if !scopes.contains(&scope.value.as_str()) {
            scopes.push(&scope.value);
        }
    }
    let metadata = json!({
        "issuer": issuer,
        "token_endpoint": format!("{origin}{}", spec.token_path.value),
        "jwks_uri": format!("{origin}{}", spec.jwks_path.value),
        "scopes_supported": scopes,
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    metadata.to_string().into_bytes()
}

impl Compiler<'_> {
    /// Reports what is too short, too long or unknown.
    fn token_bounds(&mut self, spec: &Spec) {
        let lifetime = spec.lifetime.value.0;
        if lifetime.subsec_nanos() != 0 || !(Duration::from_secs(1)..=LIFETIME_MAX).contains(&lifetime) {
            self.error(spec.lifetime.location, "a token is valid for whole seconds: a second at least, a day at most");
        }
        let timeout = spec.timeout.value.0;
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            self.error(spec.timeout.location, "a request waits at most a minute, and not for nothing");
        }
        for audience in spec.audience.iter() {
            if audience.value.is_empty() || audience.value.chars().any(char::is_control) {
                self.error(audience.location, "an audience is not empty and has no control characters");
            }
        }
        let by_group = || spec.group_scopes.iter().flat_map(|(_, scopes)| scopes.iter());
        for scope in spec.scopes.iter().chain(by_group()) {
            self.scope(scope);
        }
        for scope in spec.default_scopes.iter() {
            if !spec.scopes.iter().chain(by_group()).any(|known| known.value == scope.value) {
                self.error(scope.location, "no client may have this scope: it is none of `scopes` and `group_scopes`");
            }
        }
    }

    /// The issuer's name, as it stands in tokens.
    fn issuer_name<'s>(&mut self, name: Option<&'s Located<String>>, location: Location) -> Option<&'s str> {
        let example = "such as \"https://api.example.com\"";
        let Some(name) = name else {
            let report = Report::error(location, "`issuer` is missing: the URL that tokens name as theirs");
            self.absent(location, report.help(example));
            return None;
        };
        match Url::parse(&name.value) {
            Ok(url) if !url.target.contains('?') => {
                let is_near = url.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                if !url.secure && !is_near && &*url.host != "localhost" {
                    let report = Report::warning(name.location, "an issuer without TLS");
                    self.faults.push(report.label("whoever is on the way reads secrets and tokens"));
                }
                Some(&name.value)
            }
            Ok(_) => {
                self.error(name.location, "an issuer has no query (RFC 8414 section 2)");
                None
            }
            Err(reason) => {
                let report = Report::error(name.location, format!("an issuer is a URL: {reason}"));
                self.faults.push(report.help(example));
                None
            }
        }
    }

    /// The keys, of which the first signs; `None` where one cannot, or there is none.
    fn signing_keys(&mut self, keys: &Many<Located<Secret>>, location: Location) -> Option<Vec<SigningKey>> {
        if keys.is_empty() {
            let report = Report::error(location, "`keys` is missing: what signs tokens");
            let help = "`openssl genpkey -algorithm ed25519 -out issuer.pem`, and `keys = \"${file:issuer.pem}\"`";
            self.absent(location, report.help(help));
            return None;
        }
        let mut read: Vec<SigningKey> = Vec::new();
        for pem in keys.iter() {
            match SigningKey::of_pem(pem.value.0.as_bytes()) {
                Ok(key) if read.contains(&key) => self.error(pem.location, "this key is given twice"),
                Ok(key) => read.push(key),
                // A file that could not be read was reported.
                Err(reason) => self.absent(pem.location, Report::error(pem.location, format!("{NO_KEY}: {reason}"))),
            }
        }
        (read.len() == keys.iter().count()).then_some(read)
    }

    /// Each path serves one thing.
    fn apart(&mut self, spec: &Spec, paths: &Paths) {
        let written = [&spec.token_path, &spec.jwks_path].map(|path| (path.location, path.value.as_bytes()));
        for (location, path) in written.into_iter().filter(|(location, _)| *location != Location::default()) {
            let all = [&paths.token, &paths.keys].into_iter().chain(&paths.metadata);
            if all.filter(|served| ***served == *path).count() > 1 {
                self.error(location, "tokens, keys and metadata have paths of their own");
            }
        }
    }
}

const NO_KEY: &str = "this signs no tokens";
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3_600);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
