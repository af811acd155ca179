// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.plan]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::spec::policy::plan::Spec;
use crate::policy::plan::{Mode, Plan};

/// Compiles it.
pub(super) fn compile(_: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let Spec { detail, report_only } = &spec.value;
    let mode = if *report_only { Mode::Report } else { Mode::Enforce };
    Some(Plan { detail: detail.as_str().into(), mode })
}
