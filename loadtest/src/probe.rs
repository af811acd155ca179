// SPDX-License-Identifier: Apache-2.0
//! A cross-core probe: how far apart are the two virtual cores at this moment?
//!
//! The host of a virtual machine moves its cores between sharing a core, sharing a cache and neither, and the same
//! binary then differs by up to a factor of two. Two threads bounce one cache line; the time of a round trip tells
//! the three apart. Figures may only be compared within one class.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::{Context, Failure};
use crate::machine::{CLIENT_CORE, PROXY_CORE, pin};

/// How the two cores stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Two threads of one physical core.
    SharedCore,
    /// Two cores under one last-level cache.
    SharedCache,
    /// Nothing nearer than the interconnect.
    Apart,
}

impl Class {
    /// All classes, nearest first.
    pub const ALL: [Class; 3] = [Class::SharedCore, Class::SharedCache, Class::Apart];

    /// The class of a round trip.
    pub fn of(round_trip_ns: f64) -> Class {
        if round_trip_ns < SHARED_CORE_NS_MAX {
            Class::SharedCore
        } else if round_trip_ns < SHARED_CACHE_NS_MAX {
            Class::SharedCache
        } else {
            Class::Apart
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Class::SharedCore => "shared core",
            Class::SharedCache => "shared cache",
            Class::Apart => "apart",
        })
    }
}

/// One reading of the probe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Nanoseconds of one round trip: the quickest of the batches, since whatever disturbs a batch only slows it.
    pub round_trip_ns: f64,
    /// What it says.
    pub class: Class,
}

/// Bounces a cache line between the two cores for about a millisecond.
pub fn probe() -> Result<Probe, Failure> {
    let ball = AtomicU32::new(0);
    let deadline = Instant::now() + PROBE_TIME_MAX;
    let round_trip_ns = thread::scope(|scope| {
        let far = scope.spawn(|| {
            pin(PROXY_CORE)?;
            answer(&ball, deadline)
        });
        let near = scope.spawn(|| {
            pin(CLIENT_CORE)?;
            serve(&ball, deadline)
        });
        let quickest = near.join().ok().context("the probe's near side failed")?;
        far.join().ok().context("the probe's far side failed")??;
        quickest
    })?;
    Ok(Probe { round_trip_ns, class: Class::of(round_trip_ns) })
}

fn serve(ball: &AtomicU32, deadline: Instant) -> Result<f64, Failure> {
    let mut quickest = f64::INFINITY;
    let mut turn = 0;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..ROUND_TRIPS {
            ball.store(turn + 1, Ordering::Release);
            turn += 2;
            wait_for(ball, turn, deadline)?;
        }
        quickest = quickest.min(start.elapsed().as_nanos() as f64 / f64::from(ROUND_TRIPS));
    }
    Ok(quickest)
}

fn answer(ball: &AtomicU32, deadline: Instant) -> Result<(), Failure> {
    let mut turn = 1;
    while turn < 2 * BATCHES * ROUND_TRIPS {
        wait_for(ball, turn, deadline)?;
        ball.store(turn + 1, Ordering::Release);
        turn += 2;
    }
    Ok(())
}

fn wait_for(ball: &AtomicU32, turn: u32, deadline: Instant) -> Result<(), Failure> {
    let mut spins = 0_u32;
    while ball.load(Ordering::Acquire) != turn {
        std::hint::spin_loop();
        spins = spins.wrapping_add(1);
        if spins.is_multiple_of(65_536) && Instant::now() > deadline {
            return Err(Failure::new("the cross-core probe got no answer: one of the two cores is not ours"));
        }
    }
    Ok(())
}

/// Two threads of one core take about 45 ns here for a round trip, two cores under one cache 100 to 150.
const SHARED_CORE_NS_MAX: f64 = 80.0;

/// Cores without a common cache take 370 ns and more.
const SHARED_CACHE_NS_MAX: f64 = 230.0;

/// Batches of a probe: enough that one of them is undisturbed on a machine with other work.
const BATCHES: u32 = 80;

/// Round trips of a batch, 3 to 30 µs: event streams disturb the cores every 50 µs.
const ROUND_TRIPS: u32 = 64;

/// After this the cores are so busy with other work that no figure would be worth anything.
const PROBE_TIME_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn round_trips_fall_into_classes() {
        assert_eq!(Class::of(45.0), Class::SharedCore);
        assert_eq!(Class::of(120.0), Class::SharedCache);
        assert_eq!(Class::of(400.0), Class::Apart);
    }
}
