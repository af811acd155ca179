// SPDX-License-Identifier: Apache-2.0
//! One request and its response, as every step of serving sees them. Independent of HTTP versions.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::base::ListenerId;
use crate::config::plan::ListenerPlan;
use crate::edge::exchange::peer::Peer;
use crate::edge::exchange::switched::Switched;
use crate::edge::flow::watch::Watch;
use crate::edge::shard::bound::Bound;
use crate::edge::shard::scratch::RequestState;
use crate::edge::shard::state::Shard;
use crate::net::Net;
use crate::wire::head::Request;

/// What is fixed for one exchange; every step of serving gets a copy.
pub(crate) struct Context<'a, N: Net> {
    /// The shard.
    pub shard: &'a Rc<Shard<N>>,
    /// The plan it is served under, whatever a reload does meanwhile.
    pub bound: &'a Rc<Bound<N>>,
    /// Where it came in.
    pub listener: ListenerId,
    /// Who is at the other end of the connection.
    pub peer: &'a Peer,
    /// The request's head.
    pub request: Request<'a>,
    /// Bytes that were read behind the head.
    pub behind: &'a [u8],
    /// Tells housekeeping what to abort when the client disconnects.
    pub watch: &'a Watch,
    /// Where a tunnel waits that the exchange became: whoever serves the client runs it.
    pub switched: &'a OnceCell<Box<Switched<N>>>,
}

impl<N: Net> Clone for Context<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N: Net> Copy for Context<'_, N> {}

impl<'a, N: Net> Context<'a, N> {
    /// The listener's plan.
    pub(crate) fn listener_plan(self) -> &'a ListenerPlan {
        self.bound.plan.listener(self.listener)
    }
}

/// An exchange: its context, its two directions, and the memory it works in.
pub(crate) struct Exchange<'a, N: Net, S, K> {
    /// Its context.
    pub context: Context<'a, N>,
    /// The request's body.
    pub source: &'a mut S,
    /// The way back.
    pub client: &'a mut K,
    /// The memory.
    pub state: &'a mut RequestState,
}

/// Whether a request was refused or admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filtered {
    /// It goes on.
    Continue,
    /// The response has been sent.
    Responded,
}
