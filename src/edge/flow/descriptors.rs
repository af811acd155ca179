// SPDX-License-Identifier: Apache-2.0
//! What a thread does about file descriptors that have run out: whoever finds none counts it here, which wakes the task
//! that closes what is idle.

use std::cell::Cell;

use crate::edge::flow::notice::Notice;

/// Descriptors that were asked for and not there.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    lacking: Notice,
    count: Cell<u64>,
}

impl Descriptors {
    /// The machine gave none.
    #[cold]
    pub(crate) fn lack(&self) {
        self.count.set(self.count.get() + 1);
        self.lacking.raise();
    }

    /// Waits until one was lacking. May be dropped.
    pub(crate) async fn lacking(&self) {
        self.lacking.heard().await;
    }

    /// How many were lacking since this was last called.
    pub(crate) fn take_count(&self) -> u64 {
        self.count.take()
    }
}
