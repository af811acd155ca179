// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.headers]`.

use crate::config::compile::Compiler;
use crate::config::compile::fields::Head;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::spec::policy::headers::Spec;
use crate::policy::headers::Plan;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let request = compiler.field_changes(&spec.value.request, Head::Request, &[]);
    let response = compiler.field_changes(&spec.value.response, Head::Response, &[]);
    Some(Plan { request: request.into(), response: response.into() })
}
