// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.require_header]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::require_header::Spec;
use crate::policy::require_header::{Plan, Required};
use crate::route::ValueMatch;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let Spec { headers, status, detail } = &spec.value;
    if headers.0.is_empty() {
        compiler.absent(spec.location, Report::error(spec.location, "`headers` is empty: nobody would be refused"));
    }
    if !(400..=599).contains(&status.value) {
        compiler.error(status.location, "a refusal's status is 400 to 599");
    }
    let required = compiler.matches(headers, "field").into_iter().map(|field| {
        let named = || match field.value {
            ValueMatch::Absent => format!("The header `{}` is not allowed.", field.name),
            _ => format!("The header `{}` is missing or has a wrong value.", field.name),
        };
        let detail = detail.clone().unwrap_or_else(named).into();
        Required { field, detail }
    });
    Some(Plan { required: required.collect(), status: status.value })
}
