// SPDX-License-Identifier: Apache-2.0
//! The plan of a test: the compiled configuration, less what has no place in a test.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::Endpoint;
use crate::base::Address;
use crate::config::directory::KeyObject;
use crate::config::plan::{
    AccessLogPlan, HttpVersions, LogEscape, LogField, LogFormat, LogPiece, LogTarget, LogTemplate, Plan, Share,
};
use crate::config::{Environment, load};
use crate::policy::Policy;
use crate::policy::api_key::KeyLocation;
use crate::policy::directory::Expiry;
use crate::policy::key_format::hash_of;
use crate::trial::suite::{Suite, Test};
use crate::wire::template::Template;

/// The field of a log line that says which connection it is of.
pub(super) const PORT: &str = "test.port";
/// The one that says how the caller was identified.
pub(super) const METHOD: &str = "test.method";
/// The caller's groups.
pub(super) const GROUPS: &str = "test.groups";
/// Its tenant.
pub(super) const TENANT: &str = "test.tenant";
/// Its plan on the route.
pub(super) const PLAN: &str = "test.plan";

/// The fields of log lines that are not told otherwise, and what they are.
const OWN: [(&str, &str); 5] = [
    (PORT, "{client.port}"),
    (METHOD, "{consumer.method}"),
    (GROUPS, "{consumer.group}"),
    (TENANT, "{tenant}"),
    (PLAN, "{plan}"),
];

/// The field of a claim.
pub(super) fn claim_field(name: &str) -> String {
    format!("test.claim.{name}")
}

/// Keys that consumers have for a test, and where they are sent.
pub(super) struct Keys {
    places: Vec<KeyLocation>,
}

/// The plan for `test`, as the configuration is at its time, and the keys that its consumers have.
pub(super) fn plan(suite: &Suite, test: &Test) -> Result<(Plan, Keys), String> {
    let environment = Environment { now: test.time, ..suite.environment.clone() };
    let loaded = load(&suite.source, &environment).map_err(|reports| reports.plain())?;
    let mut plan = Arc::try_unwrap(loaded.plan).map_err(|_| "the plan is in use".to_owned())?;
    plan.process.shards = 1;
    plan.access_log = Some(log(plan.access_log.take(), test)?);
    for route in &mut plan.routes {
        route.logged = Some(Share::ALL);
    }
    for upstream in &mut plan.upstreams {
        upstream.tls = None;
        upstream.http = HttpVersions::Http1;
        upstream.proxy_protocol = None;
        upstream.health = None;
    }
    let keys = Keys::given(&mut plan, test);
    Ok((plan, keys))
}

/// JSON lines with the fields that the configuration has for them, and some for us.
fn log(configured: Option<AccessLogPlan>, test: &Test) -> Result<AccessLogPlan, String> {
    let mut fields = match configured.map(|log| log.format) {
        Some(LogFormat::Json(fields)) => fields,
        Some(LogFormat::Combined | LogFormat::Template(_)) | None => Vec::new(),
    };
    let claims: BTreeSet<&str> =
        test.steps.iter().flat_map(|step| &step.expect.claims).map(|(name, _)| name.as_str()).collect();
    let claims = claims.into_iter().map(|name| (claim_field(name), format!("{{claim.{name}}}")));
    let own = OWN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    for (name, text) in own.chain(claims) {
        let template = Template::compile_anywhere(&text).map_err(|error| format!("{text}: {error:?}"))?;
        let opening = format!(",{}:\"", serde_json::Value::from(name)).into_bytes().into();
        let pieces = vec![LogPiece::Text(template.within_json())];
        fields.push(LogField { opening, value: LogTemplate { pieces, escape: LogEscape::Json } });
    }
    let format = LogFormat::Json(fields);
    Ok(AccessLogPlan { to: LogTarget::Stdout, format, sample: Share::ALL, errors: true })
}

impl Keys {
    /// Declares a key for each consumer that a request names.
    fn given(plan: &mut Plan, test: &Test) -> Keys {
        let named = test.steps.iter().filter_map(|step| step.request.consumer.as_ref());
        let names: BTreeSet<&str> = named.map(|name| name.value.as_str()).collect();
        let declared = Arc::make_mut(&mut plan.declared);
        declared.keys.extend(names.into_iter().map(|name| KeyObject {
            hash: hash_of(key_of(name).as_bytes()),
            consumer: name.into(),
            app: None,
            expires: Expiry::NEVER,
        }));
        let mut places: Vec<KeyLocation> = Vec::new();
        for policy in &plan.policies {
            if let Policy::ApiKey(keys) = &policy.policy
                && let Some(first) = keys.sources.first()
                && !places.contains(first)
            {
                places.push(first.clone());
            }
        }
        Keys { places }
    }

    /// Where keys are looked for.
    pub(super) fn place(&self) -> Result<&KeyLocation, String> {
        match &self.places[..] {
            [place] => Ok(place),
            [] => Err("no policy `api_key` looks for a key".to_owned()),
            _ => Err("`api_key` policies look in different places: name the header and a key instead".to_owned()),
        }
    }
}

/// The key that a consumer has for a test.
pub(super) fn key_of(consumer: &str) -> String {
    format!("key-of-{consumer}-for-a-test")
}

/// Endpoints of all upstreams, each at an address that nobody else has. Names are not resolved: each is one endpoint.
pub(super) fn endpoints(plan: &Plan) -> Vec<(Arc<str>, Vec<Endpoint>)> {
    let listeners = plan.listeners.iter().flat_map(|listener| listener.bind.iter().cloned());
    let mut taken: HashSet<Address> = listeners.collect();
    let mut fresh = (1_u16..).map(|number| {
        let [high, low] = number.to_be_bytes();
        Address::Inet(SocketAddr::from(([10, 254, high, low], 80)))
    });
    let mut place = |wanted: Option<&Address>| match wanted {
        Some(address) if taken.insert(address.clone()) => Some(address.clone()),
        _ => fresh.by_ref().find(|address| taken.insert(address.clone())),
    };
    let all = plan.upstreams.iter().map(|upstream| {
        let fixed = upstream.fixed.iter().filter_map(|endpoint| {
            let address = place(Some(&endpoint.address))?;
            Some(Endpoint { address, ..endpoint.clone() })
        });
        let mut endpoints: Vec<Endpoint> = fixed.collect();
        endpoints.extend(upstream.names.iter().filter_map(|name| {
            let shown = if name.port == 80 || name.srv {
                name.name.to_string()
            } else {
                format!("{}:{}", name.name, name.port)
            };
            Some(Endpoint { address: place(None)?, name: shown.into(), weight: name.weight, backup: name.backup })
        }));
        (upstream.name.clone(), endpoints)
    });
    all.collect()
}
