//! Messages between the planes: bounded queues, one pair a shard. Neither plane knows the other, both know this.
//!
//! A full queue towards a shard makes the control plane wait and try again; a full queue towards the control plane is
//! counted (`Counter::LinkDropped`) and the message dropped, except for what must not be lost, which its sender keeps.

pub mod counters;
pub mod message;

pub use counters::{Counter, Counters, RouteCounter, UpstreamCounter};
pub use message::{FromShard, ToShard};

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::base::Address;
use crate::config::plan::ListenerId;
use crate::net::sockets::ListenSocket;

/// Messages that wait towards one shard at most.
pub const TO_SHARD_MAX: usize = 1_024;
/// Messages that wait from one shard at most.
pub const FROM_SHARD_MAX: usize = 8_192;

/// What a shard holds of the link.
#[derive(Debug)]
pub struct ShardEnd<S = ListenSocket> {
    /// Which shard this is, from zero.
    pub shard: usize,
    /// From the control plane; the bell rings after each send.
    pub inbox: Receiver<ToShard<S>>,
    /// To the control plane.
    pub outbox: Outbox,
}

/// The way from a shard to the control plane: a queue and something to wake its reader.
#[derive(Clone)]
pub struct Outbox {
    /// The queue. Messages carry the shard's number.
    pub queue: Sender<(usize, FromShard)>,
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
        let sent = self.queue.try_send((self.shard, message));
        sent.map_err(|refused| Box::new(refused.into_inner().1))?;
        (self.wake)();
        Ok(())
    }
}

/// A listening socket for one shard.
#[derive(Debug)]
pub struct ListeningSocket<S = ListenSocket> {
    /// The listener it belongs to, in the plan that comes with it.
    pub listener: ListenerId,
    /// Its address, for carrying it over a reload.
    pub address: Address,
    /// The socket, listening already. On the real machine it is a descriptor, in the simulator a number.
    pub socket: S,
}
