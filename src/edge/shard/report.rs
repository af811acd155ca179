// SPDX-License-Identifier: Apache-2.0
//! What a shard reports of its upstreams when the control plane asks. It is made in slices with pauses between them, so
//! that requests do not wait for thousands of endpoints.

use std::rc::Rc;

use crate::base::limits::ENDPOINT_STATES_MAX;
use crate::edge::shard::slices::Slices;
use crate::edge::shard::state::Shard;
use crate::link::{FromShard, UpstreamReport};
use crate::net::Net;

/// Makes and sends a report. Before the first plan it is empty.
pub(crate) async fn send<N: Net>(shard: Rc<Shard<N>>) {
    let mut report = UpstreamReport::default();
    let mut room = ENDPOINT_STATES_MAX;
    let mut slices = Slices::new(&shard.thread, &shard.peers);
    if let Some(bound) = shard.bound_already() {
        report.upstreams.reserve_exact(bound.plan.upstreams.len());
        for (id, upstream) in bound.upstreams() {
            bound.publish(id, upstream);
            let state = upstream.load.cluster.borrow_mut().state(shard.thread.net.now(), room);
            room -= state.endpoints.len();
            let seen = 1 + state.endpoints.len() + state.left_out;
            report.upstreams.push(state);
            // One upstream, which has `ENDPOINTS_MAX` of them at most, is never divided.
            slices.step(seen).await;
        }
    }
    shard.tell(FromShard::Upstreams(report));
}
