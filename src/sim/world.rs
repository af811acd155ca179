//! One run: builds the world of a scenario, lets it live, and checks what is left of it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Address, Rng};
use crate::net::Net;
use crate::net::sim::{Depth, Failure, Settings, Sim, Simulation};
use crate::sim::common::Common;
use crate::sim::latch::Latch;
use crate::sim::ledger::Totals;
use crate::sim::scenario::Scenario;
use crate::sim::{client, origin};

/// Runs `scenario`. What went wrong comes back with the seed and the last events.
pub fn run(scenario: &Scenario, trace: Depth) -> Result<Totals, Failure> {
    let mut settings = Settings::new(scenario.seed);
    settings.late_ms_max = 20;
    settings.trace = trace;
    settings.time_max = LONGEST;
    let simulation = Simulation::new(settings);
    let mut rng = Rng::new(scenario.seed ^ 0xA11);
    let origins: Vec<(Sim, Address)> = (0..scenario.origins)
        .map(|number| {
            let sim = simulation.host(&format!("origin{number}"), [10, 0, 2, number as u8 + 1]);
            let address = sim.address(9_000);
            simulation.set_faults(&address, scenario.inside.clone());
            (sim, address)
        })
        .collect();
    let common = Rc::new(Common::new(scenario.clone(), origins[0].1.clone()));
    for (sim, address) in &origins {
        sim.spawn(origin::run(common.clone(), sim.clone(), address.clone(), Rng::new(rng.next_u64())));
    }
    let clients = Clients::new(&simulation, &common, &mut rng);
    let main = async move { clients.run().await };
    simulation.run(main)?;
    for (sim, _) in &origins {
        sim.kill();
    }
    simulation.run_until(simulation.now().after(SETTLING))?;
    simulation.check_nothing_left()?;
    let closed = common.ledger.borrow().close();
    closed.map_err(|broken| simulation.failure(broken))
}

/// Virtual time that no run may take.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3_600);
/// What still happens when everybody has gone: the last packets arrive.
const SETTLING: Duration = Duration::from_secs(600);

/// All clients of a run.
struct Clients {
    common: Rc<Common>,
    hosts: Vec<(Sim, Rng)>,
}

impl Clients {
    fn new(simulation: &Simulation, common: &Rc<Common>, rng: &mut Rng) -> Clients {
        let hosts = (0..common.scenario.clients).map(|number| {
            let sim = simulation.host(&format!("client{number}"), [10, 0, 3, number as u8 + 1]);
            (sim, Rng::new(rng.next_u64()))
        });
        Clients { common: common.clone(), hosts: hosts.collect() }
    }

    /// Starts them and waits for all of them.
    async fn run(self) {
        let latch = Latch::default();
        let left = Rc::new(Cell::new(self.hosts.len()));
        for (sim, rng) in self.hosts {
            let (common, latch, left) = (self.common.clone(), latch.clone(), left.clone());
            let machine = sim.clone();
            machine.spawn(async move {
                client::run(common, sim, rng).await;
                left.set(left.get() - 1);
                latch.notify();
            });
        }
        latch.wait(|| (left.get() == 0).then_some(())).await;
    }
}
