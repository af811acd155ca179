// SPDX-License-Identifier: Apache-2.0
//! What is left of an exchange whose connection has switched to another protocol: enough to relay bytes for hours
//! without the plan that the exchange began under.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Buf, Pace, RouteId, UpstreamId};
use crate::config::plan::{MessageLimits, Plan};
use crate::edge::shard::bound::Bound;
use crate::edge::shard::scratch::RequestState;
use crate::edge::shard::state::Shard;
use crate::edge::upstream::carrier::UpstreamStream;
use crate::edge::upstream::load::InFlight;
use crate::net::Net;
use crate::wire::upgrade::Protocol;

/// An exchange that became a tunnel.
pub(crate) struct Switched<N: Net> {
    /// The endpoint's side.
    pub carrier: UpstreamStream<N>,
    /// Counts the tunnel as a request in flight.
    pub flight: InFlight,
    /// What the endpoint sent behind its response.
    pub behind: Buf,
    /// What both ends speak now.
    pub protocol: Protocol,
    /// How long they may be silent, and how much they may send.
    pub limits: TunnelLimits,
}

/// What a route allows a tunnel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TunnelLimits {
    /// Longest silence of both ends.
    pub idle: Duration,
    /// Longest life; `None` is no cap.
    pub lifetime: Option<Duration>,
    /// What is demanded of the client and of the endpoint when they are written to.
    pub write: [Pace; 2],
    /// What holds of WebSockets.
    pub messages: MessageLimits,
}

/// A plan with nothing but what the log needs of `bound`, to be held in its place. Ids in `state` are changed to this
/// plan's own.
pub(crate) fn keep<N: Net>(shard: &Shard<N>, bound: &Bound<N>, state: &mut RequestState) -> Rc<Bound<N>> {
    let (route, upstream) = (state.attributes.route, state.record.upstream);
    let plan: Plan = bound.plan.kept(route, upstream);
    state.attributes.route = route.map(|_| RouteId(0));
    state.record.upstream = upstream.map(|_| UpstreamId(0));
    let upstreams = upstream.map(|id| bound.upstream(id).clone()).into_iter().collect();
    Rc::new(Bound::kept(Arc::new(plan), upstreams, &shard.discarded))
}
