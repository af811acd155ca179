// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.jwt]`.

use std::sync::Arc;
use std::time::Duration;

use crate::base::limits::{JWKS_BYTES_MAX, LIMIT_WAIT_MS_MAX};
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::compile::source::{boxed, source_id};
use crate::config::location::{Located, Location};
use crate::config::plan::{AskedFor, KeysPlace, KeysPlan, SourcePlan};
use crate::config::report::Report;
use crate::config::spec::policy::jwt::{IssuerSpec, Spec};
use crate::policy::jwt::{Issuer, KeySource, Plan};
use crate::policy::tell::ConsumerFields;
use crate::policy::token::{ClaimPath, Credential, Rules, ToUpstream};
use crate::wire::jose::{Algorithm, AlgorithmSet, Key, KeyError, KeySet, SECRET_BYTES_MIN, Secrets};
use crate::wire::url::Url;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let (location, spec) = (spec.location, &spec.value);
    if spec.issuer.is_empty() {
        compiler.absent(location, Report::error(location, "`issuer` is missing: whose tokens pass"));
    }
    let (wait, most) = (spec.wait.value.0, Duration::from_millis(LIMIT_WAIT_MS_MAX));
    if wait.is_zero() || wait > most {
        compiler.error(spec.wait.location, "a request waits at most a minute, and not for nothing");
    }
    if spec.tokens_kept.value == 0 {
        compiler.error(spec.tokens_kept.location, "at least one token is remembered");
    }
    compiler.audience_missing(spec, location);
    compiler.one_issuer_a_name(spec);
    let issuers: Vec<Option<Issuer>> =
        spec.issuer.iter().map(|issuer| compiler.issuer(issuer, spec, context.name)).collect();
    let rules = Rules {
        // Each issuer has them.
        audiences: Box::default(),
        kind: spec.type_is.as_deref().map(Box::from),
        required: spec.require.iter().map(|name| ClaimPath::new(name)).collect(),
        equal: compiler.claims_equal(&spec.claims),
        scopes: spec.scopes.iter().map(|scope| scope.value.as_str().into()).collect(),
        leeway: spec.leeway.0,
        age_max: spec.max_age.as_ref().map(|age| age.0),
    };
    let plan = Plan {
        locations: compiler.token_locations(&spec.from, location),
        issuers: Box::default(),
        rules,
        consumer: compiler.token_consumer(spec.consumer.as_ref()),
        to_upstream: ToUpstream {
            credential: if spec.hide { Credential::Removed } else { Credential::Kept },
            consumer: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
            claims: compiler.claim_headers(&spec.claim_headers),
        },
        anonymous: compiler.token_anonymous(spec.anonymous.as_ref()),
        challenge: compiler.challenge(&spec.realm, spec.resource_metadata.as_ref(), &spec.scopes),
        wait,
        cool_down: spec.cool_down.0,
        tokens_kept: spec.tokens_kept.value as usize,
    };
    let issuers = issuers.into_iter().collect::<Option<Box<[Issuer]>>>()?;
    Some(Plan { issuers, ..plan })
}

