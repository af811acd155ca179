// SPDX-License-Identifier: Apache-2.0
//! How long a reload takes, and how long it holds up requests: clients send one each millisecond beside it.
//!
//! A request counts from the moment it was due, so one that is held up also counts for those behind it.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Context, Failure};
use crate::machine::check_interrupt;

/// The sizes of a configuration, and what is done with it.
#[derive(Clone, Debug)]
pub struct Reload {
    /// The binary of turnpike.
    pub turnpike: PathBuf,
    /// Data-plane threads.
    pub shards: usize,
    /// Routes with a host and a path of their own.
    pub routes: usize,
    /// Upstreams with one endpoint each.
    pub upstreams: usize,
    /// Rate limits.
    pub policies: usize,
    /// Consumers with one key each.
    pub consumers: usize,
    /// Connections that send a request each millisecond.
    pub clients: usize,
    /// Reloads.
    pub reloads: usize,
    /// What each reload changes.
    pub changes: Changes,
}

/// What a reload changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Changes {
    /// One route.
    One,
    /// Every upstream and every rate.
    All,
}

/// One reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// From the call of `turnpike reload` to its end.
    pub took: Duration,
    /// The slowest response to a request that was due in it or right after it.
    pub stall: Duration,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The slowest response while nothing was reloaded.
    pub quiet: Duration,
    /// In order.
    pub reloads: Vec<Timed>,
}

/// A request: when it was due, and how long its response took from then on.
type Asked = (Instant, Duration);

impl Reload {
    /// Measures.
    pub fn run(&self) -> Result<Outcome, Failure> {
        let directory = tempfile::tempdir().context("a directory for the run")?;
        let listen = unused_port()?;
        let file = directory.path().join("turnpike.toml");
        let socket = directory.path().join("control.sock");
        self.write(&file, &socket, listen, 0)?;
        let mut gateway = Gateway::start(&self.turnpike, &file)?;
        gateway.wait_until_it_listens(listen)?;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..self.clients).map(|_| scope.spawn(|| client(listen, &stop))).collect();
            let measured = self.measure(&file, &socket, listen);
            stop.store(true, Ordering::Relaxed);
            let mut asked = Vec::new();
            for client in clients {
                asked.extend(client.join().map_err(|_| Failure::new("a client panicked"))??);
            }
            Ok(outcome(&asked, &measured?))
        })
    }

    /// The spans of quiet and of all reloads.
    fn measure(&self, file: &Path, socket: &Path, listen: SocketAddr) -> Result<Vec<(Instant, Duration)>, Failure> {
        thread::sleep(SETTLE);
        let mut spans = vec![(Instant::now(), QUIET)];
        thread::sleep(QUIET);
        for turn in 1..=self.reloads {
            check_interrupt()?;
            self.write(file, socket, listen, turn)?;
            let began = Instant::now();
            let mut reload = Command::new(&self.turnpike);
            let reload = reload.arg("reload").arg("--control-socket").arg(socket).stdout(Stdio::null());
            if !reload.status().context("running `turnpike reload`")?.success() {
                return Err(Failure::new("the reload was refused"));
            }
            spans.push((began, began.elapsed()));
            thread::sleep(AFTER);
        }
        Ok(spans)
    }

    fn write(&self, file: &Path, socket: &Path, listen: SocketAddr, turn: usize) -> Result<(), Failure> {
        fs::write(file, self.configuration(socket, listen, turn)).context("writing the configuration")
    }

    fn configuration(&self, socket: &Path, listen: SocketAddr, turn: usize) -> String {
        let mut text = format!(
            "[server]\nwatch = false\nshards = {}\ncontrol_socket = \"{}\"\n[[listener]]\nbind = \"{listen}\"\n\
             [upstream.main]\nendpoints = \"127.0.0.1:1\"\n[[route]]\npath_exact = \"/answer\"\nanswer = {{ body = \
             \"hello\" }}\n[[route]]\npath_exact = \"/changed\"\nanswer = {{ body = \"{turn}\" }}\n",
            self.shards,
            socket.display(),
        );
        let (queue, rate) = match self.changes {
            Changes::One => (100, 100),
            Changes::All => (100 + turn, 100 + turn),
        };
        // Writing to a string cannot fail.
        for at in 0..self.upstreams {
            let _ = writeln!(text, "[upstream.u{at}]\nendpoints = \"127.0.0.1:1\"\nlimits = {{ queue = {queue} }}");
        }
        for at in 0..self.policies {
            let _ = writeln!(text, "[policy.p{at}]\nrate_limit = {{ rate = \"{rate}/s\", burst = 100 }}");
        }
        if self.consumers > 0 {
            text.push_str("[policy.keys]\napi_key = { header = \"x-key\" }\n");
            text.push_str("[[route]]\npath_exact = \"/keys\"\nto = \"main\"\npolicies = \"keys\"\n");
        }
        for at in 0..self.consumers {
            let _ =
                writeln!(text, "[[consumer]]\nname = \"c{at}\"\nkeys = [{{ key = \"a-key-that-is-long-{at:09}\" }}]");
        }
        for at in 0..self.routes {
            let (host, version) = (at % 100, at % 7);
            let to = if self.upstreams > 0 { format!("u{}", at % self.upstreams) } else { "main".to_owned() };
            let _ = writeln!(
                text,
                "[[route]]\nname = \"route-number-{at}\"\nhosts = \"h{host}.example.com\"\n\
                 path = \"/api/v{version}/things{at}/{{id}}\"\nto = \"{to}\"",
            );
            if self.policies > 0 {
                let _ = writeln!(text, "policies = \"p{}\"", at % self.policies);
            }
        }
        text
    }
}

