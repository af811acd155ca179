// SPDX-License-Identifier: Apache-2.0
//! `turnpike trace`: shows requests and connections as they pass, to whoever asked, for a time.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use crate::harness::certificates::Authority;
use crate::harness::gateway::binary;
use crate::harness::tool::reserved;
use crate::harness::{Client, Gateway, Origin, PATIENCE, Setup, run, wait_for};

/// A `turnpike trace` that runs.
struct Trace {
    child: Child,
    lines: Receiver<String>,
}

impl Trace {
    /// Begins one and waits until the threads of the gateway follow it.
    fn begin(gateway: &Gateway, arguments: &[&str]) -> Trace {
        let mut command = Command::new(binary());
        command.arg("trace").arg("--control-socket").arg(gateway.path("control.sock")).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let trace = Trace { child, lines };
        assert!(trace.line().starts_with("tracing "));
        // The order waits in each thread's queue, and what the status document asks of a thread waits behind it. Where
        // a thread is late, the document shows what it reported before.
        let told = Instant::now();
        wait_for("the threads to know", || {
            let age = gateway.status()["reports_age_seconds"].as_f64()?;
            (age < told.elapsed().as_secs_f64()).then_some(())
        });
        trace
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }

    /// The next request's lines.
    fn request(&self) -> Vec<String> {
        let mut lines = vec![self.line()];
        while lines.last().is_some_and(|line| !line.starts_with("  outcome")) {
            lines.push(self.line());
        }
        lines
    }

    /// The lines that come before the output ends.
    fn rest(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            lines.push(line);
        }
        assert!(self.child.wait().expect("our child").success());
        lines
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The words of the lines with this label.
fn labelled<'a>(lines: &'a [String], label: &str) -> Vec<&'a str> {
    let of = |line: &'a String| line.trim_start().strip_prefix(label)?.strip_prefix(' ').map(str::trim_start);
    lines.iter().skip(1).filter_map(of).collect()
}

