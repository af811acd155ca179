// SPDX-License-Identifier: Apache-2.0
//! The proxies under test: how each is configured, started, watched and stopped.
//!
//! Every proxy gets one worker, keep-alive to the origin, and the settings that somebody who knows it well would
//! choose.

mod haproxy;
mod nginx;
mod turnpike;

use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::debian;
use crate::failure::{Context, Failure};
use crate::guard::Guard;
use crate::h2::Calls;
use crate::machine::{CLIENT_CORE, PROXY_CORE, check_interrupt, pin, unpin};
use crate::process::Tree;
use crate::socket::Reserved;
use crate::workload::{Case, Kind, PathChoice, Security};

/// A proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// The project's own.
    Turnpike,
    /// nginx as Debian builds it.
    Nginx,
    /// HAProxy as Debian builds it.
    Haproxy,
    /// The floor: the harness's own copier of bytes, which is no HTTP proxy at all.
    Copier,
}

/// What a proxy shall do.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The origin behind it.
    pub origin: SocketAddr,
    /// The certificate of its listener; plain TCP without one.
    pub certificate: Option<Certificate>,
    /// How many routes it has.
    pub routes: Routes,
    /// Whom it lets through, where it looks at that at all.
    pub guard: Guard,
    /// What passes through it.
    pub traffic: Traffic,
    /// Threads that serve. One of them has core 0, two have a core each.
    pub shards: usize,
    /// Connections for which a proxy sets something aside at start, where it does so.
    pub connections_max: usize,
}

/// The routes of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routes {
    /// One that takes everything.
    One,
    /// This many, each for the paths below [`route_prefix`] of its number; nothing else is answered.
    Many(usize),
}

/// What passes through a proxy, for settings that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Requests and responses of known length.
    Messages,
    /// Streams whose pieces must leave when they arrive.
    Streams,
    /// gRPC: HTTP/2 without TLS on both sides.
    Calls,
}

/// The path under which route `number` serves.
pub fn route_prefix(number: usize) -> String {
    format!("/api/service-{number}")
}

/// Where the programs of the proxies are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The binary of turnpike.
    pub turnpike: PathBuf,
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    reserved: Reserved,
    directory: PathBuf,
    strays: Vec<String>,
}

/// Where a proxy's files are and where it listens; what the configurations are made of.
struct PeerFiles<'a> {
    directory: &'a Path,
    listen: SocketAddr,
    setup: &'a Setup,
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Peer::Turnpike => "turnpike",
            Peer::Nginx => "nginx",
            Peer::Haproxy => "haproxy",
            Peer::Copier => "copier",
        })
    }
}

impl Peer {
    /// Can it do this case at all? What only copies bytes ends no TLS and knows no routes, and it is measured with
    /// requests only.
    pub fn can(self, case: &Case) -> bool {
        let plain = match case.kind {
            Kind::Exchanges(exchanges) => {
                exchanges.security == Security::Plain
                    && exchanges.path == PathChoice::Single
                    && exchanges.guard == Guard::None
                    && case.name != "routes-1"
            }
            Kind::Calls(calls) => calls == Calls::Echo,
            Kind::Streams | Kind::Idle(_) => false,
        };
        plain || self != Peer::Copier
    }
}

impl Setup {
    /// One shard, one route, plain TCP, and room for every case.
    pub fn plain(origin: SocketAddr) -> Setup {
        let (routes, traffic) = (Routes::One, Traffic::Messages);
        let guard = Guard::None;
        Setup { origin, certificate: None, routes, guard, traffic, shards: 1, connections_max: CONNECTIONS_MAX }
    }
}

impl Programs {
    /// The program of a proxy, where it is installed.
    pub fn find(&self, peer: Peer) -> Option<PathBuf> {
        let places = match peer {
            Peer::Turnpike => vec![self.turnpike.clone()],
            Peer::Nginx => vec!["/usr/sbin/nginx".into(), "/usr/local/sbin/nginx".into()],
            Peer::Haproxy => vec!["/usr/sbin/haproxy".into(), "/usr/local/sbin/haproxy".into()],
            Peer::Copier => std::env::current_exe().into_iter().collect(),
        };
        places.into_iter().find(|place| place.is_file())
    }

