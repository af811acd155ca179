// SPDX-License-Identifier: Apache-2.0
//! What an operator wants to see of requests (`turnpike trace`), and what a shard shows of one.

use std::fmt;
use std::num::NonZeroU32;

use ipnet::IpNet;

/// A request of an operator to see the way of connections and requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOrder {
    /// Which order it is; what a shard shows names it.
    pub number: u32,
    /// Of which requests.
    pub selection: Selection,
}

/// Which requests are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those of clients in this network, and their connections.
    Client(IpNet),
    /// The one with this id.
    RequestId(Box<str>),
    /// One of so many on each shard, and one of so many connections.
    Sample(NonZeroU32),
}

impl fmt::Display for Selection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selection::Client(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(out, "requests of client {}", network.addr())
            }
            Selection::Client(network) => write!(out, "requests of clients in {network}"),
            Selection::RequestId(id) => write!(out, "requests with the id {id}"),
            Selection::Sample(one_of) => write!(out, "one of {one_of} requests on each data-plane thread"),
        }
    }
}

/// The way of one request or connection.
#[derive(Debug)]
pub struct Trace {
    /// The orders that it is for.
    pub orders: Vec<u32>,
    /// In words: one line, and more that are indented.
    pub text: Box<str>,
    /// Traces that this shard left out before, because they were too many.
    pub left_out: u64,
}
