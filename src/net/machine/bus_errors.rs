// SPDX-License-Identifier: Apache-2.0
//! Threads that outlive a file of which they have mapped a part into memory.
//!
//! Where such a file can no longer be written (its disk fails, its file system becomes read-only) or is cut, the kernel
//! raises SIGBUS for the access, which ends a process. On a thread that watches for it, the page becomes one of the
//! process' own, with the same content where it can be read; the access succeeds, and the thread learns of it when it
//! asks. Other threads, and other signals, are as they were.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

thread_local! {
    /// How often the thread watches, and how many of its pages were replaced. Plain cells without a destructor, so
    /// that the handler may use them.
    static WATCHES: Cell<u32> = const { Cell::new(0) };
    static REPLACED: Cell<u32> = const { Cell::new(0) };
}

/// The size of a page, which the handler must not ask for.
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// The thread watches as long as this lives.
#[derive(Debug)]
pub(crate) struct BusErrors(());

impl BusErrors {
    /// Lets the calling thread watch.
    pub(crate) fn watch() -> BusErrors {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(install);
        WATCHES.set(WATCHES.get() + 1);
        BusErrors(())
    }

    /// Was a page of the calling thread replaced since it asked last?
    pub(crate) fn take() -> bool {
        REPLACED.replace(0) > 0
    }
}

impl Drop for BusErrors {
    fn drop(&mut self) {
        WATCHES.set(WATCHES.get().saturating_sub(1));
    }
}

fn install() {
    // SAFETY: `sysconf` has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    PAGE.store(usize::try_from(page).unwrap_or(4_096), Ordering::Relaxed);
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_bus_error;
    // SAFETY: zero is a valid `sigaction`; the handler has the type that SA_SIGINFO asks for, and it calls nothing that
    // must not be called in a handler. The old action is not wanted, so the third argument may be null.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
    }
}

extern "C" fn on_bus_error(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid `siginfo_t`, which has an address for SIGBUS.
    let address = unsafe { (*info).si_addr() } as usize;
    let watches = WATCHES.try_with(Cell::get).is_ok_and(|watches| watches > 0);
    if watches && replace(address) {
        let _ = REPLACED.try_with(|replaced| replaced.set(replaced.get() + 1));
        return;
    }
    // The access is repeated after the return, and ends the process as without a handler.
    // SAFETY: `signal` may be called in a handler.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}

/// Puts a private page in the place of the one at this address.
fn replace(address: usize) -> bool {
    let size = PAGE.load(Ordering::Relaxed);
    let page = (address & !(size - 1)) as *mut c_void;
    let (writable, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: system calls alone, which may be called in a handler. The new page belongs to nobody else. What the old
    // one has is read by the kernel, which fails where it cannot be read, and the page stays zero. The last call puts
    // the new page where the access of this thread failed: memory that was mapped, and is mapped after it.
    unsafe {
        let copy = libc::mmap(ptr::null_mut(), size, writable, private, -1, 0);
        if copy == libc::MAP_FAILED {
            return false;
        }
        let (local, remote) =
            (libc::iovec { iov_base: copy, iov_len: size }, libc::iovec { iov_base: page, iov_len: size });
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0);
        let moved = libc::mremap(copy, size, size, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, page);
        moved != libc::MAP_FAILED
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_thread_that_watches_outlives_a_mapped_file_that_is_cut() {
        let file = tempfile::tempfile().expect("a file");
        let map = |file: &File| {
            // SAFETY: a new mapping of our own file, at an address that the kernel chooses.
            let at = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    4_096,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED,
                    file.as_raw_fd(),
                    0,
                )
            };
            assert_ne!(at, libc::MAP_FAILED);
            at.cast::<u8>()
        };
        file.set_len(4_096).expect("a page");
        let at = map(&file);
        let watch = BusErrors::watch();
        assert!(!BusErrors::take());
        file.set_len(0).expect("nothing");
        // SAFETY: the page is mapped until the end of the test; behind the end of the file it is replaced.
        unsafe {
            at.write_volatile(7);
            assert_eq!(at.read_volatile(), 7);
        }
        assert!(BusErrors::take() && !BusErrors::take());
        assert_eq!(file.metadata().expect("its length").len(), 0, "the file did not get it");
        drop(watch);
    }
}
