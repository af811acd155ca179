// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.rate_limit]`.

use std::time::Duration;

use crate::base::limits::LIMIT_WAIT_MS_MAX;
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::rate_limit::{LimitFields, Spec, Uncountable};
use crate::policy::limit::gcra::Rate;
use crate::policy::rate_limit::{FieldsSent, Key, Mode, OnTrouble, Plan, Scope};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    let parts = spec.rate.value.0;
    let count = u32::try_from(parts.count).ok();
    let burst = spec.burst.as_ref().map(|burst| burst.value).or(count);
    let rate = count.zip(burst).and_then(|(count, burst)| Rate::new(count, parts.per, burst));
    if rate.is_none() {
        let location =
            spec.burst.as_ref().filter(|burst| burst.value == 0).map_or(spec.rate.location, |burst| burst.location);
        compiler.error(location, "a limit is 1 to 4294967295 requests in at most 366 days, with a burst of at least 1");
    }
    let key = spec.key.as_ref().map_or(Some(ADDRESS), |key| limit_key(compiler, key));
    let status = spec.status.as_ref();
    if let Some(status) = status.filter(|status| !(400..=599).contains(&status.value)) {
        compiler.error(status.location, "a refusal's status is 400 to 599");
    }
    let mut plan = Plan::new(context.name, rate?, key?);
    plan.status = status.map_or(plan.status, |status| status.value);
    plan.scope = if spec.per_route { Scope::PerRoute } else { Scope::Shared };
    plan.detail = spec.detail.as_deref().unwrap_or("").into();
    plan.fields = match spec.fields {
        LimitFields::Always => FieldsSent::Always,
        LimitFields::OnRefusal => FieldsSent::OnRefusal,
        LimitFields::Never => FieldsSent::Never,
    };
    plan.mode = if spec.report_only { Mode::Report } else { Mode::Enforce };
    plan.counted = spec.count.0.iter().map(|statuses| statuses.0).collect();
    plan.keys_max = spec.keys_max.map_or(plan.keys_max, |keys| keys.max(1) as usize);
    if let Some(wait) = &spec.wait {
        if wait.value.0 > Duration::from_millis(LIMIT_WAIT_MS_MAX) {
            compiler.error(wait.location, "a request waits at most a minute");
        }
        plan.wait = wait.value.0;
    }
    plan.uncountable = match spec.uncountable {
        Uncountable::Unavailable => OnTrouble::Unavailable,
        Uncountable::Refuse => OnTrouble::Refuse,
        Uncountable::Admit => OnTrouble::Admit,
    };
    plan.hash_seed = compiler.environment.seed;
    Some(plan)
}

fn limit_key(compiler: &mut Compiler<'_>, key: &Located<String>) -> Option<Key> {
    if let Some(field) = key.value.strip_prefix("header:") {
        let field = Located { value: field.trim().to_owned(), location: key.location };
        return compiler
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
    let report = Report::error(key.location, format!("`{}` is not something to count by", key.value));
    let known = ["address", "address/24", "address/24/48", "consumer", "everything", "header:NAME"];
    compiler.faults.push(report.suggest(&key.value, known));
    None
}

/// One client: an IPv4 address, or the /64 that a client of IPv6 usually has.
const ADDRESS: Key = Key::Address { v4_prefix: 32, v6_prefix: 64 };