impl Compiler<'_> {
    /// Warns of tokens that pass whomever they are for.
    fn audience_missing(&mut self, spec: &Spec, location: Location) {
        if !spec.audience.is_empty() {
            return;
        }
        let open: Vec<Location> = spec
            .issuer
            .iter()
            .filter(|issuer| issuer.value.audience.is_empty())
            .map(|issuer| issuer.location)
            .collect();
        let places = if open.len() == spec.issuer.iter().count() { vec![location] } else { open };
        for place in places {
            let report = Report::warning(place, "tokens that their issuer made for other services pass as well");
            self.faults.push(report.label("`audience` is missing"));
        }
    }

    /// A token leads to one issuer by its `iss`, so no two may have the same name.
    fn one_issuer_a_name(&mut self, spec: &Spec) {
        for (at, issuer) in spec.issuer.iter().enumerate() {
            let name = |issuer: &Located<IssuerSpec>| issuer.value.name.as_ref().map(|name| name.value.clone());
            if spec.issuer.0[..at].iter().any(|before| name(before) == name(issuer)) {
                self.error(issuer.location, "a second issuer has this `name`, or none as well");
            }
        }
    }

    fn issuer(&mut self, spec: &Located<IssuerSpec>, all: &Spec, policy: &str) -> Option<Issuer> {
        let (location, spec) = (spec.location, &spec.value);
        let audience = if spec.audience.is_empty() { &all.audience } else { &spec.audience };
        let mut algorithms = AlgorithmSet::ALL;
        if !spec.algorithms.is_empty() {
            algorithms = spec.algorithms.iter().filter_map(|name| self.algorithm(name)).collect();
        }
        let ways = [
            spec.jwks_url.as_ref().map(|way| way.location),
            spec.jwks_file.as_ref().map(|way| way.location),
            spec.public_key.as_ref().map(|way| way.location),
            spec.secret.as_ref().map(|way| way.location),
        ];
        if let Some(second) = ways.into_iter().flatten().nth(1) {
            self.error(second, "the keys of an issuer are given in one way");
        }
        let keys = if let Some(path) = &spec.jwks_file {
            let full = self.beside(path);
            let read = self.environment.read(&full, JWKS_BYTES_MAX).map_err(|fault| fault.to_string());
            self.watched.push(full.clone());
            let set = read.and_then(|text| KeySet::read(&text, Secrets::Taken).map_err(|fault| fault.to_string()));
            self.known_keys(set.map_err(|fault| format!("`{}`: {fault}", full.display())), path.location)
        } else if let Some(pem) = &spec.public_key {
            let key = Key::of_pem(pem.value.0.as_bytes());
            if key == Err(KeyError::NoPem) {
                self.no_public_key(pem.location, pem.value.0.as_bytes());
                return None;
            }
            self.known_keys(key.map(KeySet::one).map_err(|fault| fault.to_string()), pem.location)
        } else if let Some(secret) = &spec.secret {
            let text = secret.value.0.trim_end_matches(['\r', '\n']).as_bytes();
            if !self.secret_length(secret.location, text.len(), SECRET_BYTES_MIN) {
                return None;
            }
            let key = Key::secret(text).map(KeySet::one);
            self.known_keys(key.map_err(|fault| fault.to_string()), secret.location)
        } else {
            self.asked_keys(spec, location, (all.cool_down.0, policy))
        };
        let keys = keys?;
        if let KeySource::Known(set) = &keys {
            let fits = |key: &Key| Algorithm::ALL.iter().any(|name| algorithms.has(*name) && key.fits(*name));
            if !set.keys.iter().any(fits) {
                self.error(location, "no key of the issuer fits one of its `algorithms`");
            }
        }
        let name = spec.name.as_ref().map(|name| name.value.as_str().into());
        Some(Issuer { name, keys, algorithms, audiences: boxed(audience) })
    }

    pub(super) fn algorithm(&mut self, name: &Located<String>) -> Option<Algorithm> {
        let found = Algorithm::of(&name.value);
        if found.is_none() {
            let report = Report::error(name.location, format!("there is no algorithm `{}`", name.value));
            let known = Algorithm::ALL.iter().map(|algorithm| algorithm.name());
            self.faults.push(report.suggest(&name.value, known));
        }
        found
    }

    fn known_keys(&mut self, read: Result<KeySet, String>, location: Location) -> Option<KeySource> {
        match read {
            Ok(set) => Some(KeySource::Known(Arc::new(set))),
            Err(fault) => {
                self.error(location, fault);
                None
            }
        }
    }

    /// Keys that the control plane asks for.
    fn asked_keys(
        &mut self,
        spec: &IssuerSpec,
        location: Location,
        (cool_down, policy): (Duration, &str),
    ) -> Option<KeySource> {
        let place = match (&spec.jwks_url, &spec.name) {
            (Some(url), _) => KeysPlace::Url(self.url(url)?),
            (None, Some(name)) => {
                // It is told as it stands in tokens; the metadata lies below it (OpenID Connect Discovery section 4).
                self.url(name)?;
                let metadata = format!("{}/.well-known/openid-configuration", name.value.trim_end_matches('/'));
                let Ok(metadata) = Url::parse(&metadata) else { return None };
                if name.value.contains('?') {
                    self.error(name.location, "an issuer with a query has no metadata: `jwks_url` is needed");
                }
                KeysPlace::Issuer { name: name.value.as_str().into(), metadata }
            }
            (None, None) => {
                let report = Report::error(location, "the keys of the issuer are missing");
                let ways = "`jwks_url`, `jwks_file`, `public_key`, `secret`, or `name` as a URL";
                self.absent(location, report.help(ways));
                return None;
            }
        };
        for time in [&spec.refresh, &spec.timeout] {
            if time.value.0.is_zero() {
                self.error(time.location, "this may not be zero");
            }
        }
        let tls = self.source_tls(&spec.ca, location);
        let plan = KeysPlan { place, refresh: spec.refresh.value.0, stale: spec.stale.0, cool_down };
        let timeout = spec.timeout.value.0;
        let ca: Vec<_> = spec.ca.iter().map(|path| &path.value).collect();
        let id = source_id(&("keys", &plan, timeout, ca));
        let asked_for = AskedFor::Keys(plan);
        let source = self.source(id, |id| SourcePlan { id, policy: policy.into(), tls, timeout, asked_for });
        Some(KeySource::Asked(source))
    }
}
