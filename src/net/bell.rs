//! A bell: how another thread wakes a shard.
//!
//! The ringing end is plain and thread-safe; the hearing end is an `Ear` of the shard's `Net`. Ringing says only "look
//! at your queues": rings between two hearings are one. What is rung about must be visible before `ring` is called.

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
    /// An eventfd; none in a bell that its hearer asks by itself.
    event: Option<File>,
}

impl Bell {
    /// A bell over an eventfd (non-blocking; `sockets::bell` makes one), for a hearer that sleeps in the kernel.
    pub fn over(event: OwnedFd) -> Bell {
        Bell { shared: Arc::new(Shared { rung: AtomicBool::new(false), event: Some(File::from(event)) }) }
    }

    /// A bell without a descriptor, for a hearer that looks at `take` by itself, as the simulator does.
    pub fn silent() -> Bell {
        Bell { shared: Arc::new(Shared { rung: AtomicBool::new(false), event: None }) }
    }

    /// Rings. Costs one atomic swap, and one system call if nobody rang since it was last heard.
    pub fn ring(&self) {
        if self.shared.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(mut event) = self.shared.event.as_ref() {
            // The counter of an eventfd cannot be full: it is written once for each time it is heard.
            let _ = event.write(&1_u64.to_ne_bytes());
        }
    }

    /// Was it rung since the last call? The hearer's side.
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
