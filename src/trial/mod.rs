// SPDX-License-Identifier: Apache-2.0
//! Unit tests of a configuration (`turnpike test`): requests, stubs in the place of upstreams, and what is expected.
//!
//! A test runs the gateway's own shard, from the accepted connection to the access log, in a network of memory and with
//! a clock that stands still between requests (`net::sim`). Nothing of it is simplified. What a shard gets from the
//! control plane, it gets from `world`: the plan, endpoints, who may call, and the answers of servers outside. Of the
//! compiled plan `plan` changes what has no place in a test: files to log to, TLS and HTTP/2 towards upstreams, health
//! checks, and how many shards there are.

mod ask;
mod client;
mod compare;
mod connection;
mod exchange;
mod outgoing;
mod plan;
mod quotas;
mod spec;
mod stub;
mod suite;
mod token;
mod world;

pub(crate) use ask::Trial;
pub(crate) use compare::Difference;
pub(crate) use suite::{Suite, Test};

#[cfg(feature = "bench")]
pub(crate) use quotas::Quotas;

use world::Traced;

/// What came of a test.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Everything is as expected.
    Passed,
    /// This is not as expected.
    Differs(Vec<Difference>),
    /// It could not be run.
    Broken(String),
}

impl Suite {
    /// Runs one of its tests.
    pub(crate) fn run(&self, test: &Test) -> Outcome {
        match world::run(self, test, Traced::No) {
            Ok(exchanges) => {
                let differences = compare::compare(test, &exchanges);
                if differences.is_empty() { Outcome::Passed } else { Outcome::Differs(differences) }
            }
            Err(reason) => Outcome::Broken(reason),
        }
    }
}

#[cfg(test)]
mod tests;
