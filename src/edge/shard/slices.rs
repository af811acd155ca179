// SPDX-License-Identifier: Apache-2.0
//! Work over thousands of upstreams or policies, cut into slices with pauses between them, so that requests do not wait
//! for all of it.

use crate::edge::flow::thread::Thread;
use crate::edge::shard::peers::Peers;
use crate::net::Net;

/// Upstreams, endpoints and policies, counted together, after which a slice ends. With the small number of unit tests,
/// simulated plans are cut as well.
pub(crate) const SLICE: usize = if cfg!(test) { 2 } else { 512 };
/// Pause after a slice.
const PAUSE_MS: u64 = 1;

/// Counts how much of the slice is done.
pub(crate) struct Slices<'a, N: Net> {
    thread: &'a Thread<N>,
    peers: &'a Peers<N>,
    done: usize,
}

impl<'a, N: Net> Slices<'a, N> {
    /// A slice begins.
    pub(crate) fn new(thread: &'a Thread<N>, peers: &'a Peers<N>) -> Slices<'a, N> {
        Slices { thread, peers, done: 0 }
    }

    /// So much was done. Where the slice is full, pauses, and takes what other shards have sent meanwhile: the main
    /// task, which otherwise does that, may be the one that pauses.
    pub(crate) async fn step(&mut self, count: usize) {
        self.done += count;
        if self.done >= SLICE {
            self.done = 0;
            let net = &self.thread.net;
            net.sleep_until(net.now().after_ms(PAUSE_MS)).await;
            self.peers.hear(net);
        }
    }
}
