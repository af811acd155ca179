// SPDX-License-Identifier: Apache-2.0
//! `turnpike reload`, `stop`, `status` and `trace`: send requests to a running process over its control socket.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::command::arguments::{StatusArguments, StopArguments, TraceArguments, default_file};
use crate::command::plural::counted;
use crate::command::running_arguments::RunningArguments;
use crate::config::{ConfigSource, Environment, load};
use crate::control::duration_words;
use crate::control::socket::running;
use crate::control::status::{BreakerStatus, EndpointStatus, LimitStatus, Status, UpstreamStatus};
use crate::control::traces::TraceRequest;
use crate::net::machine;

/// Longest wait for a response. A reload with many certificates takes several seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(100);
/// Largest answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How often `stop --wait` looks.
const LOOK: Duration = Duration::from_millis(50);

/// Makes a running process reload its configuration.
pub(super) fn reload(arguments: &RunningArguments) -> ExitCode {
    finish(ask(arguments, "POST", "/reload"))
}

/// Stops a running process.
pub(super) fn stop(arguments: &StopArguments) -> ExitCode {
    let path = if arguments.now { "/stop?now" } else { "/stop" };
    let socket = find(&arguments.running);
    let asked = socket.and_then(|socket| Ok((exchange(&socket, "POST", path)?, socket)));
    let (answer, socket) = match asked {
        Ok(asked) => asked,
        Err(words) => return failed(&words),
    };
    while arguments.wait && UnixStream::connect(&socket).is_ok() {
        std::thread::sleep(LOOK);
    }
    finish(Ok(answer))
}

/// Shows the state of a running process.
pub(super) fn status(arguments: &StatusArguments) -> ExitCode {
    let answer = match ask(&arguments.running, "GET", "/status") {
        Ok(answer) if answer.good() => answer,
        other => return finish(other),
    };
    match serde_json::from_str::<Status>(&answer.body) {
        Ok(status) if !arguments.json => print!("{}", words(&status)),
        // A process of another version may send another document; then it is printed as it is.
        Ok(_) | Err(_) => print!("{}", answer.body),
    }
    ExitCode::SUCCESS
}

/// Shows requests as they pass a running process, until the time is over or the process or this one ends.
pub(super) fn trace(arguments: &TraceArguments) -> ExitCode {
    let query = query(arguments);
    // Whatever is wrong with it is said before a process is asked.
    let shown = TraceRequest::parse(&query).and_then(|_| follow(&find(&arguments.running)?, &query, &mut io::stdout()));
    shown.map_or_else(|words| failed(&words), |()| ExitCode::SUCCESS)
}

fn query(arguments: &TraceArguments) -> String {
    let TraceArguments { running: _, client, request_id, sample, length } = arguments;
    let client = client.as_ref().map(|client| format!("client={client}"));
    let request_id = request_id.as_ref().map(|id| format!("request_id={id}"));
    let sample = sample.as_ref().map(|one_of| format!("sample={one_of}"));
    let selection = client.or(request_id).or(sample).unwrap_or_default();
    format!("{selection}&for={length}")
}

/// Writes what a trace shows as it comes. A response to HTTP/1.0 ends with its connection and is not in chunks.
fn follow(socket: &Path, query: &str, out: &mut impl Write) -> Result<(), String> {
    let with_path = |error: io::Error| format!("{}: {error}", socket.display());
    let mut stream = UnixStream::connect(socket).map_err(with_path)?;
    stream.write_all(format!("POST /trace?{query} HTTP/1.0\r\n\r\n").as_bytes()).map_err(with_path)?;
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).map_err(with_path)? == 0 {
            return Err(format!("{}: the response is not complete", socket.display()));
        }
    }
    if !head.starts_with(b"HTTP/1.0 200") && !head.starts_with(b"HTTP/1.1 200") {
        let mut words = String::new();
        let _ = reader.read_to_string(&mut words);
        return Err(words.trim_end().to_owned());
    }
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(with_path)? > 0 {
        // Whoever reads the output may have had enough of it.
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            break;
        }
        line.clear();
    }
    Ok(())
}

fn finish(outcome: Result<AdminReply, String>) -> ExitCode {
    match outcome {
        Ok(answer) if answer.good() => {
            print!("{}", answer.body);
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            eprint!("{}", answer.body);
            ExitCode::FAILURE
        }
        Err(words) => failed(&words),
    }
}

