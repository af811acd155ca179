// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.bandwidth]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::bandwidth::Spec;
use crate::config::spec::scalar::Size;
use crate::policy::bandwidth::Plan;
use crate::policy::throttle::{Bandwidth, Throttle};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let location = spec.location;
    let spec = &spec.value;
    if spec.download.is_none() && spec.upload.is_none() {
        let report = Report::error(location, "neither `download` nor `upload` is given: nothing would be slowed down");
        compiler.absent(location, report);
        return None;
    }
    let download = throttle(compiler, spec.download.as_ref(), spec.download_after.as_ref());
    let upload = throttle(compiler, spec.upload.as_ref(), spec.upload_after.as_ref());
    let exempt = compiler.exempt(&spec.exempt_networks, &spec.exempt_consumers);
    Some(Plan { bandwidth: Bandwidth { download, upload }, exempt })
}

fn throttle(compiler: &mut Compiler<'_>, rate: Option<&Located<Size>>, after: Option<&Size>) -> Throttle {
    let Some(rate) = rate else { return Throttle::default() };
    if rate.value.0 < LEAST {
        compiler.error(rate.location, "at least 1 KiB a second: less looks like a connection that is dead");
    }
    Throttle { bytes_a_second: rate.value.0, after: after.map_or(0, |after| after.0) }
}

/// A buffer of the smallest class takes four seconds at this rate.
const LEAST: u64 = 1024;
