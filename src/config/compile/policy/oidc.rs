// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.oidc]`.

use std::sync::Arc;
use std::time::Duration;

use crate::config::compile::Compiler;
use crate::config::compile::fields::Head;
use crate::config::compile::policy::context::Context;
use crate::config::compile::source::{origin_of, source_id};
use crate::config::location::Located;
use crate::config::plan::{self, AskedFor, ClientCredentials, LoginPlan, SourcePlan, Tokens, Userinfo};
use crate::config::report::Report;
use crate::config::spec::policy::oidc::{ClientAuthentication, Spec};
use crate::config::spec::shape::Secret;
use crate::policy::login::cookie::{CookiePlan, Transport};
use crate::policy::login::session::Lifetime;
use crate::policy::login::{SealingKeys, return_target};
use crate::policy::oidc::{Paths, Plan};
use crate::policy::tell::ConsumerFields;
use crate::policy::token::{ClaimPath, Credential, Rules, ToUpstream};
use crate::wire::jose::{Algorithm, AlgorithmSet};
use crate::wire::url::Url;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let (location, spec) = (spec.location, &spec.value);
    let (Some(issuer), Some(client), Some(redirect)) = (&spec.issuer, &spec.client_id, &spec.redirect_url) else {
        compiler.absent(location, Report::error(location, "`issuer`, `client_id` and `redirect_url` are needed"));
        return None;
    };
    if spec.cookie_secret.is_empty() {
        let report = Report::error(location, "`cookie_secret` is missing: sessions are encrypted with it");
        compiler.absent(location, report.help("such as `openssl rand -base64 32 > sessions.key`"));
    }
    compiler.login_bounds(spec);
    let scope = format!("{}\0{}", issuer.value, client.value);
    let secrets = spec.cookie_secret.iter().map(|secret| secret.value.0.trim_end_matches(['\r', '\n']).as_bytes());
    let keys = SealingKeys::new(secrets, &format!("{}\0{scope}", context.name));
    let lifetime = Lifetime { whole: spec.lifetime.value.0, idle: Some(spec.idle.0).filter(|idle| !idle.is_zero()) };
    let callback = compiler.callback(redirect);
    let paths = Paths {
        callback: callback.as_ref().map(|url| url.target.as_bytes().into()).unwrap_or_default(),
        login: compiler.own_path(spec.login_path.as_ref()),
        logout: compiler.own_path(spec.logout_path.as_ref()),
        notice: compiler.own_path(spec.backchannel_logout_path.as_ref()),
    };
    let transport = if callback.as_ref().is_some_and(|url| url.secure) { Transport::Secure } else { Transport::Plain };
    let cookies = compiler.session_cookie(&spec.cookie, transport);
    let source = compiler.login_source(spec, (&scope, &keys, lifetime), context.name)?;
    let access_field = spec.access_token_header.as_ref().filter(|name| compiler.field_name(name, Head::Request));
    let access_field = access_field.map(|name| name.value.as_bytes().into());
    compiler.realm(&spec.realm);
    callback?;
    Some(Plan {
        source,
        scope: scope.into(),
        paths,
        cookies,
        keys,
        lifetime,
        stale: spec.stale.0,
        rules: Rules {
            required: spec.require.iter().map(|name| ClaimPath::new(name)).collect(),
            equal: compiler.claims_equal(&spec.claims),
            ..Rules::default()
        },
        consumer: compiler.token_consumer(spec.consumer.as_ref()),
        to_upstream: ToUpstream {
            credential: Credential::Removed,
            consumer: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
            claims: compiler.claim_headers(&spec.claim_headers),
        },
        access_field,
        anonymous: compiler.token_anonymous(spec.anonymous.as_ref()),
        after_logout: spec.after_logout.as_ref().map(|target| target.value.as_str().into()),
        challenge: format!("OpenIDConnect realm=\"{}\"", spec.realm.value).into_bytes().into(),
        // A login takes metadata, keys, tokens and userinfo, one after the other.
        wait: spec.timeout.value.0 * 3 + Duration::from_millis(500),
        sessions_kept: spec.sessions_kept.value as usize,
    })
}

