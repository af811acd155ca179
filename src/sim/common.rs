//! What all roles of a simulated world share behind the gateway's back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use crate::base::Address;
use crate::sim::ledger::{Demands, Ledger};
use crate::sim::scenario::Scenario;
use crate::sim::websocket;

/// What all roles share.
#[derive(Debug)]
pub struct Common {
    /// The run.
    pub scenario: Scenario,
    /// What it demands.
    pub demands: Demands,
    /// What really happened.
    pub ledger: RefCell<Ledger>,
    /// What was really said on WebSockets.
    pub talks: RefCell<websocket::Book>,
    /// Where clients connect to.
    pub gateway: Address,
    /// Where clients of HTTP/2 connect to: the same, unless there is no gateway.
    pub gateway_two: Address,
    /// Exchanges that became tunnels.
    pub tunnels: RefCell<BTreeSet<u64>>,
    /// The gateway was told to drain.
    pub drains: Cell<bool>,
    /// Clients and gateway have gone.
    pub over: Cell<bool>,
}

impl Common {
    /// For a run in which clients connect to `gateway`, and those of HTTP/2 to `gateway_two`.
    pub fn new(scenario: Scenario, gateway: Address, gateway_two: Address) -> Common {
        let demands = scenario.demands();
        let ledger = RefCell::new(Ledger::new(demands.clone()));
        let talks = RefCell::new(websocket::Book::new(scenario.talk_demands()));
        let (drains, over) = (Cell::new(false), Cell::new(false));
        let tunnels = RefCell::default();
        Common { scenario, demands, ledger, talks, gateway, gateway_two, tunnels, drains, over }
    }
}
