// SPDX-License-Identifier: Apache-2.0
//! The receiving end of a bell: an eventfd that the shard waits for.

use std::io;
use std::net::TcpStream as StdStream;

use monoio::net::TcpStream;

use crate::net::{Bell, BellWaiter};

/// Waits for the rings of one bell.
pub struct UringBellWaiter {
    bell: Bell,
    /// The bell's eventfd; only ever asked for readiness.
    event: TcpStream,
}

impl UringBellWaiter {
    pub(super) fn new(bell: &Bell) -> io::Result<UringBellWaiter> {
        let event = bell.event()?.try_clone_to_owned()?;
        Ok(UringBellWaiter { bell: bell.clone(), event: TcpStream::from_std(StdStream::from(event))? })
    }
}

impl BellWaiter for UringBellWaiter {
    async fn rung(&self) {
        while !self.bell.take() {
            // An error would be one of the driver; asking the bell again is all that can be done.
            let _ = self.event.readable(false).await;
            self.bell.drain();
        }
    }
}
