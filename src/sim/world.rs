// SPDX-License-Identifier: Apache-2.0
//! One run: builds the world of a scenario, runs it, and checks that nothing is left over.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Address, Rng};
use crate::net::Net;
use crate::net::sim::Latch;
use crate::net::sim::{Depth, Failure, Settings, Sim, Simulation};
use crate::sim::client;
use crate::sim::common::Common;
use crate::sim::gateway::Gateway;
use crate::sim::hostile;
use crate::sim::origin::{self, OriginId};
use crate::sim::scenario::Scenario;
use crate::sim::spoken::HttpVersion;
use crate::sim::totals::Totals;
use crate::sim::websocket::Log;
use crate::wire::grpc::Code;

/// Runs `scenario`. The error has the seed and the last events.
pub fn run(scenario: &Scenario, trace: Depth) -> Result<Report, Failure> {
    let mut settings = Settings::new(scenario.seed);
    settings.late_ms_max = 20;
    settings.trace = trace;
    settings.time_max = LONGEST;
    let simulation = Simulation::new(settings);
    let mut rng = Rng::new(scenario.seed ^ 0xA11);
    let origins: Vec<(Sim, OriginId)> = (0..scenario.origins + scenario.origins_two)
        .map(|number| {
            let sim = simulation.host(&format!("origin{number}"), [10, 0, 2, number as u8 + 1]);
            let address = sim.address(9_000);
            let spoken = if number < scenario.origins { HttpVersion::One } else { HttpVersion::Two };
            simulation.set_faults(&address, scenario.inside(spoken));
            (sim, OriginId { number, address, spoken })
        })
        .collect();
    let addresses = HttpVersion::ALL.map(|spoken| -> Vec<Address> {
        let speaking = origins.iter().filter(|(_, place)| place.spoken == spoken);
        speaking.map(|(_, place)| place.address.clone()).collect()
    });
    let listen = Address::Inet(([10, 0, 1, 1], 80).into());
    simulation.set_faults(&listen, scenario.outside.clone());
    let [to, to_two] = if scenario.direct {
        HttpVersion::ALL.map(|spoken| addresses[spoken as usize][0].clone())
    } else {
        [listen.clone(), listen]
    };
    let common = Rc::new(Common::new(scenario.clone(), to, to_two));
    let gateway = (!scenario.direct).then(|| {
        let scenario = scenario.clone();
        let (listen, addresses) = (common.gateway.clone(), addresses.clone());
        let configuration = Rc::new(move |generation| scenario.toml(generation, &listen, &addresses));
        Gateway::start(&simulation, &common, configuration)
    });
    for (sim, place) in &origins {
        sim.spawn(origin::run(common.clone(), sim.clone(), place.clone(), Rng::new(rng.next_u64())));
    }
    let clients = Clients::new(&simulation, &common, &mut rng);
    let script = simulation.host("script", [10, 0, 4, 1]);
    let crashes = crashes(common.clone(), script.clone(), origins.clone(), Rng::new(rng.next_u64()));
    script.spawn(crashes);
    if let Some(gateway) = gateway.clone() {
        for (spoken, addresses) in HttpVersion::ALL.into_iter().zip(addresses) {
            script.spawn(gateway.clone().meddle_now_and_then(spoken, addresses, Rng::new(rng.next_u64())));
        }
    }
    simulation.run(live(common.clone(), script, gateway.clone(), clients, rng))?;
    common.over.set(true);
    origins.iter().for_each(|(sim, _)| sim.kill());
    simulation.run_until(simulation.now().after(SETTLING))?;
    simulation.check_nothing_left()?;
    if let Some(gateway) = gateway {
        gateway.take_all();
        simulation.failures()?;
        common.ledger.borrow().check_log().map_err(|broken| simulation.failure(broken))?;
    }
    let closed = common.ledger.borrow().close();
    let mut totals = closed.map_err(|broken| simulation.failure(broken))?;
    let log = if scenario.direct { Log::None } else { Log::Kept };
    totals.talks = common.talks.borrow().close(log).map_err(|broken| simulation.failure(broken))?;
    let calls = common.calls.borrow().close(|code| Code::of(code.into()).map_or("?", Code::name));
    totals.calls = calls.map_err(|broken| simulation.failure(broken))?;
    totals.harms = common.harms.take();
    Ok(Report { totals, digest: simulation.digest() })
}

