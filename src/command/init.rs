// SPDX-License-Identifier: Apache-2.0
//! Process 1 of a container: it starts the gateway as its child, forwards signals to it, waits for orphans, and exits
//! with the gateway's code. It serves no request.
//!
//! A binary upgrade ends the process that is replaced. Where that were process 1, the kernel would end the whole
//! container. The gateway tells process 1 of its successor as it tells a service manager (`MAINPID`, see
//! `control/systemd`).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitCode, ExitStatus};
use std::task::Poll;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::control::upgrade::{Program, random_text};
use crate::net::machine::{self, Signal};
use crate::net::sockets::{HandOver, Inherited};

/// Longest message of a gateway.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Is this process the first one of its container?
pub(super) fn is_needed() -> bool {
    std::process::id() == 1
}

/// Starts the gateway and waits until it has ended.
pub(super) fn run(inherited: io::Result<Vec<Inherited>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(serve(inherited?))) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: process 1 cannot start the gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(inherited: Vec<Inherited>) -> io::Result<u8> {
    let mut signals = Signals::listen()?;
    let mut ends = signal(SignalKind::child())?;
    let name = random_text()?;
    let messages = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    messages.set_nonblocking(true)?;
    let messages = tokio::net::UnixDatagram::from_std(messages)?;
    let hand_over = HandOver::of_inherited(&inherited)?;
    let mut command = Program::of_process()?.command(&hand_over);
    // In a group of its own, so that a terminal's signals reach it once: from here.
    let first = command.env("NOTIFY_SOCKET", format!("@{name}")).process_group(0).spawn()?;
    drop((hand_over, inherited));
    let mut gateways = Gateways::starting_with(first.id());
    let mut message = [0; MESSAGE_BYTES_MAX];
    loop {
        tokio::select! {
            signal = signals.next() => gateways.forward(signal),
            _ = ends.recv() => {
                while let Some((pid, status)) = machine::ended_child() {
                    gateways.ended(pid, status);
                }
                if let Some(code) = gateways.code() {
                    return Ok(code);
                }
            }
            received = messages.recv(&mut message) => {
                let message = String::from_utf8_lossy(&message[..received?]).into_owned();
                if let Some(pid) = successor(&message).filter(|pid| gateways.started(*pid)) {
                    gateways.replaced_by(pid);
                }
                pass_on(&message);
            }
        }
    }
}

/// The processes of the gateway: one that serves, and older ones that finish what they have begun.
#[derive(Debug)]
struct Gateways {
    serving: u32,
    /// Its end.
    end: Option<ExitStatus>,
    older: Vec<u32>,
}

impl Gateways {
    fn starting_with(serving: u32) -> Gateways {
        Gateways { serving, end: None, older: Vec::new() }
    }

    fn forward(&self, signal: Signal) {
        let to = if self.end.is_none() { std::slice::from_ref(&self.serving) } else { &self.older };
        for pid in to {
            // It has not been waited for, so its number is no other process'.
            let _ = machine::send_signal(*pid, signal);
        }
    }

    /// Did the serving process start this one? Its parent is process 1 where the serving process has ended meanwhile.
    fn started(&self, pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        parent(&stat).is_some_and(|parent| parent == self.serving || parent == std::process::id())
    }

    fn replaced_by(&mut self, pid: u32) {
        let before = std::mem::replace(&mut self.serving, pid);
        if self.end.take().is_none() {
            self.older.push(before);
        }
    }

    fn ended(&mut self, pid: u32, status: ExitStatus) {
        self.older.retain(|older| *older != pid);
        if pid == self.serving {
            self.end = Some(status);
        }
    }

    /// What to exit with; `None` while a process of the gateway lives.
    fn code(&self) -> Option<u8> {
        let status = self.end.filter(|_| self.older.is_empty())?;
        // As shells say it: 128 and the signal.
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Some(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }
}

/// The process that takes over, by a message in the protocol of sd_notify(3).
fn successor(message: &str) -> Option<u32> {
    message.lines().find_map(|line| line.strip_prefix("MAINPID="))?.parse().ok()
}

/// The number of a process' parent, in its `/proc/PID/stat`.
fn parent(stat: &str) -> Option<u32> {
    // The second field is the command in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Passes a message on to the service manager outside of the container, if there is one. To it the container's process
/// is always this one.
fn pass_on(message: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let lines: Vec<&str> = message.lines().filter(|line| !line.starts_with("MAINPID=")).collect();
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    if let (Ok(socket), Ok(address), false) = (UnixDatagram::unbound(), address, lines.is_empty()) {
        // A service manager that does not read misses the message.
        let _ = socket
            .set_nonblocking(true)
            .and_then(|()| socket.send_to_addr(lines.join("\n").as_bytes(), &address).map(drop));
    }
}

/// The signals that are forwarded.
struct Signals([(Signal, Stream); 6]);

impl Signals {
    fn listen() -> io::Result<Signals> {
        Ok(Signals([
            (Signal::Hangup, signal(SignalKind::hangup())?),
            (Signal::Terminate, signal(SignalKind::terminate())?),
            (Signal::Quit, signal(SignalKind::quit())?),
            (Signal::Interrupt, signal(SignalKind::interrupt())?),
            (Signal::User1, signal(SignalKind::user_defined1())?),
            (Signal::User2, signal(SignalKind::user_defined2())?),
        ]))
    }

    /// The next one. Cancel-safe.
    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            let mut streams = self.0.iter_mut();
            let come = streams.find_map(|(signal, stream)| stream.poll_recv(context).is_ready().then_some(*signal));
            come.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_1_ends_with_the_last_gateway() {
        let mut gateways = Gateways::starting_with(10);
        assert_eq!(gateways.code(), None);
        gateways.replaced_by(20);
        gateways.ended(20, ExitStatus::from_raw(3 << 8));
        assert_eq!(gateways.code(), None, "the first one still finishes what it has begun");
        gateways.ended(10, ExitStatus::from_raw(0));
        assert_eq!(gateways.code(), Some(3));
    }

    #[test]
    fn orphans_are_no_gateways() {
        let mut gateways = Gateways::starting_with(10);
        gateways.ended(99, ExitStatus::from_raw(0));
        assert_eq!(gateways.code(), None);
        gateways.ended(10, ExitStatus::from_raw(9));
        assert_eq!(gateways.code(), Some(128 + 9));
    }

    #[test]
    fn a_successor_may_be_named_after_its_predecessor_has_ended() {
        let mut gateways = Gateways::starting_with(10);
        gateways.ended(10, ExitStatus::from_raw(0));
        gateways.replaced_by(20);
        assert_eq!(gateways.code(), None);
        gateways.ended(20, ExitStatus::from_raw(0));
        assert_eq!(gateways.code(), Some(0));
    }

    #[test]
    fn messages_and_parents_are_read() {
        assert_eq!(successor("MAINPID=77\nWATCHDOG=1"), Some(77));
        assert_eq!((successor("READY=1"), successor("MAINPID=x")), (None, None));
        assert_eq!(parent("5 (a) b) S 4 5 5"), Some(4));
        assert_eq!(parent(""), None);
    }
}
