// SPDX-License-Identifier: Apache-2.0
//! Which I/O driver runs a shard, and which is wanted.

use std::io;

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
