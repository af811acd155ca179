//! `[policy.NAME]` and `[[consumer]]`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ConsumerId, UpstreamId};
use crate::config::compile::fields::Head;
use crate::config::compile::{Compiler, Section};
use crate::config::place::{Place, Placed};
use crate::config::plan::{FieldChange, FieldOp, PolicyPlan};
use crate::config::report::Report;
use crate::config::spec::policy::{
    ApiKeySpec, AuthFailure, ConsumerSpec, CorsSpec, ExternalAuthSpec, FieldsSpec, KeySpec, LimitFields, PolicySpec,
    RateLimitSpec, Uncountable,
};
use crate::config::spec::shape::Many;
use crate::policy::api_key::{Consumer, ConsumerFields, Credential, KeyEntry, KeyTable, Source, hash_of, parse_hash};
use crate::policy::cors::{Credentials, OriginRule, Origins, PrivateNetwork};
use crate::policy::external_auth::{Copied, Forward, OnFailure, Redirects};
use crate::policy::gcra::Rate;
use crate::policy::headers::Change;
use crate::policy::network::NetworkSet;
use crate::policy::rate_limit::{FieldsSent, Key, Mode, OnTrouble, Scope};
use crate::policy::{Policy, api_key, cors, external_auth, headers, network, rate_limit};
use crate::wire::template::Template;

/// A compiled policy and where it came from.
pub(super) struct CompiledPolicy {
    /// What it does.
    pub plan: PolicyPlan,
    /// Where its name stands.
    pub place: Place,
}

/// All consumers and their keys.
pub(super) struct Consumers {
    list: Arc<[Consumer]>,
    keys: Vec<KeyEntry>,
}

impl Consumers {
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.list.iter().map(|consumer| Arc::clone(&consumer.name)).collect()
    }

    fn id(&self, name: &str) -> Option<ConsumerId> {
        let found = self.list.iter().position(|consumer| *consumer.name == *name)?;
        Some(ConsumerId(found as u32))
    }
}

