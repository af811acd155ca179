// SPDX-License-Identifier: Apache-2.0
//! Other processes: signals to them, and the ends of children.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::check;

/// A signal that one process of ours sends to another. What each means is in `docs/operations.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGTERM.
    Terminate,
    /// SIGQUIT.
    Quit,
    /// SIGINT.
    Interrupt,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

impl Signal {
    const fn number(self) -> libc::c_int {
        match self {
            Signal::Hangup => libc::SIGHUP,
            Signal::Terminate => libc::SIGTERM,
            Signal::Quit => libc::SIGQUIT,
            Signal::Interrupt => libc::SIGINT,
            Signal::User1 => libc::SIGUSR1,
            Signal::User2 => libc::SIGUSR2,
        }
    }
}

/// Sends a signal to one process.
pub(crate) fn send_signal(pid: u32, signal: Signal) -> io::Result<()> {
    // Zero and negative numbers would mean groups of processes.
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the call takes no pointers.
    check(unsafe { libc::kill(pid, signal.number()) }).map(drop)
}

/// A child of this process that has ended, whichever it is; it leaves the table of processes. `None` where none has.
pub(crate) fn ended_child() -> Option<(u32, ExitStatus)> {
    let mut status = 0;
    // SAFETY: `status` is a valid place for an int.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then(|| (pid as u32, ExitStatus::from_raw(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_goes_to_one_process() {
        for signal in [Signal::Hangup, Signal::Terminate, Signal::Quit, Signal::Interrupt, Signal::User1, Signal::User2]
        {
            let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
            send_signal(child.id(), signal).unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(signal.number()));
        }
        assert!(send_signal(0, Signal::Terminate).is_err());
        assert!(send_signal(u32::MAX, Signal::Terminate).is_err());
    }
}
