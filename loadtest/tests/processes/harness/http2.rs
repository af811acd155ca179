// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 around the gateway: clients and an origin in Python, which share nothing with it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::tool::{Output, python, run_with, script};
use super::{Gateway, Setup, wait_for};

/// A listener for HTTP/1.1 and, by prior knowledge, HTTP/2.
pub const WEB2: &str = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nhttp2 = { cleartext = true }\n";

/// That listener, and this.
pub fn web2(text: impl AsRef<str>) -> Setup {
    Setup::new(format!("{WEB2}\n{}", text.as_ref()))
}

/// One upstream `o` at that address, spoken to in `http` ("1.1", "2" or "auto"), and a route that leads everything
/// there; `more` is about the upstream.
pub fn to(address: SocketAddr, http: &str, more: &str) -> String {
    format!(
        "[upstream.o]\nendpoints = \"{address}\"\nhttp = \"{http}\"\n{more}\n[[route]]\nname = \"all\"\nto = \"o\"\n\
         limits = {{ body = \"off\" }}\n"
    )
}

/// An origin that speaks HTTP/2 only; what it does is said in `h2_origin.py`.
#[derive(Debug)]
pub struct Origin2 {
    pub address: SocketAddr,
    child: Child,
    events: Arc<Mutex<Vec<Value>>>,
    /// Where it takes marks.
    stdin: Option<Mutex<ChildStdin>>,
    marks: AtomicU64,
}

impl Origin2 {
    /// By prior knowledge.
    pub fn start() -> Origin2 {
        Origin2::marking(&[])
    }

    /// By prior knowledge, with a setting such as `window=1000`.
    pub fn with_setting(setting: &str) -> Origin2 {
        Origin2::marking(&[setting])
    }

    /// Another program that prints its port first.
    pub fn program(name: &str) -> Origin2 {
        Origin2::with(name, &[])
    }

    /// Over TLS, with the files of a certificate and its key.
    pub fn tls(certificate: &str, key: &str) -> Origin2 {
        Origin2::marking(&[certificate, key])
    }

    fn marking(arguments: &[&str]) -> Origin2 {
        let mut origin = Origin2::with("h2_origin.py", arguments);
        origin.stdin = origin.child.stdin.take().map(Mutex::new);
        origin
    }

    fn with(name: &str, arguments: &[&str]) -> Origin2 {
        let (mut child, mut lines) = spawn(name, arguments, Stdio::piped());
        let mut line = String::new();
        lines.read_line(&mut line).expect("a port");
        let port: u16 = line.trim().parse().unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("no port: is the package h2 installed?")
        });
        let events = Arc::<Mutex<Vec<Value>>>::default();
        let into = events.clone();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                into.lock().expect("no test thread panics with it").push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        Origin2 {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            child,
            events,
            stdin: None,
            marks: AtomicU64::new(0),
        }
    }

    /// What happened so far, of one kind: everything that it has seen until now.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.catch_up();
        self.known(|event| event["event"] == kind)
    }

    fn known(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let events = self.events.lock().expect("no test thread panics with it");
        events.iter().filter(|event| wanted(event)).cloned().collect()
    }

    /// Waits until a mark has come back, and so everything before it. One that is dead has nothing more to say.
    fn catch_up(&self) {
        let Some(stdin) = &self.stdin else { return };
        let mark = self.marks.fetch_add(1, Ordering::SeqCst).to_string();
        let marked = writeln!(stdin.lock().expect("no test thread panics with it"), "{mark}");
        if marked.is_ok() {
            let back = |event: &Value| event["event"] == "mark" && event["line"] == *mark;
            wait_for("a mark to come back from the origin, or its end", || {
                (!self.known(back).is_empty() || has_ended(self.pid())).then_some(())
            });
        }
    }

    /// Waits until so many events of one kind happened.
    pub fn wait(&self, kind: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} times {kind:?} at the origin");
        wait_for(&what, || Some(self.events(kind)).filter(|events| events.len() >= count))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until nobody listens there.
    pub fn wait_gone(&self) {
        wait_for("the origin to be gone", || TcpStream::connect(self.address).is_err().then_some(()));
    }

    /// The last complete request.
    pub fn last(&self) -> Value {
        self.wait("request", 1).pop().expect("one came")
    }
}