impl Compiler<'_> {
    /// Reports what is too short, too long or too little.
    fn login_bounds(&mut self, spec: &Spec) {
        for secret in spec.cookie_secret.iter() {
            let bytes = secret.value.0.trim_end_matches(['\r', '\n']).len();
            self.secret_length(secret.location, bytes, SECRET_BYTES_MIN);
        }
        let timeout = spec.timeout.value.0;
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            self.error(spec.timeout.location, "the issuer is given at most 20 seconds, and not none");
        }
        if spec.lifetime.value.0 < LIFETIME_MIN {
            self.error(spec.lifetime.location, "a session lasts a minute at least");
        }
        if spec.sessions_kept.value == 0 {
            self.error(spec.sessions_kept.location, "at least one session is remembered");
        }
        if let Some(target) = &spec.after_logout
            && return_target::same_origin(target.value.as_bytes()).is_none()
        {
            self.url(target);
        }
        spec.scopes.iter().for_each(|scope| self.scope(scope));
        for (name, _) in spec.parameters.iter() {
            if OWN_PARAMETERS.contains(&name.value.as_str()) {
                self.error(name.location, format!("the gateway itself says what `{}` is", name.value));
            }
        }
    }

    /// Where the issuer sends browsers back.
    fn callback(&mut self, redirect: &Located<String>) -> Option<Url> {
        let url = self.url(redirect)?;
        if url.target.contains('?') || &*url.target == "/" {
            self.error(
                redirect.location,
                "this has a path of its own, and no query: `https://app.example.com/callback`",
            );
        }
        Some(url)
    }

    fn session_cookie(&mut self, name: &Located<String>, transport: Transport) -> CookiePlan {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.value.is_empty() || name.value.len() > COOKIE_NAME_MAX || !name.value.bytes().all(good) {
            self.error(name.location, format!("the name has 1 to {COOKIE_NAME_MAX} letters, digits and `_`"));
        }
        // The prefix has browsers refuse what another host or a page without TLS sets.
        let prefix = if transport == Transport::Secure { "__Host-" } else { "" };
        CookiePlan { name: format!("{prefix}{}", name.value).into(), transport }
    }

    fn login_source(
        &mut self,
        spec: &Spec,
        (scope, keys, lifetime): (&str, &SealingKeys, Lifetime),
        policy: &str,
    ) -> Option<crate::policy::SourceId> {
        let (issuer, client, redirect) = (spec.issuer.as_ref()?, spec.client_id.as_ref()?, spec.redirect_url.as_ref()?);
        self.url(issuer)?;
        if issuer.value.contains('?') {
            self.error(issuer.location, "an issuer with a query has no metadata");
        }
        let metadata = format!("{}/.well-known/openid-configuration", issuer.value.trim_end_matches('/'));
        let metadata = Url::parse(&metadata).ok()?;
        let mut algorithms: AlgorithmSet = Algorithm::ALL.iter().copied().collect();
        if !spec.algorithms.is_empty() {
            algorithms = spec.algorithms.iter().filter_map(|name| self.algorithm(name)).collect();
        }
        let authentication = match (&spec.client_secret, spec.authentication) {
            (None, _) => plan::ClientAuthentication::Nothing,
            (Some(_), ClientAuthentication::Basic) => plan::ClientAuthentication::Basic,
            (Some(_), ClientAuthentication::Post) => plan::ClientAuthentication::Post,
        };
        let secret = spec.client_secret.as_ref().map_or_else(|| Secret(String::new()), |secret| secret.value.clone());
        let mut scopes = vec!["openid"];
        scopes.extend(spec.scopes.iter().map(|scope| scope.value.as_str()).filter(|scope| *scope != "openid"));
        let login = LoginPlan {
            issuer: issuer.value.as_str().into(),
            metadata,
            client: ClientCredentials { id: client.value.as_str().into(), secret, authentication },
            scope: scope.into(),
            redirect: redirect.value.as_str().into(),
            scopes: scopes.join(" ").into(),
            parameters: spec
                .parameters
                .iter()
                .map(|(name, text)| (name.value.as_str().into(), text.as_str().into()))
                .collect(),
            algorithms,
            leeway: spec.leeway.0,
            userinfo: if spec.userinfo { Userinfo::Asked } else { Userinfo::Unasked },
            access_token: if spec.access_token_header.is_some() { Tokens::Held } else { Tokens::Dropped },
            id_token: if spec.logout_path.is_some() && spec.logout_at_issuer { Tokens::Held } else { Tokens::Dropped },
            after_logout: spec.after_logout.as_ref().map(|target| after_logout(&redirect.value, &target.value)),
            lifetime,
            keys: keys.clone(),
        };
        let timeout = spec.timeout.value.0;
        let tls = self.source_tls(&spec.ca, issuer.location);
        let ca: Vec<_> = spec.ca.iter().map(|path| &path.value).collect();
        let asked =
            (&login.issuer, &login.client.id, &login.client.secret.0, authentication, &login.redirect, &login.scopes);
        let kept = (login.userinfo, login.access_token, login.id_token, &login.after_logout, lifetime, keys.marks());
        let id = source_id(&("login", policy, asked, kept, (&login.parameters, algorithms, login.leeway, timeout, ca)));
        let asked_for = AskedFor::Logins(Arc::new(login));
        Some(self.source(id, |id| SourcePlan { id, policy: policy.into(), tls, timeout, asked_for }))
    }
}

/// The whole URL of where a browser goes that has signed out: issuers take nothing less.
fn after_logout(redirect: &str, target: &str) -> Box<str> {
    if !target.starts_with('/') {
        return target.into();
    }
    format!("{}{target}", origin_of(redirect)).into()
}

/// As many bits as the key that is derived from it.
const SECRET_BYTES_MIN: usize = 32;
/// The longest that one response of the issuer is waited for; a login waits for three.
const TIMEOUT_MAX: Duration = Duration::from_secs(20);
const LIFETIME_MIN: Duration = Duration::from_secs(60);
/// The cookies must stay below what browsers keep.
const COOKIE_NAME_MAX: usize = 32;
/// Parameters of the request to sign in that are not for a configuration.
const OWN_PARAMETERS: &[&str] = &[
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];