    /// Installs from Debian what is missing of `peers`. Turnpike is never built here.
    pub fn install(&self, peers: &[Peer]) -> Result<(), Failure> {
        let missing: Vec<Peer> = peers.iter().copied().filter(|peer| self.find(*peer).is_none()).collect();
        if missing.contains(&Peer::Turnpike) {
            let place = self.turnpike.display();
            return Err(Failure(format!("there is no turnpike at {place}: build it with `cargo build --release`")));
        }
        let names: Vec<String> = missing.iter().map(Peer::to_string).collect();
        debian::install(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What the proxy says about its version, in one line.
    pub fn version(&self, peer: Peer) -> Result<String, Failure> {
        let program = self.find(peer).context(format_args!("{peer} is not installed"))?;
        let argument = match peer {
            Peer::Turnpike => "version",
            Peer::Nginx | Peer::Haproxy => "-v",
            Peer::Copier => "--version",
        };
        let output =
            Command::new(program).arg(argument).output().context(format_args!("asking {peer} for its version"))?;
        let text = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Starts a proxy with its files in `directory`, and waits until it listens.
    pub fn start(&self, peer: Peer, setup: &Setup, directory: &Path) -> Result<Running, Failure> {
        let mut last = Failure::new("");
        // Another program may take the free port before the proxy does.
        for _ in 0..START_ATTEMPTS {
            match self.try_start(peer, setup, directory) {
                Ok(running) => return Ok(running),
                Err(failure) => last = failure,
            }
            check_interrupt()?;
        }
        Err(last)
    }

    fn try_start(&self, peer: Peer, setup: &Setup, directory: &Path) -> Result<Running, Failure> {
        let program = self.find(peer).context(format_args!("{peer} is not installed"))?;
        let directory = directory.join(peer.to_string());
        if directory.exists() {
            fs::remove_dir_all(&directory).context("removing the files of an earlier proxy")?;
        }
        fs::create_dir_all(&directory).context("making a directory for a proxy")?;
        let reserved = Reserved::new()?;
        let place = PeerFiles { directory: &directory, listen: reserved.address(), setup };
        let mut command = Command::new(program);
        match peer {
            Peer::Turnpike => turnpike::configure(&place, &mut command)?,
            Peer::Nginx => nginx::configure(&place, &mut command)?,
            Peer::Haproxy => haproxy::configure(&place, &mut command)?,
            Peer::Copier => {
                command
                    .arg("copy")
                    .arg("--listen")
                    .arg(place.listen.to_string())
                    .arg("--to")
                    .arg(setup.origin.to_string());
            }
        }
        let output = File::create(directory.join(OUTPUT)).context("making a file for a proxy's output")?;
        let errors = output.try_clone().context("making a file for a proxy's output")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        // Its own group, so that ctrl-c reaches only us, and we stop it in order.
        command.process_group(0);
        let child = spawn(&mut command, setup.shards).context(format_args!("starting {peer}"))?;
        let mut running = Running { child, reserved, directory, strays: Vec::new() };
        running.wait_until_ready(peer)?;
        if setup.shards == 1 {
            running.strays = running.tree().strays(PROXY_CORE);
        }
        Ok(running)
    }
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.reserved.address()
    }

    /// Its processes.
    pub fn tree(&self) -> Tree {
        Tree::of(self.child.id())
    }

    /// Threads that are not bound to the proxy's core, though they should be.
    pub fn strays(&self) -> &[String] {
        &self.strays
    }

    /// Stops it and returns how many lines its access log has; HAProxy keeps its log in memory.
    pub fn stop(mut self) -> usize {
        self.end();
        let text = fs::read(self.directory.join(ACCESS_LOG)).unwrap_or_default();
        memchr::memchr_iter(b'\n', &text).count()
    }

    fn wait_until_ready(&mut self, peer: Peer) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIME_MAX;
        loop {
            if let Some(status) = self.child.try_wait().context("looking after a proxy")? {
                return Err(Failure(format!("{peer} ended with {status} when started:\n{}", self.output())));
            }
            if TcpStream::connect(self.address()).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure(format!("{peer} does not listen on {}:\n{}", self.address(), self.output())));
            }
            check_interrupt()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The last lines of what it wrote.
    fn output(&self) -> String {
        let text = fs::read_to_string(self.directory.join(OUTPUT)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(OUTPUT_LINES_SHOWN)).map(|line| format!("    {line}\n")).collect()
    }

    /// A polite signal, some time, then force, to exactly the processes that this one is made of.
    fn end(&mut self) {
        let processes = self.tree().processes();
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + STOP_TIME_MAX;
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for process in processes {
            signal(process, Signal::KILL);
        }
        // Killed processes end; there is nobody left to tell if this one does not.
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a program where it shall run: children inherit the affinity of the thread that starts them.
fn spawn(command: &mut Command, shards: usize) -> Result<Child, Failure> {
    if shards == 1 {
        pin(PROXY_CORE)?
    } else {
        unpin()?
    }
    let child = command.spawn();
    pin(CLIENT_CORE)?;
    child.context("the program")
}

fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended a moment ago.
        let _ = kill_process(process, signal);
    }
}

/// Room for ten thousand connections, and for those to the origin.
const CONNECTIONS_MAX: usize = 16_384;

/// Name of the access log in a proxy's directory.
const ACCESS_LOG: &str = "access.log";

/// Name of the file with what a proxy writes to its standard output and error.
const OUTPUT: &str = "output.txt";

/// Lines of that file in a message.
const OUTPUT_LINES_SHOWN: usize = 12;

/// How often a start is tried.
const START_ATTEMPTS: usize = 3;

/// A proxy that listens later than this does not work.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a proxy may take to stop before it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
