// SPDX-License-Identifier: Apache-2.0
//! HTTP/2: `h2load` as the client and, where the origin speaks it too, `nghttpd` as the origin (Debian's `nghttp2`).
//!
//! Only a closed loop is measured: what an open loop would say of latencies is another program's word here.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificate::HOST;
use crate::client::Outcome;
use crate::debian;
use crate::failure::{Context, Failure};
use crate::machine::{check_interrupt, now_ns};
use crate::socket::Reserved;

/// What is asked for over HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// GET of 100 bytes over TLS, from an origin of HTTP/1.1.
    Get100,
    /// A unary gRPC call that echoes 100 bytes, HTTP/2 without TLS on both sides.
    Echo,
}

/// Connections of the client, and streams on each.
const CONNECTIONS: usize = 4;
const STREAMS: usize = 32;

/// Calls of the run that finds the rate.
const TRIAL: u64 = 4_000;

impl Calls {
    /// Calls `proxy` for about `length`, with files in `directory`.
    pub fn run(self, proxy: SocketAddr, directory: &Path, length: Duration) -> Result<Outcome, Failure> {
        let trial = self.load(proxy, directory, TRIAL)?;
        let count = (trial.per_second() * length.as_secs_f64()) as u64;
        self.load(proxy, directory, count.max(TRIAL))
    }

    /// Makes exactly `count` calls.
    pub fn load(self, proxy: SocketAddr, directory: &Path, count: u64) -> Result<Outcome, Failure> {
        check_interrupt()?;
        let mut command = Command::new("h2load");
        command.arg("-n").arg(count.to_string());
        command.arg("-c").arg(CONNECTIONS.to_string()).arg("-m").arg(STREAMS.to_string()).arg("-t").arg("1");
        match self {
            Calls::Get100 => {
                command.arg("-H").arg(format!(":authority: {HOST}")).arg(format!("https://{proxy}/b/100"));
            }
            Calls::Echo => {
                let message = directory.join("message");
                fs::write(&message, [&[0, 0, 0, 0, 100][..], &[b'x'; 100]].concat()).context("writing a message")?;
                command.arg("-d").arg(message);
                command.arg("-H").arg("content-type: application/grpc").arg("-H").arg("te: trailers");
                command.arg(format!("http://{proxy}/echo.Echo/Say"));
            }
        }
        let started = now_ns();
        let output = command.stdin(Stdio::null()).output().context("running h2load")?;
        let elapsed_ns = now_ns() - started;
        let text = String::from_utf8_lossy(&output.stdout);
        outcome(&text, count, elapsed_ns).context(format_args!("h2load said:\n{text}"))
    }
}

/// What h2load counted.
fn outcome(text: &str, count: u64, elapsed_ns: u64) -> Result<Outcome, Failure> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).context("a line is missing");
    let succeeded = line("status codes: ")?.split(' ').next().and_then(|number| number.parse::<u64>().ok());
    let completed = succeeded.context("the count of successes")?;
    if completed != count {
        return Err(Failure(format!("{completed} of {count} calls succeeded")));
    }
    let rate = line("finished in ")?.split(", ").nth(1).and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    // h2load's own clock leaves out its start.
    let elapsed = rate.filter(|rate| *rate > 0.0).map(|rate| (completed as f64 / rate * 1e9) as u64);
    Ok(Outcome { completed, elapsed_ns: elapsed.unwrap_or(elapsed_ns), ..Outcome::default() })
}

/// An origin that echoes over HTTP/2 without TLS and ends every answer with `grpc-status: 0`.
#[derive(Debug)]
pub struct EchoOrigin {
    child: Child,
    reserved: Reserved,
}

impl EchoOrigin {
    /// Starts one, where the caller may run.
    pub fn start(directory: &Path) -> Result<EchoOrigin, Failure> {
        let reserved = Reserved::new()?;
        let address = reserved.address();
        let output = File::create(directory.join("nghttpd.txt")).context("making a file for nghttpd's output")?;
        let child = Command::new("nghttpd")
            .args(["--no-tls", "--echo-upload", "--trailer", "grpc-status: 0", "-m", "1000", "-a"])
            .arg(address.ip().to_string())
            .arg(address.port().to_string())
            .stdin(Stdio::null())
            .stderr(output.try_clone().context("making a file for nghttpd's output")?)
            .stdout(output)
            .spawn()
            .context("starting nghttpd")?;
        let origin = EchoOrigin { child, reserved };
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return Err(Failure::new("nghttpd does not listen"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(origin)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.reserved.address()
    }
}

impl Drop for EchoOrigin {
    fn drop(&mut self) {
        // It keeps nothing that an orderly end would save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs from Debian what is missing.
pub fn install() -> Result<(), Failure> {
    let missing =
        |program: &str| !["/usr/bin", "/usr/sbin"].iter().any(|place| Path::new(place).join(program).is_file());
    let mut packages = Vec::new();
    if missing("h2load") {
        packages.push("nghttp2-client");
    }
    if missing("nghttpd") {
        packages.push("nghttp2-server");
    }
    debian::install(&packages)
}

#[cfg(test)]
mod tests {
    use super::outcome;

    const TEXT: &str = "starting benchmark...\nfinished in 500.00ms, 40000.00 req/s, 2.87MB/s\n\
        requests: 20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn what_h2load_says_is_read() {
        let read = outcome(TEXT, 20_000, 1).unwrap();
        assert_eq!((read.completed, read.elapsed_ns), (20_000, 500_000_000));
        assert!(outcome(TEXT, 20_001, 1).is_err() && outcome("", 1, 1).is_err());
    }
}
