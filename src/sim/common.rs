// SPDX-License-Identifier: Apache-2.0
//! What all roles of a simulated world share without the gateway's knowledge.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Address, Tick};
use crate::sim::grpc;
use crate::sim::ledger::{Expectations, Ledger};
use crate::sim::scenario::Scenario;
use crate::sim::websocket;

/// What all roles share.
#[derive(Debug)]
pub(super) struct Common {
    /// The run.
    pub scenario: Scenario,
    /// What it demands.
    pub demands: Expectations,
    /// What really happened.
    pub ledger: RefCell<Ledger>,
    /// What was really said on WebSockets.
    pub talks: RefCell<websocket::WebSocketLedger>,
    /// What really happened to calls.
    pub calls: RefCell<grpc::CallLedger>,
    /// Hostile clients that the gateway disconnected, by attack.
    pub harms: RefCell<BTreeMap<&'static str, u64>>,
    /// Where clients connect to.
    pub gateway: Address,
    /// Where HTTP/2 clients connect to: the same, unless there is no gateway.
    pub gateway_two: Address,
    /// Exchanges that became tunnels.
    pub tunnels: RefCell<BTreeSet<u64>>,
    /// When the gateway was told to drain.
    pub drained: Cell<Option<Tick>>,
    /// Clients and gateway have gone.
    pub over: Cell<bool>,
}

impl Common {
    /// For a run in which clients connect to `gateway`, and those of HTTP/2 to `gateway_two`.
    pub(super) fn new(scenario: Scenario, gateway: Address, gateway_two: Address) -> Common {
        let demands = scenario.demands();
        let ledger = RefCell::new(Ledger::new(demands.clone()));
        let talks = RefCell::new(websocket::WebSocketLedger::new(scenario.talk_demands()));
        let (drained, over) = (Cell::new(None), Cell::new(false));
        let calls = RefCell::new(grpc::CallLedger::new(scenario.call_demands()));
        let (tunnels, harms) = (RefCell::default(), RefCell::default());
        Common { scenario, demands, ledger, talks, calls, harms, gateway, gateway_two, tunnels, drained, over }
    }

    /// Was the gateway told to drain?
    pub(super) fn drains(&self) -> bool {
        self.drained.get().is_some()
    }

    /// The gateway is told to drain.
    pub(super) fn drain(&self, now: Tick) {
        self.drained.set(self.drained.get().or(Some(now)));
    }
}
