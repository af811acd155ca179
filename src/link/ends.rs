// SPDX-License-Identifier: Apache-2.0
//! A shard's end of the link: where its messages come in, and where they go out.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::link::mesh::Mesh;
use crate::link::message::{FromShard, ToPeer, ToShard};
use crate::net::sockets::ListenSocket;

/// Messages that wait towards one shard at most.
pub const TO_SHARD_MAX: usize = 1_024;
/// Batches of log lines that wait from all shards together at most.
pub const FROM_SHARD_MAX: usize = 8_192;
/// Reports that wait from one shard at most. It sends two a plan, one for each listener that fails and three in its
/// life, and the control plane prepares no other plan before it has read them or waited half a minute. What a shard
/// reports of its upstreams is asked for again only after it came, or seconds later.
pub const REPORTS_MAX: usize = 1_024;

/// What a shard holds of the link.
#[derive(Debug)]
pub struct ShardEnd<S = ListenSocket> {
    /// Which shard this is, from zero.
    pub shard: usize,
    /// From the control plane; the bell rings after each send.
    pub inbox: Receiver<ToShard<S>>,
    /// To the control plane.
    pub outbox: Outbox,
    /// To and from the other shards.
    pub mesh: Mesh<ToPeer>,
}

/// From a shard to the control plane: the queues and something to wake their reader.
#[derive(Clone)]
pub struct Outbox {
    /// What all shards share for log lines. Messages carry the shard's number.
    pub queue: Sender<(usize, FromShard)>,
    /// This shard's own, for reports.
    pub reports: Sender<FromShard>,
    /// Wakes the control plane; cheap when it is awake already.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Which shard this is.
    pub shard: usize,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Outbox").field("shard", &self.shard).finish_non_exhaustive()
    }
}

impl Outbox {
    /// Sends without waiting; gives the message back where the queue is full or the control plane is gone.
    pub fn send(&self, message: FromShard) -> Result<(), Box<FromShard>> {
        if message.is_report() {
            self.reports.try_send(message).map_err(|refused| Box::new(refused.into_inner()))?;
        } else {
            let sent = self.queue.try_send((self.shard, message));
            sent.map_err(|refused| Box::new(refused.into_inner().1))?;
        }
        (self.wake)();
        Ok(())
    }
}