/// A run that kept all rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What happened in it.
    pub totals: Totals,
    /// Equal for two runs only if they were equal, event for event.
    pub digest: u64,
}

/// Kills origins and restarts them after a while.
async fn crashes(common: Rc<Common>, script: Sim, origins: Vec<(Sim, OriginId)>, mut rng: Rng) {
    for _ in 0..common.scenario.crashes {
        script.sleep_until(script.now().after_ms(rng.below(2_000))).await;
        let (sim, place) = &origins[rng.below(origins.len() as u64) as usize];
        sim.note("killed");
        common.ledger.borrow_mut().kill(place.number);
        sim.kill();
        script.sleep_until(script.now().after_ms(rng.below(3_000))).await;
        if common.over.get() {
            break;
        }
        sim.spawn(origin::run(common.clone(), sim.clone(), place.clone(), Rng::new(rng.next_u64())));
    }
}

/// A whole run, from the first plan to the end of the last shard.
async fn live(common: Rc<Common>, sim: Sim, gateway: Option<Rc<Gateway>>, clients: Clients, mut rng: Rng) {
    let Some(gateway) = gateway else { return clients.run().await };
    gateway.load().await;
    sim.spawn(gateway.clone().reload_now_and_then(Rng::new(rng.next_u64())));
    if common.scenario.drains_early {
        let (gateway, common, machine) = (gateway.clone(), common.clone(), sim.clone());
        let at = sim.now().after_ms(rng.below(5_000));
        sim.spawn(async move {
            machine.sleep_until(at).await;
            common.drain(machine.now());
            gateway.drain().await;
        });
    }
    clients.run().await;
    common.drain(sim.now());
    gateway.drain().await;
    gateway.stop();
}

/// Virtual time that no run may take.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3_600);
/// Lets the last packets arrive after all roles have ended.
const SETTLING: Duration = Duration::from_secs(600);

/// All clients of a run.
struct Clients {
    common: Rc<Common>,
    hosts: Vec<(Sim, HttpVersion, Rng)>,
    hostile: Vec<(Sim, Rng)>,
}

impl Clients {
    fn new(simulation: &Simulation, common: &Rc<Common>, rng: &mut Rng) -> Clients {
        let hosts = (0..common.scenario.clients).map(|number| {
            let sim = simulation.host(&format!("client{number}"), [10, 0, 3, number as u8 + 1]);
            (sim, HttpVersion::ALL[(number % 2) as usize], Rng::new(rng.next_u64()))
        });
        let hosts = hosts.collect();
        let hostile = (0..common.scenario.hostile).map(|number| {
            let sim = simulation.host(&format!("hostile{number}"), [10, 0, 5, number as u8 + 1]);
            (sim, Rng::new(rng.next_u64()))
        });
        Clients { common: common.clone(), hosts, hostile: hostile.collect() }
    }

    /// Starts them and waits for all of them.
    async fn run(self) {
        let latch = Latch::default();
        let left = Rc::new(Cell::new(self.hosts.len() + self.hostile.len()));
        let gone = |latch: Latch, left: Rc<Cell<usize>>| {
            left.set(left.get() - 1);
            latch.notify();
        };
        for (sim, spoken, rng) in self.hosts {
            let (common, latch, left) = (self.common.clone(), latch.clone(), left.clone());
            let machine = sim.clone();
            machine.spawn(async move {
                client::run(common, sim, spoken, rng).await;
                gone(latch, left);
            });
        }
        for (sim, rng) in self.hostile {
            let (common, latch, left) = (self.common.clone(), latch.clone(), left.clone());
            let machine = sim.clone();
            machine.spawn(async move {
                hostile::run(common, sim, rng).await;
                gone(latch, left);
            });
        }
        latch.wait(|| (left.get() == 0).then_some(())).await;
    }
}
