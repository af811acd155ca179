// SPDX-License-Identifier: Apache-2.0
//! The receiving end of a bell: an eventfd that the shard waits for.

use std::io;
use std::net::TcpStream as StdStream;

use monoio::net::TcpStream;

use super::driver::Failing;
use crate::net::{Bell, BellWaiter, machine};

/// Waits for the rings of one bell.
pub struct UringBellWaiter {
    bell: Bell,
    /// The bell's eventfd; only ever asked for readiness.
    event: TcpStream,
    failing: Failing,
}

impl UringBellWaiter {
    pub(super) fn new(bell: &Bell) -> io::Result<UringBellWaiter> {
        let event = bell.event()?.try_clone_to_owned()?;
        let event = TcpStream::from_std(StdStream::from(event))?;
        Ok(UringBellWaiter { bell: bell.clone(), event, failing: Failing::default() })
    }
}

impl BellWaiter for UringBellWaiter {
    async fn rung(&self) {
        while !self.bell.take() {
            let readable = self.event.readable(false).await;
            self.failing.bear(readable, machine::now);
            self.bell.drain();
        }
    }
}
