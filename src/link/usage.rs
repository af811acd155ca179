// SPDX-License-Identifier: Apache-2.0
//! What a shard tells of usage: batches of counts by who called what.
//!
//! A batch has a number of its shard's. Whoever records batches takes each number once, so one that is sent or recorded
//! again counts nothing twice.

use std::sync::Arc;

use crate::base::Wall;

/// What stands in the place of a caller where no further series is kept.
pub(crate) const OTHER: &str = "(other)";

/// What usage is counted by. A name is empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Who called.
    pub consumer: Box<str>,
    /// With which app.
    pub app: Box<str>,
    /// Whom the consumer belongs to.
    pub tenant: Box<str>,
    /// The plan that held.
    pub plan: Box<str>,
    /// The product that the route was called as a part of.
    pub product: Box<str>,
    /// Which route.
    pub route: Box<str>,
    /// Which version of an API.
    pub version: Box<str>,
    /// The class of the status: 1 to 5; 0 where there was no response.
    pub class: u8,
}

impl Series {
    /// The series that stands for all callers of a route, where there is no room for one of their own.
    pub fn other(&self) -> Series {
        let other = || Box::from(OTHER);
        Series {
            consumer: other(),
            app: other(),
            tenant: other(),
            plan: other(),
            product: other(),
            version: other(),
            route: self.route.clone(),
            class: self.class,
        }
    }
}

/// What is counted. All of them only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Requests.
    pub requests: u64,
    /// Content bytes from clients.
    pub bytes_received: u64,
    /// Content bytes to clients.
    pub bytes_sent: u64,
    /// Microseconds from the first byte of the request to the end of the response.
    pub latency_us: u64,
    /// Of these, microseconds for which the upstream was waited for.
    pub upstream_us: u64,
    /// Requests that a limit refused.
    pub limited: u64,
}

impl Measures {
    /// In a fixed order: requests, bytes received and sent, latency, upstream time, limited.
    pub fn values(&self) -> [u64; 6] {
        let Measures { requests, bytes_received, bytes_sent, latency_us, upstream_us, limited } = *self;
        [requests, bytes_received, bytes_sent, latency_us, upstream_us, limited]
    }

    /// Of values in the order of `values`.
    pub fn of(values: [u64; 6]) -> Measures {
        let [requests, bytes_received, bytes_sent, latency_us, upstream_us, limited] = values;
        Measures { requests, bytes_received, bytes_sent, latency_us, upstream_us, limited }
    }

    /// Adds these.
    pub fn add(&mut self, more: &Measures) {
        let (own, more) = (self.values(), more.values());
        *self = Measures::of(std::array::from_fn(|at| own[at].saturating_add(more[at])));
    }
}

/// What was counted since the batch before.
#[derive(Debug)]
pub struct UsageBatch {
    /// The batch's number: one more than that of the batch before, from one on.
    pub sequence: u64,
    /// When it was made. What it counts ended by then and after the batch before.
    pub at: Wall,
    /// Each series once.
    pub rows: Vec<(Arc<Series>, Measures)>,
}
