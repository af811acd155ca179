// SPDX-License-Identifier: Apache-2.0
//! Hot. Who called what, on routes whose usage is counted, and the wait of billed responses.
//!
//! A billed request is counted before the end of its response leaves, and the end waits until the count is recorded: a
//! client that saw a whole response is counted, whatever happens to the process. What is only known afterwards (the
//! time that the last bytes took, bytes of a tunnel) is added without a further request.

use std::sync::Arc;

use crate::base::{Fault, FaultKind, Tick, VersionId};
use crate::config::plan::{RoutePlan, UsageMode};
use crate::edge::exchange::context::Context;
use crate::edge::flow::hold::Hold;
use crate::edge::shard::attributes::Attributes;
use crate::edge::shard::record::Record;
use crate::edge::shard::scratch::RequestState;
use crate::edge::shard::usage::{Bill, Counted, METER, NONE, Names, SeriesKey};
use crate::edge::shard::waiters::Subject;
use crate::link::{Counter, Measures, Series};
use crate::net::Net;
use crate::policy::directory::{Directory, Revision};

/// Begins a request on a billed route. Where usage is not recorded in time, it is refused before anything is done.
pub(crate) fn begin<N: Net>(context: Context<'_, N>, state: &mut RequestState) -> Result<(), Fault> {
    let now = context.shard.thread.net.now();
    let late = context.shard.meter.sent().is_some_and(|sent| now >= sent.after(wait(context)));
    if late {
        context.bound.counters.add(Counter::UsageLate, 1);
        return Err(Fault::last(FaultKind::NotRecorded));
    }
    state.bill = Bill::Due;
    Ok(())
}

/// Counts a request that has ended with this status, or what came of a billed one since it was counted.
pub(crate) fn count<N: Net>(context: Context<'_, N>, state: &RequestState, status: u16, ended: Tick) {
    let Some(route) = state.attributes.route.map(|id| context.bound.plan.route(id)) else { return };
    if route.usage == UsageMode::Off {
        return;
    }
    let record = &state.record;
    let all = measures(record, status, record.sent.get(), ended);
    let (key, measures) = match state.bill {
        Bill::Counted(key, counted) => (key, since(&all, &counted)),
        Bill::None | Bill::Due => (key(context, state, status), all),
    };
    if measures != Measures::default() {
        add(context, &state.attributes, state.record.version, key, &measures);
    }
}

/// Counts a request whose connection switches to another protocol, unless that was done already. Its bytes are added
/// at the end, which may be hours later and under another plan.
pub(crate) fn count_switch<N: Net>(context: Context<'_, N>, state: &mut RequestState) {
    if matches!(state.bill, Bill::Counted(..)) {
        return;
    }
    let now = context.shard.thread.net.now();
    count(context, state, state.record.status, now);
    let counted = measures(&state.record, state.record.status, state.record.sent.get(), now);
    state.bill = Bill::Counted(key(context, state, state.record.status), counted);
}

/// Counts a billed request whose response the gateway makes itself, and waits until that is recorded.
#[cold]
pub(crate) async fn bill<N: Net>(
    context: Context<'_, N>,
    state: &mut RequestState,
    status: u16,
    sent: u64,
) -> Result<(), Fault> {
    let now = context.shard.thread.net.now();
    let key = key(context, state, status);
    let measures = measures(&state.record, status, sent, now);
    state.bill = Bill::Counted(key, measures);
    add(context, &state.attributes, state.record.version, key, &measures);
    recorded(context, now).await
}

/// Holds the end of a billed response until it is recorded.
pub(crate) struct Billing<'a, N: Net> {
    context: Context<'a, N>,
    /// Its names, as they were when the request was admitted.
    series: Arc<Series>,
    key: SeriesKey,
    revision: Revision,
    started: Tick,
    received: u64,
    upstream_us: u64,
    counted: Option<Measures>,
}

impl<'a, N: Net> Billing<'a, N> {
    /// For a request on this route, if that is billed.
    pub(crate) fn of(context: Context<'a, N>, state: &RequestState, route: &RoutePlan) -> Option<Billing<'a, N>> {
        if route.usage != UsageMode::Billed || state.bill != Bill::Due {
            return None;
        }
        let key = SeriesKey { class: 0, ..key(context, state, 0) };
        let directory = context.shard.directory.borrow();
        let (revision, version) = (directory.revision(), state.record.version);
        let names = || names(context, &directory, &state.attributes, version);
        let series = context.shard.meter.series_of(key, revision, names);
        let started = state.record.started;
        Some(Billing { context, series, key, revision, started, received: 0, upstream_us: 0, counted: None })
    }

    /// Where its record stands.
    pub(crate) fn state(&self) -> Bill {
        self.counted.map_or(Bill::Due, |counted| Bill::Counted(self.key, counted))
    }
}

impl<N: Net> Hold for Billing<'_, N> {
    fn holds(&self) -> bool {
        true
    }

