// SPDX-License-Identifier: Apache-2.0
//! Which requests an operator wants to see (`turnpike trace`). While there is no such order, an exchange reads one
//! flag.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

use crate::base::Tick;
use crate::base::limits::TRACES_A_SECOND;
use crate::edge::shard::allowance::Allowance;
use crate::link::{Selection, TraceOrder};

/// The orders that a shard follows.
#[derive(Debug)]
pub(crate) struct Tracer {
    is_on: Cell<bool>,
    orders: RefCell<Arc<[TraceOrder]>>,
    requests: Cell<u64>,
    connections: Cell<u64>,
    allowance: Allowance,
}

/// What may be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown<'a> {
    /// A connection from this address.
    Connection(IpAddr),
    /// A request with this id, of a client that is known by these addresses.
    Request([IpAddr; 2], &'a [u8]),
}

impl Default for Tracer {
    fn default() -> Tracer {
        Tracer {
            is_on: Cell::default(),
            orders: RefCell::new(Arc::new([])),
            requests: Cell::default(),
            connections: Cell::default(),
            allowance: Allowance::a_second(TRACES_A_SECOND),
        }
    }
}

impl Tracer {
    /// Follows these orders only.
    pub(crate) fn follow(&self, orders: Arc<[TraceOrder]>) {
        self.is_on.set(!orders.is_empty());
        *self.orders.borrow_mut() = orders;
    }

    /// Is there an order?
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.get()
    }

    /// The orders that want to see this.
    pub(crate) fn wanted_by(&self, shown: Shown<'_>) -> Vec<u32> {
        let count = match shown {
            Shown::Connection(_) => &self.connections,
            Shown::Request(..) => &self.requests,
        };
        count.set(count.get() + 1);
        let wants = |order: &&TraceOrder| match (&order.selection, shown) {
            (Selection::Client(network), Shown::Connection(address)) => network.contains(&address),
            (Selection::Client(network), Shown::Request(addresses, _)) => {
                addresses.iter().any(|address| network.contains(address))
            }
            (Selection::RequestId(wanted), Shown::Request(_, id)) => wanted.as_bytes() == id,
            (Selection::RequestId(_), Shown::Connection(_)) => false,
            (Selection::Sample(one_of), _) => count.get() % u64::from(one_of.get()) == 0,
        };
        self.orders.borrow().iter().filter(wants).map(|order| order.number).collect()
    }

    /// May one more be shown now? Then: how many were left out since the last one.
    pub(crate) fn take(&self, now: Tick) -> Option<u64> {
        self.allowance.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(selections: impl IntoIterator<Item = Selection>) -> Arc<[TraceOrder]> {
        (1..).zip(selections).map(|(number, selection)| TraceOrder { number, selection }).collect()
    }

    #[test]
    fn an_order_sees_what_it_asks_for() {
        let (tracer, here, there) = (Tracer::default(), IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 7]));
        assert!(!tracer.is_on());
        tracer.follow(orders([
            Selection::Client("192.0.2.0/24".parse().unwrap()),
            Selection::RequestId("abc".into()),
            Selection::Sample(3.try_into().unwrap()),
        ]));
        assert!(tracer.is_on());
        assert_eq!(tracer.wanted_by(Shown::Request([here, there], b"")), [1], "the client behind a proxy");
        assert_eq!(tracer.wanted_by(Shown::Request([there, here], b"abc")), [1, 2], "the proxy");
        assert_eq!(tracer.wanted_by(Shown::Request([here, here], b"abcd")), [3], "the third");
        assert_eq!(tracer.wanted_by(Shown::Connection(there)), [1]);
        assert_eq!(tracer.wanted_by(Shown::Connection(here)), [0; 0]);
        tracer.follow(Arc::default());
        assert!(!tracer.is_on());
        assert_eq!(tracer.wanted_by(Shown::Connection(there)), [0; 0]);
    }
}
