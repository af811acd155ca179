// SPDX-License-Identifier: Apache-2.0
//! WebSocket clients and servers of others, over both versions of HTTP.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::harness::gateway::signal;
use crate::harness::tool::{Output, python, script};
use crate::harness::{PATIENCE, Setup, run};

/// What a side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Http1,
    Http2,
}

use Speaks::{Http1, Http2};

/// Client and upstream, in every combination.
pub const BRIDGES: [(Speaks, Speaks); 4] = [(Http1, Http1), (Http1, Http2), (Http2, Http1), (Http2, Http2)];

/// A Python program whose lines are read one by one.
pub struct Talker {
    child: Child,
    lines: Receiver<String>,
    stdin: Option<ChildStdin>,
}

impl Talker {
    pub fn start(program: &str, arguments: &[&str]) -> Talker {
        let mut command = Command::new(python());
        command.arg(script(program)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", python().display()));
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let stdin = child.stdin.take();
        Talker { child, lines, stdin }
    }

    /// The next line.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(2 * PATIENCE).expect("a line; are websockets, h2 and wsproto installed?")
    }

    /// Does it say nothing for a while?
    pub fn waits(&self) -> bool {
        self.lines.recv_timeout(std::time::Duration::from_millis(400)).is_err()
    }

    /// Lets it go on.
    pub fn go_on(&mut self) {
        self.stdin.take().expect("piped").write_all(b"\n").expect("it waits");
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}

/// An echo server.
pub struct Server {
    pub talker: Talker,
    pub port: u16,
    speaks: Speaks,
}

impl Server {
    pub fn start(speaks: Speaks) -> Server {
        match speaks {
            Http1 => Server::of("echo_server.py", &[], speaks),
            Http2 => Server::of("ws_h2_server.py", &[], speaks),
        }
    }

    pub fn of(program: &str, arguments: &[&str], speaks: Speaks) -> Server {
        let talker = Talker::start(program, arguments);
        let port = talker.line().parse().expect("a port");
        Server { talker, port, speaks }
    }

    /// A gateway before it, with these lines more in its one route.
    pub fn behind(&self, route: &str) -> Setup {
        let version = match self.speaks {
            Http1 => "1.1",
            Http2 => "2",
        };
        let listener = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nhttp2 = { cleartext = true }\n";
        let upstream = format!("[upstream.ws]\nendpoints = [\"127.0.0.1:{}\"]\nhttp = \"{version}\"\n", self.port);
        Setup::new(format!("{listener}{upstream}[[route]]\nname = \"ws\"\nto = \"ws\"\n{route}\n"))
            .server("watch = false\ndrain_timeout = \"8s\"")
    }

    /// The code that the next WebSocket to end was closed with.
    pub fn closed(&self) -> String {
        let line = self.talker.line();
        line.strip_prefix("closed ").unwrap_or_else(|| panic!("{line}")).to_owned()
    }
}

fn number(speaks: Speaks) -> &'static str {
    match speaks {
        Http1 => "1",
        Http2 => "2",
    }
}

/// Runs a client to its end and gives its last line.
pub fn client(speaks: Speaks, url: &str, what: &[&str]) -> String {
    let path = script("ws_client.py");
    let arguments = [&[path.to_str().expect("a path"), number(speaks), url], what].concat();
    let out: Output = run(python(), &arguments);
    assert_eq!(out.code, 0, "{speaks:?} {what:?}: {}", out.all());
    out.text().trim().lines().last().unwrap_or("").to_owned()
}

/// A client that says `open` first.
pub fn held(speaks: Speaks, url: &str, what: &str) -> Talker {
    let talker = Talker::start("ws_client.py", &[number(speaks), url, what]);
    assert_eq!(talker.line(), "open");
    talker
}
