// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.network]`.

use crate::base::NetworkSet;
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::network::Spec;
use crate::config::spec::scalar::Network;
use crate::config::spec::shape::Many;
use crate::policy::network::Plan;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let set = |list: &Many<Network>| NetworkSet::new(&list.iter().map(|network| network.0).collect::<Vec<_>>());
    let (allow, deny) = (set(&spec.value.allow), set(&spec.value.deny));
    if allow.is_empty() && deny.is_empty() {
        let report = Report::error(spec.location, "`allow` or `deny` is missing: nobody would be refused");
        compiler.absent(spec.location, report);
    }
    let detail = spec.value.detail.as_deref().unwrap_or("").into();
    Some(Plan { deny, allow, detail })
}