fn failed(words: &str) -> ExitCode {
    eprintln!("error: {words}");
    ExitCode::FAILURE
}

fn ask(arguments: &RunningArguments, method: &str, path: &str) -> Result<AdminReply, String> {
    exchange(&find(arguments)?, method, path)
}

/// The control socket that the arguments mean.
pub(super) fn find(arguments: &RunningArguments) -> Result<PathBuf, String> {
    if let Some(path) = &arguments.control_socket {
        return Ok(path.clone());
    }
    if let Some(file) = &arguments.config {
        let named = named_socket(file);
        if let Ok(Some(path)) = named {
            return Ok(path);
        }
        // Never another process than the one that runs this file. It may have been edited and be wrong now.
        let found: Vec<PathBuf> = running().into_iter().filter(|socket| serves(socket, file)).collect();
        return match named {
            Err(reports) if found.is_empty() => Err(format!(
                "{} is wrong, so the control socket of its process is not known; `--control-socket PATH` names the \
                 socket\n\n{reports}",
                file.display()
            )),
            Ok(_) | Err(_) => only(found, Some(file)),
        };
    }
    let found = running();
    // A process that runs as another user has its socket elsewhere, where its configuration names it.
    let default = if found.is_empty() { default_file().and_then(|file| named_socket(&file).ok()?) } else { None };
    default.map_or_else(|| only(found, None), Ok)
}

/// The control socket that a configuration file names; where the file is wrong, what is wrong with it.
fn named_socket(file: &Path) -> Result<Option<PathBuf>, String> {
    let loaded = load(&ConfigSource::File(file.to_owned()), &Environment::of_process(machine::wall()));
    loaded.map(|loaded| loaded.plan.process.control_socket.clone()).map_err(|reports| reports.plain())
}

/// Whether the process behind a control socket runs this configuration file.
fn serves(socket: &Path, file: &Path) -> bool {
    let answer = exchange(socket, "GET", "/status").ok().filter(AdminReply::good);
    let Some(status) = answer.and_then(|answer| serde_json::from_str::<Status>(&answer.body).ok()) else {
        return false;
    };
    // The process was given the path relative to its own working directory.
    let folder = fs::read_link(format!("/proc/{}/cwd", status.pid)).unwrap_or_default();
    match (fs::canonicalize(folder.join(&status.config)), fs::canonicalize(file)) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn only(found: Vec<PathBuf>, file: Option<&Path>) -> Result<PathBuf, String> {
    let with = file.map_or_else(String::new, |file| format!(" with {}", file.display()));
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(format!("no running turnpike of this user{with} was found; `--control-socket PATH` names one")),
        many => {
            let paths: Vec<String> = many.iter().map(|path| format!("  --control-socket {}", path.display())).collect();
            Err(format!("several turnpike processes{with} are running; choose one:\n{}", paths.join("\n")))
        }
    }
}

/// What a process answered.
#[derive(Debug, PartialEq, Eq)]
struct AdminReply {
    status: u16,
    body: String,
}

impl AdminReply {
    fn good(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

fn exchange(socket: &Path, method: &str, path: &str) -> Result<AdminReply, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: turnpike\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let bytes = read().map_err(|error| format!("{}: {error}", socket.display()))?;
    parse(&bytes).ok_or_else(|| format!("{}: the response is not complete", socket.display()))
}

/// Parses the head and body of a response that ends with its connection.
fn parse(bytes: &[u8]) -> Option<AdminReply> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    let length_field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let content_length: usize = std::str::from_utf8(length_field?.value).ok()?.parse().ok()?;
    let body = bytes.get(length..).filter(|body| body.len() == content_length)?;
    Some(AdminReply { status: head.code?, body: String::from_utf8_lossy(body).into_owned() })
}