#[test]
fn a_request_is_shown_with_its_way_and_without_secrets() {
    let origin = Origin::echo();
    let gateway = Setup::web(format!(
        "[upstream.pool]\nendpoints = \"{}\"\n\
         [policy.keys]\napi_key = {{}}\n[policy.few]\nrate_limit = {{ rate = \"1/h\", key = \"consumer\" }}\n\
         [[consumer]]\nname = \"acme\"\nkeys = [{{ key = \"${{KEY}}\" }}]\n\
         [[route]]\nname = \"users\"\npath = \"/users/{{id}}\"\nto = \"pool\"\npolicies = [\"keys\", \"few\"]\n\
         [[route]]\nname = \"rest\"\npath_prefix = \"/users\"\nto = \"pool\"\n\
         headers = {{ x-inner = \"${{INNER}}\" }}\n",
        origin.address
    ))
    .variable("KEY", "key-of-acme-00001")
    .variable("INNER", "inner-word-00001")
    .start();
    let trace = Trace::begin(&gateway, &["--client", "127.0.0.0/8"]);
    let mut client = gateway.client();
    let request = "GET /users/7?token=my-token&my-flag HTTP/1.1\r\nHost: test\r\nAuthorization: Basic bXktcGFzcw==\r\n\
                   X-Api-Key: key-of-acme-00001\r\nCookie: session=my-session\r\nX-Other: my-other\r\n\
                   X-Request-Id: one\r\nUser-Agent: agent/1 inner-word-00001\r\n\r\n";
    assert_eq!(client.ask(request).status, 200);
    let opened = trace.line();
    assert!(opened.contains("connection from 127.0.0.1:") && opened.contains(" to listener web"), "{opened}");
    let shown = trace.request();
    let all = shown.join("\n");
    for secret in ["my-token", "my-flag", "bXkt", "key-of-acme", "my-session", "my-other", "inner-word"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    assert!(shown[0].contains("GET /users/7?token=(hidden)&(hidden) HTTP/1.1: 200 after "), "{all}");
    assert_eq!(labelled(&shown, "id"), ["one"]);
    let headers = labelled(&shown, "headers");
    let expected = "host: test; authorization: (hidden); x-api-key: (hidden); cookie: (hidden); x-other: (hidden); \
                    x-request-id: one; user-agent: agent/1 ${INNER}";
    assert_eq!(headers, [expected]);
    assert_eq!(labelled(&shown, "policy"), ["keys (api_key): continued", "few (rate_limit): continued"]);
    assert_eq!(labelled(&shown, "route"), ["users: host *, path /users/{id}, id = 7"]);
    assert_eq!(labelled(&shown, "not"), ["rest (/users): its header `x-inner` is not as asked"]);
    assert_eq!(labelled(&shown, "upstream"), ["pool"]);
    let attempts = labelled(&shown, "attempt");
    assert!(attempts.len() == 1 && attempts[0].starts_with(&format!("1: {} at ", origin.address)), "{all}");
    assert!(attempts[0].contains(": connected in ") && attempts[0].contains(", response headers at "), "{all}");
    assert!(labelled(&shown, "outcome")[0].starts_with("200, 0 bytes sent, 0 bytes received, consumer acme"), "{all}");

    assert_eq!(client.ask(request).status, 429);
    let shown = trace.request();
    assert_eq!(labelled(&shown, "policy"), ["keys (api_key): continued", "few (rate_limit): responded: rate_limited"]);
    assert!(labelled(&shown, "attempt").is_empty());
    assert_eq!(client.ask(request.replace("key-of-acme", "key-of-none")).status, 401);
    let shown = trace.request();
    assert_eq!(labelled(&shown, "policy")[1], "few (rate_limit): was not asked");
    assert_eq!(client.get("/none").status, 404);
    let shown = trace.request();
    assert_eq!(labelled(&shown, "route"), ["none for host test, path /none"]);
    assert!(labelled(&shown, "not")[0].ends_with("its path does not match"), "{shown:?}");
    drop(client);
    assert!(trace.line().contains(": closed after "));
}

#[test]
fn failed_attempts_are_shown_with_their_causes() {
    let (origin, dead) = (Origin::echo(), reserved());
    let gateway = Setup::web(format!(
        "[upstream.pool]\nendpoints = [\"{}\", \"{}\"]\n[[route]]\nname = \"all\"\nto = \"pool\"\n",
        dead.address(),
        origin.address
    ))
    .start();
    let trace = Trace::begin(&gateway, &["--sample", "1"]);
    let mut client = gateway.client();
    // The endpoints take turns, so one of two requests goes to the dead one first.
    let shown = (0..2).find_map(|_| {
        assert_eq!(client.get("/").status, 200);
        let shown = trace.request();
        (labelled(&shown, "attempt").len() == 2).then_some(shown)
    });
    let shown = shown.expect("one that was sent twice");
    let attempts = labelled(&shown, "attempt");
    assert!(attempts[0].starts_with(&format!("1: {} at ", dead.address())), "{shown:?}");
    assert!(attempts[0].contains(": refused: the endpoint refused the connection"), "{shown:?}");
    assert!(attempts[1].starts_with(&format!("2: {} at ", origin.address)), "{shown:?}");
}

#[test]
fn one_request_is_found_by_its_id_and_some_by_chance() {
    let gateway = Setup::web("[[route]]\nname = \"all\"\nanswer = { body = \"here\" }\n").start();
    let one = Trace::begin(&gateway, &["--request-id", "wanted"]);
    let third = Trace::begin(&gateway, &["--sample", "3"]);
    let mut client = gateway.client();
    for id in ["a", "b", "c", "wanted", "d", "e", "f"] {
        let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Request-Id: {id}\r\n\r\n"));
        assert_eq!(answer.status, 200);
    }
    assert_eq!(labelled(&one.request(), "id"), ["wanted"]);
    assert_eq!(labelled(&third.request(), "id"), ["c"]);
    assert_eq!(labelled(&third.request(), "id"), ["e"]);
    assert!(one.lines.try_recv().is_err() && third.lines.try_recv().is_err());
}

#[test]
fn a_trace_ends_by_itself_and_with_its_reader() {
    let gateway = Setup::web("[[route]]\nname = \"all\"\nanswer = { body = \"here\" }\n").start();
    let rest = Trace::begin(&gateway, &["--sample", "1", "--for", "300ms"]).rest();
    assert_eq!(rest, ["0.300 s are over: 0 shown"]);
    // As many as may run, and each of them goes with its reader; so there is room for others soon.
    for _ in 0..2 {
        let many: Vec<Trace> = (0..16).map(|_| begun(&gateway)).collect();
        let refused = run(binary(), &["trace", "--sample", "1", "--control-socket", &socket(&gateway)]);
        assert!(refused.code != 0 && refused.all().contains("16 traces run already"), "{}", refused.all());
        drop(many);
    }
    let words = run(binary(), &["trace", "--client", "nobody", "--control-socket", &socket(&gateway)]);
    assert!(words.code != 0 && words.all().contains("`client` is no IP address"), "{}", words.all());
}

/// A trace, as soon as one more may run.
fn begun(gateway: &Gateway) -> Trace {
    wait_for("room for a trace", || {
        let mut command = Command::new(binary());
        command.args(["trace", "--sample", "1", "--control-socket", &socket(gateway)]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        if output.read_line(&mut line).is_ok_and(|count| count > 0) {
            let (_, lines) = channel();
            // The pipe stays open, so that the command does not end.
            thread::spawn(move || output.lines().map_while(Result::ok).for_each(drop));
            return Some(Trace { child, lines });
        }
        let _ = child.wait();
        None
    })
}

fn socket(gateway: &Gateway) -> String {
    gateway.path("control.sock").display().to_string()
}

#[test]
fn tunnels_are_shown_when_they_begin_and_connections_that_fail_say_why() {
    let origin = Origin::with(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n");
        peer.read_to_end();
        Ok(())
    });
    let gateway = Setup::web(format!(
        "[[listener]]\nname = \"tls\"\nbind = \"127.0.0.2:0\"\n\
         tls = {{ certificates = {{ cert = \"{{dir}}/a.pem\", key = \"{{dir}}/a.key\" }} }}\n\
         [[route]]\nname = \"all\"\nto = \"{}\"\n",
        origin.url()
    ));
    let pair = Authority::new("root").sign(&["a.test"]);
    let gateway = gateway.file("a.pem", &pair.certificate).file("a.key", &pair.key).start();
    let trace = Trace::begin(&gateway, &["--client", "127.0.0.0/16"]);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n");
    assert_eq!(client.head().status, 101);
    assert!(trace.line().contains(": open after "));
    let begun = trace.request();
    assert!(begun[0].contains("GET / HTTP/1.1: 101, switched to another protocol after "), "{begun:?}");
    assert_eq!(labelled(&begun, "route"), ["all: host *, path /"]);
    drop(client);
    let ended = trace.request();
    assert!(ended[0].contains(": 101, tunnel ended after ") && labelled(&ended, "route").is_empty(), "{ended:?}");
    assert!(trace.line().contains(": closed after "));
    let mut plain = Client::to(gateway.address("tls"));
    plain.send(b"\x00\x01\x02\x03 not TLS, and longer than any header of a record\r\n\r\n");
    // The gateway waits a while for a client to read why.
    plain.finish();
    let failed = trace.line();
    assert!(failed.contains("to listener tls") && failed.contains(": closed: TLS handshake failed: "), "{failed}");
}
