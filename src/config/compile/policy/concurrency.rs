// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.concurrency]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::compile::policy::limit_key::on_trouble;
use crate::config::location::Located;
use crate::config::spec::policy::concurrency::Spec;
use crate::policy::concurrency::Plan;
use crate::policy::limit::gcra::Rate;
use crate::policy::limiting::{Mode, Scope};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    let rate = Rate::in_flight(spec.max.value);
    if rate.is_none() {
        let title = "at least one request is served at once; to refuse everything, answer with 403";
        compiler.error(spec.max.location, title);
    }
    let key = compiler.limit_key(&spec.key, spec.absent);
    let status = spec.status.as_ref().map_or(429, |status| status.value);
    if let Some(written) = spec.status.as_ref().filter(|status| !(400..=599).contains(&status.value)) {
        compiler.error(written.location, "a refusal's status is 400 to 599");
    }
    let exempt = compiler.exempt(&spec.exempt_networks, &spec.exempt_consumers);
    let retry_after = spec.retry_after.as_ref().map_or(1, |time| time.value.0.as_secs());
    if let Some(written) = spec.retry_after.as_ref().filter(|time| time.value.0.subsec_nanos() > 0) {
        compiler.error(written.location, "`Retry-After` has whole seconds");
    }
    let wait = compiler.limit_wait(spec.wait.as_ref());
    Some(Plan {
        name: context.name.into(),
        rate: rate?,
        key: key?,
        scope: if spec.per_route { Scope::PerRoute } else { Scope::Shared },
        exempt,
        status,
        detail: spec.detail.as_deref().unwrap_or("").into(),
        retry_after: (retry_after > 0).then_some(retry_after),
        mode: if spec.report_only { Mode::Report } else { Mode::Enforce },
        keys_max: spec.keys_max.map_or(KEYS_MAX, |keys| keys.max(1) as usize),
        wait,
        uncountable: on_trouble(spec.uncountable),
        hash_seed: compiler.environment.seed,
    })
}

const KEYS_MAX: usize = 100_000;
