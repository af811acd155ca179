// SPDX-License-Identifier: Apache-2.0
//! Frees file descriptors when they have run out: closes the client connections that are idle longest and the
//! upstream connections that wait in pools, and tells the operator.

use std::rc::Rc;
use std::time::Duration;

use crate::edge::flow::signal::unless;
use crate::edge::shard::state::Shard;
use crate::link::{Counter, FromShard, Notice};
use crate::net::Net;

/// At most so many client connections, and as many pooled ones, are closed at a time: one of each for every descriptor
/// that was lacking.
const BATCH: usize = 16;
/// Pause between two times: those that were told to close do so meanwhile.
const PAUSE_MS: u64 = 10;

/// Runs until the shard stops.
pub(crate) async fn run<N: Net>(shard: Rc<Shard<N>>) {
    let thread = &shard.thread;
    while unless(&thread.stopping, thread.descriptors.lacking()).await.is_some() {
        relieve(&shard);
        let at = thread.net.now().after_ms(PAUSE_MS);
        unless(&thread.stopping, thread.net.sleep_until(at)).await;
    }
}

fn relieve<N: Net>(shard: &Shard<N>) {
    let Some(bound) = shard.bound_already() else { return };
    let now = shard.thread.net.now();
    let lacking = shard.thread.descriptors.take_count();
    let count = usize::try_from(lacking).unwrap_or(BATCH).min(BATCH);
    let clients = (0..count).take_while(|_| shard.registry.evict(Duration::ZERO, now)).count();
    let mut pooled = 0;
    for (_, upstream) in bound.upstreams() {
        pooled += upstream.close_longest_idle(count - pooled);
        if pooled == count {
            break;
        }
    }
    bound.counters.add(Counter::Descriptors, lacking);
    bound.counters.add(Counter::Evicted, clients as u64);
    shard.unsaid_descriptors.set(shard.unsaid_descriptors.get() + lacking);
    if shard.descriptor_notices.take(now).is_some() {
        let lacking = shard.unsaid_descriptors.take();
        shard.tell(FromShard::Notice(Box::new(Notice::Descriptors { lacking })));
    }
}
