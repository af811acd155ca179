// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.introspection]`.

use std::time::Duration;

use crate::base::limits::LIMIT_WAIT_MS_MAX;
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::compile::source::{boxed, source_id};
use crate::config::location::Located;
use crate::config::plan::{self, AskedFor, ClientCredentials, IntrospectionPlan, SourcePlan, UpstreamTlsPlan};
use crate::config::report::Report;
use crate::config::spec::policy::introspection::{ClientAuthentication, Spec};
use crate::policy::SourceId;
use crate::policy::introspection::Plan;
use crate::policy::tell::ConsumerFields;
use crate::policy::token::{ClaimPath, Credential, Rules, ToUpstream};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let (location, spec) = (spec.location, &spec.value);
    let (Some(url), Some(client), Some(secret)) = (&spec.url, &spec.client_id, &spec.client_secret) else {
        let report = Report::error(location, "`url`, `client_id` and `client_secret` are needed");
        compiler.absent(location, report.label("an authorisation server only answers clients that it knows"));
        return None;
    };
    for time in [&spec.cache, &spec.cache_inactive] {
        if time.value.0 < SHORTEST {
            compiler.error(time.location, "an answer holds for a second at least");
        }
    }
    let timeout = spec.timeout.value.0;
    if timeout.is_zero() || timeout > Duration::from_millis(LIMIT_WAIT_MS_MAX) {
        compiler.error(spec.timeout.location, "a request waits at most a minute, and not for nothing");
    }
    if spec.tokens_kept.value == 0 {
        compiler.error(spec.tokens_kept.location, "at least one answer is remembered");
    }
    let locations = compiler.token_locations(&spec.from, location);
    let challenge = compiler.challenge(&spec.realm, spec.resource_metadata.as_ref(), &spec.scopes);
    let tls = compiler.source_tls(&spec.ca, location);
    let url = compiler.url(url)?;
    let authentication = match spec.authentication {
        ClientAuthentication::Basic => plan::ClientAuthentication::Basic,
        ClientAuthentication::Post => plan::ClientAuthentication::Post,
    };
    let client = ClientCredentials { id: client.value.as_str().into(), secret: secret.value.clone(), authentication };
    let asked = IntrospectionPlan { url, client };
    let source = compiler.authorisation_server(spec, asked, tls, context.name);
    let issuer = spec.issuer.iter().map(|issuer| (ClaimPath::new("iss"), [issuer.as_str().into()].into()));
    let rules = Rules {
        audiences: boxed(&spec.audience),
        kind: None,
        required: spec.require.iter().map(|name| ClaimPath::new(name)).collect(),
        equal: compiler.claims_equal(&spec.claims).into_iter().chain(issuer).collect(),
        scopes: spec.scopes.iter().map(|scope| scope.value.as_str().into()).collect(),
        leeway: spec.leeway.0,
        age_max: None,
    };
    Some(Plan {
        locations,
        source,
        // The control plane itself ends a request after `timeout`; its answer is on its way for a little longer.
        wait: timeout + Duration::from_millis(500),
        fresh: spec.cache.value.0,
        fresh_inactive: spec.cache_inactive.value.0,
        stale: spec.stale.0,
        tokens_kept: spec.tokens_kept.value as usize,
        rules,
        consumer: compiler.token_consumer(spec.consumer.as_ref()),
        to_upstream: ToUpstream {
            credential: if spec.hide { Credential::Removed } else { Credential::Kept },
            consumer: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
            claims: compiler.claim_headers(&spec.claim_headers),
        },
        anonymous: compiler.token_anonymous(spec.anonymous.as_ref()),
        challenge,
    })
}

impl Compiler<'_> {
    fn authorisation_server(
        &mut self,
        spec: &Spec,
        asked: IntrospectionPlan,
        tls: Option<UpstreamTlsPlan>,
        policy: &str,
    ) -> SourceId {
        let timeout = spec.timeout.value.0;
        let ca: Vec<_> = spec.ca.iter().map(|path| &path.value).collect();
        let credentials = (&asked.client.id, &asked.client.secret.0, asked.client.authentication);
        let id = source_id(&("introspection", &asked.url, credentials, timeout, ca));
        let asked_for = AskedFor::Tokens(asked);
        self.source(id, |id| SourcePlan { id, policy: policy.into(), tls, timeout, asked_for })
    }
}

/// The shortest time for which an answer holds: requests that wait for the same answer must all find it.
const SHORTEST: Duration = Duration::from_secs(1);