    fn begins(&mut self, status: u16) {
        if self.counted.is_none() {
            self.key.class = class(status);
        }
    }

    fn note(&mut self, received: u64, upstream_us: u64) {
        (self.received, self.upstream_us) = (received, upstream_us);
    }

    async fn release(&mut self, sent: u64) -> Result<(), Fault> {
        if self.counted.is_some() {
            return Ok(());
        }
        let Context { shard, bound, .. } = self.context;
        let now = shard.thread.net.now();
        let measures = Measures {
            requests: 1,
            bytes_received: self.received,
            bytes_sent: sent,
            latency_us: now.micros_since(self.started),
            upstream_us: self.upstream_us,
            limited: 0,
        };
        self.counted = Some(measures);
        let counted = shard.meter.count(self.key, self.revision, &measures, || Names::of(&self.series));
        bound.counters.add(Counter::UsageTogether, u64::from(counted == Counted::Together));
        recorded(self.context, now).await
    }
}

/// Waits until what was counted last is recorded.
async fn recorded<N: Net>(context: Context<'_, N>, now: Tick) -> Result<(), Fault> {
    let shard = context.shard;
    let key = shard.meter.coming();
    shard.meter.hurry();
    shard.send_usage();
    let until = now.after(wait(context));
    if shard.peers.wait(&shard.thread.net, Subject { owner: METER, key }, until).await {
        return Ok(());
    }
    context.bound.counters.add(Counter::UsageLate, 1);
    Err(Fault::last(FaultKind::NotRecorded))
}

fn wait<N: Net>(context: Context<'_, N>) -> std::time::Duration {
    context.bound.plan.usage.as_ref().map_or(std::time::Duration::ZERO, |usage| usage.wait)
}

fn add<N: Net>(
    context: Context<'_, N>,
    attributes: &Attributes,
    version: Option<VersionId>,
    key: SeriesKey,
    measures: &Measures,
) {
    let directory = context.shard.directory.borrow();
    let names = || names(context, &directory, attributes, version);
    let counted = context.shard.meter.count(key, directory.revision(), measures, names);
    context.bound.counters.add(Counter::UsageTogether, u64::from(counted == Counted::Together));
}

fn key<N: Net>(context: Context<'_, N>, state: &RequestState, status: u16) -> SeriesKey {
    let Attributes { route, identity, .. } = &state.attributes;
    SeriesKey {
        generation: context.bound.plan.generation,
        route: route.map_or(NONE, |id| id.0),
        version: state.record.version.map_or(NONE, |id| id.0),
        consumer: identity.consumer.map_or(NONE, |id| id.0),
        app: identity.app.map_or(NONE, |id| id.0),
        class: class(status),
    }
}

fn measures(record: &Record, status: u16, sent: u64, now: Tick) -> Measures {
    Measures {
        requests: 1,
        bytes_received: record.received.get(),
        bytes_sent: sent,
        latency_us: now.micros_since(record.started),
        upstream_us: record.first_byte_us.unwrap_or(0),
        limited: u64::from(record.refused.is_some() && status == 429),
    }
}

/// The class of a status; 0 where there was no response, or none that HTTP knows.
fn class(status: u16) -> u8 {
    match status {
        100..600 => (status / 100) as u8,
        _ => 0,
    }
}

/// The names of a request's series, as the directory has them now.
fn names<'n, N: Net>(
    context: Context<'n, N>,
    directory: &'n Directory,
    attributes: &'n Attributes,
    version: Option<VersionId>,
) -> Names<'n> {
    let plan = &context.bound.plan;
    let route = attributes.route.map_or("", |id| &*plan.route(id).name);
    let identity = &attributes.identity;
    let consumer = identity.consumer.and_then(|number| directory.consumer(number));
    Names {
        consumer: &attributes.consumer,
        app: identity.app.and_then(|app| directory.app(app)).map_or("", |app| &app.name),
        tenant: consumer.and_then(|consumer| directory.tenant(consumer)).map_or("", |tenant| &tenant.name),
        plan: directory.in_force(identity, route).map_or("", |held| &held.plan.name),
        product: directory.product(identity, route).map_or("", |product| &product.name),
        route,
        version: version.and_then(|version| plan.version(version)).unwrap_or_default(),
    }
}

/// What has grown since it was counted, without a further request.
fn since(all: &Measures, counted: &Measures) -> Measures {
    let (all, counted) = (all.values(), counted.values());
    let grown = Measures::of(std::array::from_fn(|at| all[at].saturating_sub(counted[at])));
    Measures { requests: 0, ..grown }
}
