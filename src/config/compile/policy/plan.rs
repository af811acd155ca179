// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.plan]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::compile::policy::counted_in::Place;
use crate::config::compile::policy::limit_key::{on_trouble, told};
use crate::config::location::Located;
use crate::config::spec::policy::plan::Spec;
use crate::config::spec::policy::rate_limit::CountedIn;
use crate::policy::limiting::Mode;
use crate::policy::plan::Plan;

/// Compiles it.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    let has_store = compiler.draft.spec.store.is_some();
    let unsaid = Located::nowhere(if has_store { CountedIn::Store } else { CountedIn::Memory });
    let counted_in = spec.counted_in.as_ref().unwrap_or(&unsaid);
    let place = Place { counted_in, on_outage: spec.on_outage, gateways: spec.gateways.as_ref() };
    Some(Plan {
        name: context.name.into(),
        detail: spec.detail.as_str().into(),
        mode: if spec.report_only { Mode::Report } else { Mode::Enforce },
        told: told(spec.fields, &spec.dialect),
        keys_max: spec.keys_max.map_or(KEYS_MAX, |keys| keys.max(1) as usize),
        wait: compiler.limit_wait(spec.wait.as_ref()),
        uncountable: on_trouble(spec.uncountable),
        kept: place.compile(compiler, context),
        hash_seed: compiler.environment.seed,
    })
}

const KEYS_MAX: usize = 1_000_000;
