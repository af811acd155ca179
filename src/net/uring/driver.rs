// SPDX-License-Identifier: Apache-2.0
//! Which I/O driver runs a shard, which is wanted, and how long one may fail.

use std::cell::Cell;
use std::io;

use crate::base::Tick;

/// Which driver is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverChoice {
    /// The best that the kernel allows.
    Best,
    /// io_uring, or an error.
    IoUring,
    /// epoll.
    Epoll,
}

impl DriverChoice {
    /// The choice that the variable `TURNPIKE_DRIVER` (`io_uring` or `epoll`) makes; the best where it is not set.
    pub fn from_environment() -> io::Result<DriverChoice> {
        match std::env::var("TURNPIKE_DRIVER").as_deref() {
            Err(_) | Ok("") => Ok(DriverChoice::Best),
            Ok("io_uring") => Ok(DriverChoice::IoUring),
            Ok("epoll") => Ok(DriverChoice::Epoll),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "TURNPIKE_DRIVER must be `io_uring` or `epoll`")),
        }
    }
}

/// Which driver runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring with a single issuer and deferred task work (Linux 6.1): one system call serves many connections.
    IoUring,
    /// io_uring as it comes: completions interrupt the thread. Costs a quarter more for a small request.
    IoUringPlain,
    /// epoll and a system call for each operation.
    Epoll,
}

impl Driver {
    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Driver::IoUring => "io_uring",
            Driver::IoUringPlain => "io_uring_plain",
            Driver::Epoll => "epoll",
        }
    }
}

/// A task that waits for a descriptor to be readable, and can only ask again where the driver fails. One that fails
/// each time would keep the task and its core busy for ever, so the shard ends when it has failed for `FAILING_MS`.
#[derive(Debug)]
pub(super) struct Failing {
    /// When the first of the errors came that no success has followed; `NEVER` where there is none.
    since: Cell<Tick>,
}

impl Default for Failing {
    fn default() -> Failing {
        Failing { since: Cell::new(Tick::NEVER) }
    }
}

impl Failing {
    /// Bears an error of the driver, but not a second of nothing else.
    ///
    /// # Panics
    ///
    /// There. The thread ends, and the control plane says so and ends the process.
    pub(super) fn bear(&self, waited: io::Result<()>, now: impl Fn() -> Tick) {
        let Err(error) = waited else { return self.since.set(Tick::NEVER) };
        let now = now();
        self.since.set(self.since.get().min(now));
        assert!(now < self.since.get().after_ms(FAILING_MS), "the driver has failed for a second: {error}");
    }
}

/// A kernel that lacks memory for an operation may have some within this time.
const FAILING_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(failing: &Failing, at_ms: u64) {
        failing.bear(Err(io::ErrorKind::OutOfMemory.into()), || Tick::ZERO.after_ms(at_ms));
    }

    #[test]
    fn errors_with_a_success_between_them_are_borne() {
        let failing = Failing::default();
        for at_ms in (0..10_000).step_by(900) {
            fails(&failing, at_ms);
            fails(&failing, at_ms + 800);
            failing.bear(Ok(()), || panic!("nobody needs the clock"));
        }
    }

    #[test]
    #[should_panic = "the driver has failed for a second: out of memory"]
    fn a_driver_that_always_fails_ends_the_shard() {
        let failing = Failing::default();
        (0..=1_000).for_each(|at_ms| fails(&failing, at_ms));
    }
}
