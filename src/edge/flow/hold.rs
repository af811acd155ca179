// SPDX-License-Identifier: Apache-2.0
//! Hot. What is done before the end of a response leaves: a billed one waits here until it is recorded.

use std::future::Future;

use crate::base::Fault;

/// Whoever has a say before the end of a response leaves.
pub(crate) trait Hold {
    /// Is there anybody? It does not change while a response is sent.
    fn holds(&self) -> bool;
    /// A final response with this status begins.
    fn begins(&mut self, status: u16);
    /// What was seen of the request when the response came: content bytes received, and microseconds that the upstream
    /// took.
    fn note(&mut self, received: u64, upstream_us: u64);
    /// Waits until the end may leave; so many bytes of content are sent with it and before. After the first time it
    /// does nothing. On a fault the end must not leave.
    fn release(&mut self, sent: u64) -> impl Future<Output = Result<(), Fault>>;
}

/// Nobody.
impl Hold for () {
    fn holds(&self) -> bool {
        false
    }

    fn begins(&mut self, _status: u16) {}

    fn note(&mut self, _received: u64, _upstream_us: u64) {}

    async fn release(&mut self, _sent: u64) -> Result<(), Fault> {
        Ok(())
    }
}

impl<H: Hold> Hold for Option<H> {
    fn holds(&self) -> bool {
        self.is_some()
    }

    fn begins(&mut self, status: u16) {
        if let Some(hold) = self {
            hold.begins(status);
        }
    }

    fn note(&mut self, received: u64, upstream_us: u64) {
        if let Some(hold) = self {
            hold.note(received, upstream_us);
        }
    }

    async fn release(&mut self, sent: u64) -> Result<(), Fault> {
        match self {
            Some(hold) => hold.release(sent).await,
            None => Ok(()),
        }
    }
}
