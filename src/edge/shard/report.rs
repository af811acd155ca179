// SPDX-License-Identifier: Apache-2.0
//! What a shard reports of its upstreams when the control plane asks. It is made in slices with pauses between them, so
//! that requests do not wait for thousands of endpoints.

use std::rc::Rc;

use crate::base::limits::ENDPOINT_STATES_MAX;
use crate::edge::shard::state::Shard;
use crate::link::{FromShard, UpstreamReport};
use crate::net::Net;

/// Upstreams and endpoints, counted together, after which a slice ends. One upstream, which has `ENDPOINTS_MAX` of them
/// at most, is never divided.
const SLICE: usize = 1_024;
/// Pause after a slice.
const PAUSE_MS: u64 = 1;

/// Makes and sends a report. Before the first plan it is empty.
pub(crate) async fn send<N: Net>(shard: Rc<Shard<N>>) {
    let net = &shard.thread.net;
    let mut report = UpstreamReport::default();
    let (mut slice, mut room) = (0, ENDPOINT_STATES_MAX);
    if let Some(bound) = shard.bound_already() {
        report.upstreams.reserve_exact(bound.plan.upstreams.len());
        for (id, upstream) in bound.upstreams() {
            if slice >= SLICE {
                net.sleep_until(net.now().after_ms(PAUSE_MS)).await;
                slice = 0;
            }
            bound.publish(id, upstream);
            let state = upstream.load.cluster.borrow_mut().state(net.now(), room);
            room -= state.endpoints.len();
            slice += 1 + state.endpoints.len() + state.left_out;
            report.upstreams.push(state);
        }
    }
    shard.tell(FromShard::Upstreams(report));
}
