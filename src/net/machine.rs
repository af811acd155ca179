// SPDX-License-Identifier: Apache-2.0
//! The few questions to the machine that have no safe function in the standard library: its clocks as `Tick` and
//! `Wall`, its cores, its limit on descriptors, three socket calls, signals to other processes,
//! pages of mapped files that are gone, and the account.
//!
//! Both planes use it; `Tick`s of all threads have the same start and may be compared.

mod account;
mod bus_errors;
mod processes;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{SystemTime, UNIX_EPOCH};

use socket2::SockRef;

use crate::base::{Tick, Wall};

pub(crate) use account::{Account, is_root};
pub(crate) use bus_errors::BusErrors;
pub(crate) use processes::{Signal, ended_child, send_signal};

/// Now, monotonic.
pub(crate) fn now() -> Tick {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec. The call cannot fail for CLOCK_MONOTONIC.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Tick::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Now, by the calendar; 1970 where the machine's clock stands before it.
pub(crate) fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(since.as_micros() as u64)
}

/// The cores that this process may run on, in ascending order.
pub(crate) fn cores() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place for a cpu_set_t of the size given.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) } != 0 {
        // More than 1024 cores; the count is still right.
        return (0..std::thread::available_parallelism().map_or(1, usize::from)).collect();
    }
    // SAFETY: every index lies below the size of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}

/// How many descriptors the process may have open.
pub(crate) fn descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for one rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    Ok(limit.rlim_cur)
}

/// Raises the soft limit on open descriptors to the hard one and gives it. Each connection through a proxy takes two.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for one rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid rlimit.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    }
    Ok(limit.rlim_cur)
}

/// Keeps the kernel from backing this process with huge pages. A proxy holds little memory in many places; with huge
/// pages each of these places would cost two megabytes.
pub(crate) fn without_huge_pages() -> io::Result<()> {
    // SAFETY: the call takes no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) }).map(drop)
}

/// Gives memory that was freed back to the kernel, all of it and now. Takes a millisecond or so.
pub(super) fn give_memory_back() {
    // SAFETY: the call takes no pointers and may be made on any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Sets the allocator up for a process with little memory.
///
/// What is freed goes back to the kernel after a hundredth of a second, where the default is a second that only further
/// work makes pass. And address space is reserved in steps of 64 MiB instead of 1 GiB (each eighth step doubles them):
/// the allocator writes down what is free of a step, which takes 2.9 MiB for the large one.
extern "C" fn set_allocator_up() {
    // SAFETY: the calls take no pointers, and the options exist in every version of the library.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY_MS, 10);
        libmimalloc_sys::mi_option_set(ARENA_RESERVE_KIB, 64 * 1024);
    }
}

/// The first allocation reserves a step, and the standard library makes it before `main`.
#[used]
// SAFETY: the loader calls what is listed here once, before `main`; the function needs nothing that is set up later.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = set_allocator_up;

/// `mi_option_purge_delay` of `mimalloc.h`.
const PURGE_DELAY_MS: libmimalloc_sys::mi_option_t = 15;
/// `mi_option_arena_reserve`.
const ARENA_RESERVE_KIB: libmimalloc_sys::mi_option_t = 23;

/// An eventfd: not blocking, closed on exec.
pub(super) fn event() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the descriptor is new, so it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A timer that makes its descriptor readable: not blocking, closed on exec, not set.
pub(super) fn timer() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) })?;
    // SAFETY: the descriptor is new, so it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets a timer for `at`; a time in the past makes it readable at once, and `Tick::NEVER` never.
pub(super) fn set_timer(timer: BorrowedFd<'_>, at: Tick) {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Zero would not set it.
    let nanos = if at == Tick::NEVER { 0 } else { at.nanos().max(1) };
    let value = libc::timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 };
    let setting = libc::itimerspec { it_interval: never, it_value: value };
    // SAFETY: `setting` lives until the call returns, and no old setting is asked for.
    let set =
        unsafe { libc::timerfd_settime(timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &setting, std::ptr::null_mut()) };
    debug_assert_eq!(set, 0, "a valid time for a timer");
}

/// Takes ownership of a descriptor that the process was started with. To be called once for each number, while no other
/// part of the process can know it.
pub(super) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= libc::STDERR_FILENO {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a standard stream cannot be a listening socket"));
    }
    // SAFETY: the call takes no pointers.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    // SAFETY: the descriptor is open, and whoever started us left it to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Resets a TCP connection now: the peer gets a RST and no FIN, and everything pending on the socket fails.
pub(super) fn disconnect(socket: &SockRef<'_>) -> io::Result<()> {
    // SAFETY: an all-zero sockaddr is valid; its family is then AF_UNSPEC, which is what disconnects (connect(2)).
    let nobody: libc::sockaddr = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: `nobody` lives until the call returns and has the size given.
    check(unsafe { libc::connect(socket.as_raw_fd(), &nobody, size) }).map(drop)
}

/// Bytes that a TCP connection took and has not sent yet.
pub(super) fn unsent(socket: &SockRef<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: `count` is a valid place for the int that this request writes.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCOUTQNSD, &mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Of `linux/sockios.h`.
const SIOCOUTQNSD: libc::Ioctl = 0x894B;

/// Bytes that were written to a socket and have not reached the peer; zero where the kernel does not say. For a Unix
/// socket it is the memory that they take, which is somewhat more.
pub(super) fn undelivered(socket: &SockRef<'_>) -> libc::c_int {
    let mut count: libc::c_int = 0;
    // SAFETY: `count` is a valid place for one int, which is what SIOCOUTQ writes (tcp(7), unix(7)).
    let asked = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut count) };
    if asked < 0 { 0 } else { count }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_move_forward() {
        let (before, wall_before) = (now(), wall());
        let after = now();
        assert!(after >= before && after.since(before).as_secs() < 60);
        assert!(wall_before.seconds() > 1_700_000_000);
    }

    #[test]
    fn limits_and_cores_are_known() {
        assert!(!cores().is_empty());
        let limit = raise_descriptor_limit().unwrap();
        assert_eq!(raise_descriptor_limit().unwrap(), limit);
    }

    #[test]
    fn adopts_no_closed_descriptor() {
        assert!(adopt(1_000_000).is_err());
        assert!(adopt(0).is_err());
    }
}