fn outcome(asked: &[Asked], spans: &[(Instant, Duration)]) -> Outcome {
    let slowest = |from: Instant, until: Instant| {
        let within = asked.iter().filter(|(due, _)| *due >= from && *due < until);
        within.map(|(_, took)| *took).max().unwrap_or_default()
    };
    let quiet = spans.first().map_or(Duration::ZERO, |(from, span)| slowest(*from, *from + *span));
    let reloads = spans.iter().skip(1);
    let reloads = reloads.map(|(from, took)| Timed { took: *took, stall: slowest(*from, *from + *took + AFTER) });
    Outcome { quiet, reloads: reloads.collect() }
}

/// Sends a request each millisecond until it is stopped.
fn client(address: SocketAddr, stop: &AtomicBool) -> Result<Vec<Asked>, Failure> {
    let mut socket = TcpStream::connect(address).context("connecting")?;
    socket.set_nodelay(true).context("TCP_NODELAY")?;
    socket.set_read_timeout(Some(RESPONSE_MAX)).context("setting a timeout")?;
    let request = format!("GET /answer HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let (mut asked, mut due, mut buffer) = (Vec::new(), Instant::now(), [0; 2_048]);
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        socket.write_all(request.as_bytes()).context("sending")?;
        let mut response = Vec::new();
        // The whole response is the head and these five bytes.
        while !response.ends_with(b"\r\n\r\nhello") {
            match socket.read(&mut buffer).context("receiving")? {
                0 => return Err(Failure::new("closed without a response")),
                read => response.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            }
        }
        if !response.starts_with(b"HTTP/1.1 200 ") {
            return Err(Failure::new("a status that is not 200"));
        }
        asked.push((due, due.elapsed()));
        due += INTERVAL;
    }
    Ok(asked)
}

/// Stopped when dropped.
#[derive(Debug)]
pub(crate) struct Gateway(Child);

impl Gateway {
    pub(crate) fn start(turnpike: &Path, file: &Path) -> Result<Gateway, Failure> {
        let mut command = Command::new(turnpike);
        let command = command.arg("run").arg("-c").arg(file).stderr(Stdio::null()).stdout(Stdio::null());
        Ok(Gateway(command.spawn().context(format_args!("starting {}", turnpike.display()))?))
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn wait_until_it_listens(&mut self, address: SocketAddr) -> Result<(), Failure> {
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait().context("looking at turnpike")? {
                return Err(Failure(format!("turnpike ended: {status}")));
            }
            if began.elapsed() > START_MAX {
                return Err(Failure::new("turnpike does not listen"));
            }
            thread::sleep(INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free just now. The gateway listens with `SO_REUSEPORT`, so the port cannot be kept for it.
pub(crate) fn unused_port() -> Result<SocketAddr, Failure> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
    socket.local_addr().context("its number")
}

/// From one request to the next.
const INTERVAL: Duration = Duration::from_millis(1);
/// From the start to the first figure.
const SETTLE: Duration = Duration::from_secs(1);
/// How long requests are looked at while nothing is reloaded.
const QUIET: Duration = Duration::from_secs(3);
/// What is still a reload's doing: housekeeping and the release of the old plan.
const AFTER: Duration = Duration::from_millis(1_500);
/// Longest wait for a response.
const RESPONSE_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the gateway to listen.
const START_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::{AFTER, Asked, Outcome, QUIET, Timed, outcome};
    use std::time::{Duration, Instant};

    #[test]
    fn a_request_belongs_to_the_reload_it_was_due_in() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let reload = start + QUIET;
        let after = reload + ms(100) + AFTER;
        let asked: [Asked; 4] = [(start, ms(1)), (reload, ms(7)), (reload + ms(101), ms(9)), (after, ms(50))];
        let measured = outcome(&asked, &[(start, QUIET), (reload, ms(100))]);
        assert_eq!(measured, Outcome { quiet: ms(1), reloads: vec![Timed { took: ms(100), stall: ms(9) }] });
    }
}
