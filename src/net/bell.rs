// SPDX-License-Identifier: Apache-2.0
//! A bell: another thread rings it to wake a shard.
//!
//! Any thread may ring; the receiving end is a `BellWaiter` of the shard's `Net`. A ring carries no data: the shard
//! looks at all its queues, and several rings before it looks count as one. The sender puts its message into the queue
//! before it calls `ring`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A bell. Clones ring the same one.
#[derive(Clone, Debug)]
pub struct Bell {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rung: AtomicBool,
    /// An eventfd; `None` in a bell whose receiver polls `take`.
    event: Option<File>,
}

impl Bell {
    /// A bell over an eventfd (non-blocking; `sockets::bell` makes one), for a receiver that sleeps in the kernel.
    pub fn over(event: OwnedFd) -> Bell {
        Bell { shared: Arc::new(Shared { rung: AtomicBool::new(false), event: Some(File::from(event)) }) }
    }

    /// A bell without a descriptor, for a receiver that polls `take`, as the simulator does.
    pub fn silent() -> Bell {
        Bell { shared: Arc::new(Shared { rung: AtomicBool::new(false), event: None }) }
    }

    /// Rings. Costs one atomic swap, and one system call if it is the first ring since the receiver last looked.
    pub fn ring(&self) {
        if self.shared.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(mut event) = self.shared.event.as_ref() {
            // The counter of an eventfd cannot be full: it is written once between two reads of the receiver.
            let _ = event.write(&1_u64.to_ne_bytes());
        }
    }

    /// True if it was rung since the last call. For the receiver.
    pub fn take(&self) -> bool {
        self.shared.rung.swap(false, Ordering::AcqRel)
    }

    /// Empties the eventfd's counter; call before `take`, or a ring in between would be lost.
    pub fn drain(&self) {
        if let Some(mut event) = self.shared.event.as_ref() {
            let _ = event.read(&mut [0_u8; 8]);
        }
    }

    /// The descriptor that becomes readable, where there is one.
    pub fn event(&self) -> io::Result<BorrowedFd<'_>> {
        let event = self.shared.event.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        Ok(event.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_between_two_hearings_are_one() {
        let bell = Bell::silent();
        assert!(!bell.take());
        bell.ring();
        bell.clone().ring();
        assert!(bell.take());
        assert!(!bell.take());
    }
}