impl Drop for Origin2 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let events = self.events.lock().expect("no test thread panics with it");
            let from = events.len().saturating_sub(12);
            eprintln!("--- the origin's last events:\n{}", json!(events[from..]));
        }
    }
}

/// Has a child of ours ended, whether or not that was waited for?
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

fn spawn(name: &str, arguments: &[&str], stdin: Stdio) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(python());
    command.arg(script(name)).args(arguments).stdin(stdin).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", python().display()));
    let lines = BufReader::new(child.stdout.take().expect("piped"));
    (child, lines)
}

/// Runs one of the Python programs to its end.
pub fn script_with(name: &str, arguments: &[&str], input: &str) -> Output {
    let path = script(name);
    let all = [&[path.to_str().expect("a path")], arguments].concat();
    run_with(python(), &all, input.as_bytes())
}

/// A Python program that answers each line with a line, both JSON.
#[derive(Debug)]
pub struct Lines {
    child: Child,
    stdin: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Lines {
    /// Starts it.
    pub fn start(name: &str, arguments: &[&str]) -> Lines {
        let (mut child, lines) = spawn(name, arguments, Stdio::piped());
        let stdin = child.stdin.take().expect("piped");
        Lines { child, stdin, lines }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says something and waits for the answer.
    pub fn say(&mut self, line: &Value) -> Value {
        self.stdin.write_all(format!("{line}\n").as_bytes()).expect("it reads");
        self.hear()
    }

    /// Waits for a line.
    pub fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks over HTTP/2 by prior knowledge; see `h2_ask.py`. The whole of what it says.
pub fn ask_all(address: SocketAddr, requests: &Value) -> Value {
    let out = script_with("h2_ask.py", &[&address.to_string()], &requests.to_string());
    serde_json::from_str(&out.text()).unwrap_or_else(|error| panic!("{error}: {}", out.all()))
}

/// The answer to one request.
pub fn ask(gateway: &Gateway, request: Value) -> Value {
    ask_all(gateway.here(), &json!([request]))["answers"][0].take()
}

/// The first value of a field in `of`: a list of pairs.
pub fn field<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    let pairs = of.as_array().expect("a list of fields");
    pairs.iter().find(|pair| pair[0] == name).and_then(|pair| pair[1].as_str())
}

/// Requests without a pause, over HTTP/2; see `h2_load.py`.
#[derive(Debug)]
pub struct Load2(Lines);

impl Load2 {
    /// Starts, and waits for the first hundred answers.
    pub fn start(address: SocketAddr, path: &str, connections: usize, streams: usize) -> Load2 {
        let (address, connections, streams) = (address.to_string(), connections.to_string(), streams.to_string());
        let mut program = Lines::start("h2_load.py", &[&address, path, &connections, &streams]);
        assert_eq!(program.hear(), "going");
        Load2(program)
    }

    /// Waits until a count is as large as that.
    pub fn wait(&mut self, name: &str, count: u64) {
        let what = format!("{count} {name} of the load");
        wait_for(&what, || self.0.say(&json!("counts"))[name].as_u64().filter(|now| *now >= count));
    }

    /// Stops, and gives the counts.
    pub fn end(mut self) -> Value {
        self.0.say(&json!("stop"))
    }

    /// Stops, and panics where a request failed.
    pub fn stop(self) -> Value {
        let tally = self.end();
        println!("{tally}");
        assert_eq!(tally["failures"], json!([]), "{tally}");
        tally
    }
}

/// A counter on the metrics page.
pub fn counter(gateway: &Gateway, name: &str) -> u64 {
    let page = gateway.metrics();
    let line = page.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    let value = line.and_then(|line| line.rsplit(' ').next()).unwrap_or_else(|| panic!("no {name} on the page"));
    value.parse::<f64>().expect("a number") as u64
}
