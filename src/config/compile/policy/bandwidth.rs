// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.bandwidth]`.

use std::time::Duration;

use crate::base::limits::BUF_CLASSES;
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::bandwidth::Spec;
use crate::config::spec::policy::rate_limit::AbsentPart;
use crate::config::spec::scalar::Size;
use crate::policy::bandwidth::{Plan, Shared};
use crate::policy::limit::gcra::Rate;
use crate::policy::limiting::Scope;
use crate::policy::throttle::{Bandwidth, Direction, Throttle, UNIT_BYTES};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let location = spec.location;
    let spec = &spec.value;
    if spec.download.is_none() && spec.upload.is_none() {
        let report = Report::error(location, "neither `download` nor `upload` is given: nothing would be slowed down");
        compiler.absent(location, report);
        return None;
    }
    let exempt = compiler.exempt(&spec.exempt_networks, &spec.exempt_consumers);
    let directions = [
        (Direction::Download, spec.download.as_ref(), spec.download_after.as_ref()),
        (Direction::Upload, spec.upload.as_ref(), spec.upload_after.as_ref()),
    ];
    if spec.key.is_empty() {
        only_with_key(compiler, spec, location);
        let [download, upload] = directions.map(|(_, rate, after)| throttle(compiler, rate, after));
        return Some(Plan { bandwidth: Bandwidth { download, upload }, shared: None, exempt });
    }
    let key = compiler.limit_key(&spec.key, spec.absent);
    let mut rates = Vec::new();
    let [download, upload] = directions.map(|(direction, rate, at_once)| {
        let Some(rate) = rate else { return Throttle::default() };
        let throttle = shared(compiler, rate, at_once);
        rates.extend(units(throttle).map(|rate| (direction, rate)));
        throttle
    });
    let shared = Shared {
        name: context.name.into(),
        key: key?,
        scope: match &spec.per_route {
            Some(per_route) if per_route.value => Scope::PerRoute,
            Some(_) | None => Scope::Shared,
        },
        rates: rates.into(),
        keys_max: spec.keys_max.as_ref().map_or(KEYS_MAX, |keys| keys.value.max(1) as usize),
        hash_seed: compiler.environment.seed,
    };
    Some(Plan { bandwidth: Bandwidth { download, upload }, shared: Some(Box::new(shared)), exempt })
}

/// Keys that say how a `key` is counted mean nothing without one.
fn only_with_key(compiler: &mut Compiler<'_>, spec: &Spec, location: crate::config::location::Location) {
    let written = [
        ("absent", (spec.absent != AbsentPart::default()).then_some(location)),
        ("per_route", spec.per_route.as_ref().map(|written| written.location)),
        ("keys_max", spec.keys_max.as_ref().map(|written| written.location)),
    ];
    for (name, location) in written {
        if let Some(location) = location {
            compiler.error(
                location,
                format!("`{name}` means nothing without `key`: each request has the rates for itself"),
            );
        }
    }
}

fn throttle(compiler: &mut Compiler<'_>, rate: Option<&Located<Size>>, after: Option<&Size>) -> Throttle {
    let Some(rate) = rate else { return Throttle::default() };
    at_least(compiler, rate);
    Throttle { bytes_a_second: rate.value.0, after: after.map_or(0, |after| after.0) }
}

/// A rate that is shared, and how much may pass at once.
fn shared(compiler: &mut Compiler<'_>, rate: &Located<Size>, at_once: Option<&Size>) -> Throttle {
    at_least(compiler, rate);
    if rate.value.0 > MOST {
        compiler.error(rate.location, "a rate that is shared is at most 32 GiB a second");
    }
    let at_once = at_once.map_or(rate.value.0 / QUARTER, |at_once| at_once.0);
    Throttle { bytes_a_second: rate.value.0, after: at_once.clamp(AT_ONCE_LEAST, MOST) }
}

fn units(throttle: Throttle) -> Option<Rate> {
    let units = |bytes: u64| u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX);
    Rate::new(units(throttle.bytes_a_second), Duration::from_secs(1), units(throttle.after))
}

fn at_least(compiler: &mut Compiler<'_>, rate: &Located<Size>) {
    if rate.value.0 < LEAST {
        compiler.error(rate.location, "at least 1 KiB a second: less looks like a connection that is dead");
    }
}

/// A buffer of the smallest class takes four seconds at this rate.
const LEAST: u64 = 1024;
/// Its units fit into 32 bits.
const MOST: u64 = 32 << 30;
/// Without `download_after`, a key may have at once what comes in this part of a second.
const QUARTER: u64 = 4;
/// A few buffers of the smallest class, so that several exchanges on several shards can have one each.
const AT_ONCE_LEAST: u64 = 4 * BUF_CLASSES[0] as u64;
const KEYS_MAX: usize = 100_000;
