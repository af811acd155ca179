// SPDX-License-Identifier: Apache-2.0
//! Where a request goes, and within which bounds.

use std::rc::Rc;
use std::time::Duration;

use crate::base::{FaultKind, Tick, UpstreamId};
use crate::config::plan::{LeastRate, ProxyPlan, UpstreamPlan};
use crate::edge::exchange::context::Context;
use crate::edge::forward::retry::Bounds;
use crate::edge::shard::scratch::{RequestState, Resend};
use crate::edge::upstream::acquire::Acquire;
use crate::edge::upstream::pool::Upstream;
use crate::net::Net;
use crate::wire::upgrade::Protocol;

/// One request's way to an upstream.
pub(crate) struct Destination<'a, N: Net> {
    /// Its proxy action.
    pub proxy: &'a ProxyPlan,
    /// The upstream's id.
    pub id: UpstreamId,
    /// Its plan.
    pub plan: &'a UpstreamPlan,
    /// This shard's side of it.
    pub upstream: &'a Rc<Upstream<N>>,
    /// When everything must be over.
    pub deadline: Tick,
    /// Longest silence of the client within the request's body.
    pub client_idle: Duration,
    /// Longest time without progress on the upstream's side, in reading or writing.
    pub idle: Duration,
    /// The least rate of the request's body.
    pub upload: LeastRate,
    /// What it is where the deadline passes while the client is waited for.
    pub late: FaultKind,
    /// Largest request body.
    pub body_bytes_max: u64,
    /// What the client wants to leave HTTP for, and may.
    pub upgrade: Option<Protocol>,
}

impl<'a, N: Net> Destination<'a, N> {
    /// What attempts need of the upstream.
    pub(crate) fn acquire(&self, context: Context<'a, N>) -> Acquire<'a, N> {
        Acquire {
            thread: &context.shard.thread,
            upstream: self.upstream,
            plan: self.plan,
            id: self.id,
            counters: &context.bound.counters,
            speaker: context.peer.speaker(),
            deadline: self.deadline,
        }
    }

    /// Within which bounds the request may be sent again.
    pub(crate) fn bounds(&self, context: Context<'a, N>, resend: Resend) -> Bounds<'a> {
        Bounds {
            plan: &self.proxy.retry,
            load: &self.upstream.load,
            counters: &context.bound.counters,
            upstream: self.id,
            idempotent: context.request.head.method.idempotent(),
            resend,
            deadline: self.deadline,
        }
    }
}

/// Sets the sticky session cookie where the client does not have it.
pub(crate) fn stick<N: Net>(context: Context<'_, N>, destination: &Destination<'_, N>, state: &mut RequestState) {
    if let Some(sticky) = &destination.plan.sticky
        && let Some(index) = state.record.endpoint
        && let Some(id) = destination.upstream.load.cluster.borrow().sticky_id(index)
        && !context.request.cookie(sticky.cookie.as_bytes()).is_some_and(|sent| is_id(sent, id))
    {
        state.effects.to_client.add_with(b"Set-Cookie", |value| {
            // Writing to a `Vec` cannot fail.
            let _ = std::io::Write::write_fmt(value, format_args!("{}={id:016x}{}", sticky.cookie, sticky.attributes));
        });
    }
}

fn is_id(sent: &[u8], id: u64) -> bool {
    std::str::from_utf8(sent).ok().and_then(|sent| u64::from_str_radix(sent, 16).ok()) == Some(id)
}
