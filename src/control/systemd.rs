// SPDX-License-Identifier: Apache-2.0
//! Reports the state of the process to the service manager (`sd_notify`): datagrams to the socket in `NOTIFY_SOCKET`.
//! Does nothing where it is not set.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::base::Tick;

/// Longest wait for a service manager that does not read; then it misses the message.
const SEND_MAX: Duration = Duration::from_millis(50);

/// The connection to the service manager.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment names it.
    pub(super) fn of_process() -> Supervisor {
        let variable = |name| std::env::var_os(name).unwrap_or_default();
        let own_pid = std::process::id().to_string();
        let pid = variable("WATCHDOG_PID");
        let watchdog = variable("WATCHDOG_USEC");
        let ours = pid.is_empty() || pid == *own_pid;
        Supervisor::new(&variable("NOTIFY_SOCKET"), watchdog.to_str().filter(|_| ours))
    }

    fn new(socket: &OsStr, watchdog_micros: Option<&str>) -> Supervisor {
        let address = match socket.as_bytes() {
            [] => None,
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
            _ => SocketAddr::from_pathname(socket).ok(),
        };
        let micros = watchdog_micros.and_then(|text| text.parse().ok()).filter(|micros| *micros > 0);
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_write_timeout(Some(SEND_MAX)).ok()?;
            Some((socket, address))
        });
        // Twice per watchdog interval, as the manual recommends.
        let watchdog = micros.filter(|_| socket.is_some()).map(|micros: u64| Duration::from_micros(micros / 2));
        Supervisor { socket, watchdog }
    }

    /// How often `alive` must be called; `None` where nobody watches.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Reports that the process serves, with this status text.
    pub(super) fn ready(&self, words: &str) {
        self.send(&format!("READY=1\nSTATUS={words}"));
    }

    /// A new plan is being brought into use, until `ready`.
    pub(super) fn reloading(&self, now: Tick) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.nanos() / 1_000));
    }

    /// We end, within this time at most.
    pub(super) fn stopping(&self, within: Duration) {
        self.send(&format!("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
    }

    /// The process of that number has taken over, and the service manager hears nothing more from this one. The last
    /// sign of life leaves the other process a whole interval until its first one.
    pub(super) fn replaced_by(&mut self, pid: u32) {
        let alive = if self.watchdog.is_some() { "\nWATCHDOG=1" } else { "" };
        self.send(&format!("MAINPID={pid}{alive}"));
        *self = Supervisor::default();
    }

    /// The control plane handles events.
    pub(super) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!(%error, "systemd could not be notified");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("turnpike-test-{}-{:p}", std::process::id(), &folder);
        let by_path = UnixDatagram::bind(&path).expect("bound");
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("bound");
        for (listener, socket) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            let mut supervisor = Supervisor::new(&socket, Some("3000000"));
            assert_eq!(supervisor.watchdog(), Some(Duration::from_millis(1_500)));
            supervisor.ready("2 listeners");
            supervisor.reloading(Tick::from_nanos(5_000_000));
            let mut bytes = [0; 100];
            let count = listener.recv(&mut bytes).expect("received");
            assert_eq!(&bytes[..count], b"READY=1\nSTATUS=2 listeners");
            let count = listener.recv(&mut bytes).expect("received");
            assert_eq!(&bytes[..count], b"RELOADING=1\nMONOTONIC_USEC=5000");
            supervisor.replaced_by(7);
            let count = listener.recv(&mut bytes).expect("received");
            assert_eq!(&bytes[..count], b"MAINPID=7\nWATCHDOG=1");
            assert_eq!(supervisor.watchdog(), None);
            supervisor.alive();
            listener.set_nonblocking(true).expect("set");
            assert!(listener.recv(&mut bytes).is_err(), "the other process speaks now");
        }
    }

    #[test]
    fn without_a_socket_nothing_happens() {
        let supervisor = Supervisor::new(OsStr::new(""), Some("1000"));
        supervisor.stopping(Duration::ZERO);
        assert_eq!(supervisor.watchdog(), None);
        Supervisor::new(OsStr::new("/nonexistent/notify"), None).alive();
    }
}