/// The document for people.
fn words(status: &Status) -> String {
    let uptime = duration_words(Duration::from_secs(status.uptime_seconds));
    let mut lines = vec![
        format!("turnpike {} (pid {}) is {} for {uptime}", status.version, status.pid, status.state),
        format!(
            "configuration {}: plan {}, {} taken into use, {} refused",
            status.config, status.generation, status.reloads_done, status.reloads_refused
        ),
        format!(
            "{} on {}: {}, {} now, {} in all",
            counted(status.shards as u64, "shard"),
            status.driver,
            counted(status.connections, "connection"),
            counted(status.requests_active, "request"),
            status.requests
        ),
    ];
    if status.log_lines_dropped > 0 {
        lines.push(format!("{} lines of the access log were lost", status.log_lines_dropped));
    }
    lines.extend(status.admin.iter().map(|address| format!("admin on {address}")));
    for listener in &status.listeners {
        let tls = if listener.tls { " (TLS)" } else { "" };
        lines.push(format!("listener {} on {}{tls}", listener.name, listener.addresses.join(", ")));
    }
    if status.shards_reported < status.shards as u64 || status.reports_age_seconds >= REPORTS_AGE_SHOWN {
        lines.push(format!(
            "upstreams as {} of {} shards saw them up to {:.0} s ago",
            status.shards_reported, status.shards, status.reports_age_seconds
        ));
    }
    for upstream in &status.upstreams {
        lines.push(upstream_words(upstream));
        lines.extend(upstream.endpoints.iter().map(endpoint_words));
        lines.extend(upstream.unresolved.iter().map(|reason| format!("  unresolved: {reason}")));
    }
    lines.extend(status.limits.iter().map(limit_words));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn limit_words(limit: &LimitStatus) -> String {
    let keys = limit.keys_held.max(limit.accounts);
    let mut facts = vec![format!("{keys} keys"), format!("{} admitted", limit.admitted)];
    let counts = [
        (limit.returned, "not counted"),
        (limit.refused, "refused"),
        (limit.reported, "would have been refused"),
        (limit.waited, "waited for another shard"),
        (limit.uncounted, "could not be counted"),
        (limit.keys_given_up, "keys given up"),
    ];
    facts.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")));
    for leases in &limit.leases {
        let (of, taken, back) = (&leases.counted_in, leases.leased, leases.given_back);
        facts.push(format!("{taken} leased of {of} by the {}, {back} given back", leases.window));
    }
    format!("limit {}: {}", limit.name, facts.join(", "))
}

fn endpoint_words(endpoint: &EndpointStatus) -> String {
    let name = if endpoint.name == endpoint.address { String::new() } else { format!(" {}", endpoint.name) };
    let backup = if endpoint.backup { " backup" } else { "" };
    let mut facts = vec![endpoint.health.clone()];
    let mut say = |so: bool, words: String| {
        if so {
            facts.push(words);
        }
    };
    say(!endpoint.listed, "left the list".to_owned());
    say(endpoint.draining, "drained by an operator".to_owned());
    let configured = endpoint.configured_weight.unwrap_or(endpoint.weight);
    say(configured != endpoint.weight, format!("configured weight {configured}"));
    let (ejected, seconds) = (endpoint.ejected_shards, endpoint.ejected_seconds);
    say(ejected > 0, format!("ejected on {ejected} shards for {seconds:.0} s"));
    let ramp = endpoint.slow_start_per_mille;
    say(endpoint.serving_shards > 0 && ramp < 1_000, format!("slow start at {} %", ramp / 10));
    let (active, connections) = (endpoint.requests_active, endpoint.connections);
    say(active + connections > 0, format!("{active} requests now on {connections} connections"));
    let failed: u64 = endpoint.outcomes.iter().filter(|(name, _)| !GOOD.contains(&name.as_str())).map(|(_, n)| n).sum();
    say(endpoint.requests > 0, format!("{} attempts, {failed} failed", endpoint.requests));
    if let Some(latency) = endpoint.latency_seconds.filter(|_| endpoint.requests > 0) {
        say(true, format!("latency {:.1} ms", latency * 1_000.0));
    }
    format!("  {}{name} weight {}{backup}: {}", endpoint.address, endpoint.weight, facts.join(", "))
}

fn upstream_words(upstream: &UpstreamStatus) -> String {
    let mut facts = Vec::new();
    if let Some(BreakerStatus { open_shards, half_open_shards, open_seconds, opened }) = &upstream.breaker
        && *opened > 0
    {
        let phase = match (open_shards, half_open_shards) {
            (0, 0) => "closed".to_owned(),
            (0, trying) => format!("half-open on {trying} shards"),
            (open, _) => format!("open on {open} shards for {open_seconds:.0} s"),
        };
        facts.push(format!("breaker {phase}, opened {opened} times"));
    }
    if upstream.panic_shards > 0 {
        facts.push(format!("panic mode on {} shards", upstream.panic_shards));
    }
    let (active, queued) = (upstream.requests_active, upstream.requests_queued);
    if active + queued > 0 {
        facts.push(format!("{active} requests now, {queued} waiting"));
    }
    if upstream.retries + upstream.retries_denied > 0 {
        facts.push(format!("{} retries, {} denied", upstream.retries, upstream.retries_denied));
    }
    let colon = if facts.is_empty() { "" } else { ": " };
    format!("upstream {}{colon}{}", upstream.name, facts.join("; "))
}

/// Outcomes that are no failure of the endpoint.
const GOOD: [&str; 2] = ["ok", "cancelled"];
/// Reports of this age, in seconds, are called old.
const REPORTS_AGE_SHOWN: f64 = 5.0;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::control::status::{ListenerStatus, UpstreamStatus};

    #[test]
    fn answers_are_whole_or_nothing() {
        let whole = b"HTTP/1.1 422 Unprocessable Entity\r\nContent-Length: 3\r\n\r\nno\n";
        assert_eq!(parse(whole), Some(AdminReply { status: 422, body: "no\n".into() }));
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None);
        }
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }

    #[test]
    fn a_socket_is_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("asked");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut bytes = [0; 512];
                let count = stream.read(&mut bytes).expect("read");
                assert!(count > 0, "closed behind {request:?}");
                request.extend_from_slice(&bytes[..count]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("sent");
            String::from_utf8_lossy(&request).into_owned()
        });
        assert_eq!(exchange(&path, "POST", "/reload"), Ok(AdminReply { status: 200, body: "ok".into() }));
        assert!(server.join().expect("no panic").starts_with("POST /reload HTTP/1.1\r\n"));
        let gone = exchange(&folder.path().join("missing"), "GET", "/").expect_err("nobody");
        assert!(gone.contains("missing"), "{gone}");
    }

    #[test]
    fn one_process_needs_no_name() {
        assert_eq!(only(vec!["/a".into()], None), Ok("/a".into()));
        assert!(only(Vec::new(), None).expect_err("none").contains("--control-socket"));
        assert!(only(Vec::new(), Some(Path::new("f.toml"))).expect_err("none").contains("with f.toml"));
        let several = only(vec!["/a".into(), "/b".into()], None).expect_err("several");
        assert!(several.contains("/a") && several.contains("/b"));
    }

    #[test]
    fn the_document_reads_well() {
        let endpoint = EndpointStatus {
            address: "10.0.0.1:80".into(),
            name: "a.test".into(),
            weight: 2,
            backup: true,
            health: "up".into(),
            listed: true,
            ejected_shards: 1,
            ejected_seconds: 29.2,
            slow_start_per_mille: 1_000,
            connections: 2,
            latency_seconds: Some(0.0012),
            requests: 9,
            outcomes: [("ok".into(), 5), ("timeout".into(), 4)].into(),
            ..EndpointStatus::default()
        };
        let breaker = BreakerStatus { open_shards: 2, half_open_shards: 0, open_seconds: 4.0, opened: 3 };
        let pool = UpstreamStatus {
            name: "pool".into(),
            breaker: Some(breaker),
            endpoints: vec![endpoint],
            unresolved: vec!["b.test: none".into()],
            ..UpstreamStatus::default()
        };
        let listener = ListenerStatus { name: "web".into(), addresses: vec!["[::]:443".into()], tls: true };
        let status = Status {
            version: "1".into(),
            pid: 7,
            state: "running".into(),
            uptime_seconds: 61,
            listeners: vec![listener],
            upstreams: vec![pool],
            limits: vec![LimitStatus {
                name: "few".into(),
                keys_held: 3,
                admitted: 9,
                refused: 2,
                ..LimitStatus::default()
            }],
            ..Status::default()
        };
        let said = words(&status);
        assert!(said.starts_with("turnpike 1 (pid 7) is running for 1m 1s\n"), "{said}");
        let end = "listener web on [::]:443 (TLS)\nupstream pool: breaker open on 2 shards for 4 s, opened 3 \
                   times\n  10.0.0.1:80 a.test weight 2 backup: up, ejected on 1 shards for 29 s, 0 requests now on 2 \
                   connections, 9 attempts, 4 failed, latency 1.2 ms\n  unresolved: b.test: none\nlimit few: 3 keys, 9 \
                   admitted, 2 refused\n";
        assert!(said.ends_with(end), "{said}");
    }
}