impl Compiler<'_> {
    /// Compiles every `[[consumer]]` that is right so far.
    pub(super) fn consumers(&mut self) -> Consumers {
        let draft = self.draft;
        let names: Vec<Placed<String>> = draft.spec.consumer.iter().map(|spec| spec.value.name.clone()).collect();
        self.unique("consumer", &names);
        let (mut list, mut keys, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
        for spec in &draft.spec.consumer {
            let id = ConsumerId(list.len() as u32);
            list.push(self.consumer(&spec.value));
            for key in spec.value.keys.iter() {
                let Some(entry) = self.key(key, id) else { continue };
                if let Some(first) = seen.insert(entry.hash, key.place) {
                    self.faults
                        .push(Report::error(key.place, "the same key twice").other(first, "the first one is here"));
                }
                keys.push(entry);
            }
        }
        Consumers { list: list.into(), keys }
    }

    fn consumer(&mut self, spec: &ConsumerSpec) -> Consumer {
        // Both are sent in fields.
        let texts = [Some(&spec.name), spec.id.as_ref()];
        for text in texts.into_iter().flatten() {
            if text.value.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
                self.error(text.place, "control characters are not allowed here");
            }
        }
        if spec.name.value.is_empty() {
            self.error(spec.name.place, "the name is empty");
        }
        let id = spec.id.as_ref().map_or("", |id| id.value.as_str());
        Consumer { name: spec.name.value.as_str().into(), id: id.into() }
    }

    fn key(&mut self, spec: &Placed<KeySpec>, consumer: ConsumerId) -> Option<KeyEntry> {
        let expires = spec.value.expires.as_ref().map(|moment| moment.0);
        let hash = match (&spec.value.sha256, &spec.value.key) {
            (Some(hash), None) => {
                let Some(hash) = parse_hash(hash.value.trim()) else {
                    let report = Report::error(hash.place, "expected a SHA-256 as 64 hexadecimal digits");
                    self.faults.push(report.help("`printf %s KEY | sha256sum` makes one"));
                    return None;
                };
                hash
            }
            (None, Some(key)) => {
                let bytes = key.value.0.as_bytes();
                if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX {
                    self.error(key.place, format!("a key has 1 to {KEY_BYTES_MAX} bytes"));
                    return None;
                }
                if bytes.len() < KEY_BYTES_LOW {
                    let report = Report::warning(key.place, "a short key can be guessed");
                    self.faults.push(report.help("`openssl rand -hex 24` makes a good one"));
                }
                hash_of(bytes)
            }
            _ => {
                self.absent(spec.place, Report::error(spec.place, "a key is given either as `sha256` or as `key`"));
                return None;
            }
        };
        Some(KeyEntry { hash, consumer, expires })
    }

    /// Compiles every `[policy.NAME]` that is right so far.
    pub(super) fn policies(&mut self, consumers: &Consumers) -> Vec<CompiledPolicy> {
        let draft = self.draft;
        let mut policies = Vec::new();
        for (name, spec) in draft.spec.policy.iter() {
            let Some((policy, upstream)) = self.policy(name, spec, consumers) else { continue };
            let plan = PolicyPlan { name: name.value.as_str().into(), policy, upstream };
            policies.push(CompiledPolicy { plan, place: name.place });
        }
        policies
    }

    fn policy(
        &mut self,
        name: &Placed<String>,
        spec: &PolicySpec,
        consumers: &Consumers,
    ) -> Option<(Policy, Option<UpstreamId>)> {
        let PolicySpec { rate_limit, api_key, external_auth, cors, network, headers } = spec;
        let kinds = [
            rate_limit.as_ref().map(|kind| kind.place),
            api_key.as_ref().map(|kind| kind.place),
            external_auth.as_ref().map(|kind| kind.place),
            cors.as_ref().map(|kind| kind.place),
            network.as_ref().map(|kind| kind.place),
            headers.as_ref().map(|kind| kind.place),
        ];
        let given: Vec<Place> = kinds.into_iter().flatten().collect();
        if given.len() != 1 {
            let place = given.get(1).copied().unwrap_or(name.place);
            let report = Report::error(place, format!("policy `{}` is exactly one kind", name.value));
            let node = self.draft.root.child("policy").and_then(|section| section.child(&name.value));
            let around = node.map_or(name.place, |node| node.place);
            self.absent(
                around,
                report.help("`rate_limit`, `api_key`, `external_auth`, `cors`, `network` or `headers`"),
            );
            return None;
        }
        let alone = |policy: Policy| Some((policy, None));
        if let Some(spec) = rate_limit {
            return self.rate_limit(&name.value, &spec.value).map(Policy::RateLimit).and_then(alone);
        }
        if let Some(spec) = api_key {
            return self.api_key(&spec.value, consumers).map(Policy::ApiKey).and_then(alone);
        }
        if let Some(spec) = cors {
            return self.cors(&spec.value).map(Policy::Cors).and_then(alone);
        }
        if let Some(spec) = headers {
            return alone(Policy::Headers(self.headers(&spec.value)));
        }
        if let Some(spec) = network {
            let set = |list: &Many<crate::config::spec::scalar::Network>| {
                NetworkSet::new(&list.iter().map(|network| network.0).collect::<Vec<_>>())
            };
            let (allow, deny) = (set(&spec.value.allow), set(&spec.value.deny));
            if allow.is_empty() && deny.is_empty() {
                let report = Report::error(spec.place, "`allow` or `deny` is missing: nobody would be refused");
                self.absent(spec.place, report);
            }
            let detail = spec.value.detail.as_deref().unwrap_or("").into();
            return alone(Policy::Network(network::Plan { deny, allow, detail }));
        }
        let plan = self.external_auth(&name.value, &external_auth.as_ref()?.value)?;
        let upstream = plan.upstream;
        Some((Policy::ExternalAuth(plan), Some(upstream)))
    }

    fn rate_limit(&mut self, name: &str, spec: &RateLimitSpec) -> Option<rate_limit::Plan> {
        let parts = spec.rate.value.0;
        let count = u32::try_from(parts.count).ok();
        let burst = spec.burst.as_ref().map(|burst| burst.value).or(count);
        let rate = count.zip(burst).and_then(|(count, burst)| Rate::new(count, parts.per, burst));
        if rate.is_none() {
            let place =
                spec.burst.as_ref().filter(|burst| burst.value == 0).map_or(spec.rate.place, |burst| burst.place);
            self.error(place, "a limit is 1 to 4294967295 requests in at most 366 days, with a burst of at least 1");
        }
        let key = spec.key.as_ref().map_or(Some(ADDRESS), |key| self.limit_key(key));
        let status = spec.status.as_ref();
        if let Some(status) = status.filter(|status| !(400..=599).contains(&status.value)) {
            self.error(status.place, "a refusal's status is 400 to 599");
        }
        let mut plan = rate_limit::Plan::new(name, rate?, key?);
        plan.status = status.map_or(plan.status, |status| status.value);
        plan.scope = if spec.per_route { Scope::PerRoute } else { Scope::Shared };
        plan.detail = spec.detail.as_deref().unwrap_or("").into();
        plan.fields = match spec.fields {
            LimitFields::Always => FieldsSent::Always,
            LimitFields::OnRefusal => FieldsSent::OnRefusal,
            LimitFields::Never => FieldsSent::Never,
        };
        plan.mode = if spec.report_only { Mode::Report } else { Mode::Enforce };
        plan.keys_max = spec.keys_max.map_or(plan.keys_max, |keys| keys.max(1) as usize);
        plan.table_full = match spec.uncountable {
            Uncountable::Unavailable => OnTrouble::Unavailable,
            Uncountable::Refuse => OnTrouble::Refuse,
            Uncountable::Admit => OnTrouble::Admit,
        };
        plan.lease_missing = plan.table_full;
        plan.hash_seed = self.environment.seed;
        Some(plan)
    }

    fn limit_key(&mut self, key: &Placed<String>) -> Option<Key> {
        if let Some(field) = key.value.strip_prefix("header:") {
            let field = Placed { value: field.trim().to_owned(), place: key.place };
            return self
                .token(&field, "field")
                .then(|| Key::Header(field.value.to_ascii_lowercase().into_bytes().into()));
        }
        match key.value.as_str() {
            "address" => return Some(ADDRESS),
            "consumer" => return Some(Key::Consumer),
            "everything" => return Some(Key::Everything),
            _ => {}
        }
        let prefixes = key.value.strip_prefix("address/").map(|rest| rest.split_once('/').unwrap_or((rest, "64")));
        let number = |text: &str, max: u8| text.parse::<u8>().ok().filter(|bits| *bits <= max);
        let parsed = prefixes.and_then(|(v4, v6)| Some((number(v4, 32)?, number(v6, 128)?)));
        if let Some((v4_prefix, v6_prefix)) = parsed {
            return Some(Key::Address { v4_prefix, v6_prefix });
        }
        let report = Report::error(key.place, format!("`{}` is not something to count by", key.value));
        let known = ["address", "address/24", "address/24/48", "consumer", "everything", "header:NAME"];
        self.faults.push(report.suggest(&key.value, known));
        None
    }

    fn api_key(&mut self, spec: &ApiKeySpec, consumers: &Consumers) -> Option<api_key::Plan> {
        let mut sources = Vec::new();
        for header in spec.header.iter() {
            if !self.token(header, "field") {
                continue;
            }
            let bearer = header.value.eq_ignore_ascii_case("authorization");
            let field = header.value.to_ascii_lowercase().into_bytes().into();
            sources.push(if bearer { Source::Bearer } else { Source::Header(field) });
        }
        if spec.bearer && !sources.contains(&Source::Bearer) {
            sources.push(Source::Bearer);
        }
        sources.extend(spec.query.as_ref().map(|name| Source::Query(name.value.as_bytes().into())));
        if spec.realm.value.bytes().any(|byte| !(0x20..0x7f).contains(&byte) || b"\"\\".contains(&byte)) {
            self.error(spec.realm.place, "a realm has no quotes, backslashes or control characters");
        }
        let mut keys = consumers.keys.clone();
        if !spec.consumers.is_empty() {
            let mut allowed = Vec::new();
            for name in spec.consumers.iter() {
                self.known(name, Section::Consumer);
                allowed.extend(consumers.id(&name.value));
            }
            keys.retain(|key| allowed.contains(&key.consumer));
        }
        let anonymous = spec.anonymous.as_ref().and_then(|name| {
            self.known(name, Section::Consumer);
            consumers.id(&name.value)
        });
        Some(api_key::Plan {
            sources: sources.into(),
            keys: Arc::new(KeyTable::new(keys)),
            consumers: Arc::clone(&consumers.list),
            credential: if spec.hide { Credential::Removed } else { Credential::Kept },
            consumer_fields: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
            anonymous,
            challenge: format!("Bearer realm=\"{}\"", spec.realm.value).into_bytes().into(),
        })
    }

    fn external_auth(&mut self, name: &str, spec: &ExternalAuthSpec) -> Option<external_auth::Plan> {
        let upstream = self.upstream_of(&spec.upstream);
        let root = Placed::nowhere("/".to_owned());
        let path = spec.path.as_ref().unwrap_or(&root);
        if !path.value.starts_with(['/', '{']) {
            self.error(path.place, "a path begins with `/`");
        }
        let target = self.field_value(path, &[]);
        let forward = match &spec.send {
            Some(names) => {
                Forward::Only(self.field_names(names).into_iter().map(|name| name.into_boxed_slice()).collect())
            }
            None => Forward::All,
        };
        Some(external_auth::Plan {
            to_upstream: self.copied(&spec.to_upstream),
            to_client: self.copied(&spec.to_client),
            upstream: upstream?,
            name: name.into(),
            target: target?,
            timeout: spec.timeout.as_ref().map_or(AUTH_TIMEOUT, |timeout| timeout.0),
            forward,
            redirects: if spec.forward_redirects { Redirects::Forward } else { Redirects::Fail },
            failure: match spec.failure {
                AuthFailure::Refuse => OnFailure::Refuse(500),
                AuthFailure::Unavailable => OnFailure::Refuse(503),
                AuthFailure::Admit => OnFailure::Admit,
            },
        })
    }

    fn copied(&mut self, names: &Many<Placed<String>>) -> Box<[Copied]> {
        let mut list = Vec::new();
        for name in names.iter() {
            if self.field_name(name, Head::Response) {
                let name: Box<[u8]> = name.value.as_bytes().into();
                list.push(Copied { from: name.clone(), to: name });
            }
        }
        list.into()
    }

    fn field_names(&mut self, names: &Many<Placed<String>>) -> Vec<Vec<u8>> {
        let good: Vec<&Placed<String>> = names.iter().filter(|name| self.token(name, "field")).collect();
        good.into_iter().map(|name| name.value.as_bytes().to_vec()).collect()
    }

    fn cors(&mut self, spec: &CorsSpec) -> Option<cors::Plan> {
        let any = spec.origins.iter().any(|origin| origin.value == "*");
        if any && spec.credentials.value {
            let report =
                Report::error(spec.credentials.place, "with the origin \"*\" every page could act as the user");
            self.faults.push(report.help("list the origins that may send cookies"));
        }
        let rules: Vec<Option<OriginRule>> = match any {
            true => Vec::new(),
            false => spec.origins.iter().map(|origin| self.origin(origin)).collect(),
        };
        let rules = rules.into_iter().collect::<Option<Vec<OriginRule>>>();
        for method in spec.methods.iter() {
            self.token(method, "method");
        }
        let listed = |names: &Many<Placed<String>>| -> Box<[u8]> {
            names.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(", ").into_bytes().into()
        };
        let (_, _) = (self.field_names(&spec.headers), self.field_names(&spec.expose));
        Some(cors::Plan {
            origins: if any { Origins::Any } else { Origins::Listed(rules?.into()) },
            methods: listed(&spec.methods),
            headers: listed(&spec.headers),
            expose: listed(&spec.expose),
            credentials: if spec.credentials.value { Credentials::Allowed } else { Credentials::Denied },
            max_age: Some(spec.max_age.0),
            private_network: if spec.private_network { PrivateNetwork::Allowed } else { PrivateNetwork::Denied },
        })
    }

    /// A rule for the origin of a page.
    pub(super) fn origin(&mut self, origin: &Placed<String>) -> Option<OriginRule> {
        if let Some(regex) = origin.value.strip_prefix('~') {
            return match OriginRule::regex(regex) {
                Ok(rule) => Some(rule),
                Err(fault) => {
                    self.faults.push(Report::error(origin.place, "not a regular expression").help(fault.to_string()));
                    None
                }
            };
        }
        let whole = origin.value == "null"
            || origin.value.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
        let rule = OriginRule::parse(&origin.value).filter(|_| whole);
        if rule.is_none() {
            let report = Report::error(origin.place, format!("`{}` is no origin", origin.value));
            self.faults
                .push(report.help("\"https://app.example.com\", \"https://*.example.com\", \"~REGEX\" or \"*\""));
        }
        rule
    }

    fn headers(&mut self, spec: &FieldsSpec) -> headers::Plan {
        let request = self.field_ops(&spec.request, Head::Request, &[]);
        let response = self.field_ops(&spec.response, Head::Response, &[]);
        headers::Plan { request: changes(request), response: changes(response) }
    }
}

fn changes(ops: Vec<FieldOp>) -> Box<[Change]> {
    let changes = ops.into_iter().map(|FieldOp { name, change }| {
        let name: Box<[u8]> = name.as_bytes().into();
        let make = |with: fn(Box<[u8]>, Template) -> Change, value: Template| with(name.clone(), value);
        match change {
            FieldChange::Remove => Change::Remove(name),
            FieldChange::Set(value) => make(Change::Set, value),
            FieldChange::Add(value) => make(Change::Add, value),
            FieldChange::Default(value) => make(Change::SetIfMissing, value),
        }
    });
    changes.collect()
}

/// One client: an IPv4 address, or the /64 that a client of IPv6 usually has.
const ADDRESS: Key = Key::Address { v4_prefix: 32, v6_prefix: 64 };
/// As long as a person notices.
const AUTH_TIMEOUT: Duration = Duration::from_secs(1);
/// Longer ones are refused by `policy::api_key`, too.
const KEY_BYTES_MAX: usize = 1_024;
/// Shorter keys are warned of.
const KEY_BYTES_LOW: usize = 16;
