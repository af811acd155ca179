// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.plan]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::compile::policy::limit_key::{on_trouble, told};
use crate::config::location::Located;
use crate::config::spec::policy::plan::Spec;
use crate::policy::limiting::Mode;
use crate::policy::plan::Plan;

/// Compiles it.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    Some(Plan {
        name: context.name.into(),
        detail: spec.detail.as_str().into(),
        mode: if spec.report_only { Mode::Report } else { Mode::Enforce },
        told: told(spec.fields, &spec.dialect),
        keys_max: spec.keys_max.map_or(KEYS_MAX, |keys| keys.max(1) as usize),
        wait: compiler.limit_wait(spec.wait.as_ref()),
        uncountable: on_trouble(spec.uncountable),
        hash_seed: compiler.environment.seed,
    })
}

const KEYS_MAX: usize = 1_000_000;
