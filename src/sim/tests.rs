//! The simulator's own tests, and the seeds that every change must pass.

use super::*;
use crate::net::sim::Depth;

#[test]
fn clients_and_origins_agree_without_a_gateway() {
    let mut totals = Totals::default();
    for seed in 0..300 {
        let scenario = Scenario::draw(seed).without_gateway();
        totals.add(&run(&scenario, Depth::Last(200)).unwrap_or_else(|failure| panic!("{scenario:#?}\n{failure}")));
    }
    assert!(totals.answered > 1_000 && totals.refused == 0, "{totals}");
}
