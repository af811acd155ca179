//! `smuggling-h1.jsonl` through the gateway to an origin that records every byte.
//!
//! What must be rejected is rejected; what reaches the origin is well formed, and two parsers read it alike.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::harness::Client;
use crate::harness::data::data;
use crate::harness::message::bytes_of;
use crate::harness::recording::{MARK, recorders, taken};
use crate::published::readings;

#[derive(Deserialize)]
struct Stream {
    id: String,
    src: String,
    raw: String,
    expect: Option<String>,
}

/// Streams that their collection calls acceptable and we refuse, each with the reason.
const STRICTER: &[(&str, &str)] = &[
    ("llhttp-uri-03-request+host", "absolute-form names another host than Host"),
    ("llhttp-uri-08-request+host", "a fragment in the target"),
    ("llhttp-content-length-01-request+host", "leading zeros in a length"),
    ("llhttp-content-length-02-request+host", "leading zeros in a length"),
    ("llhttp-transfer-encoding-06-request+host", "`Vary` and `Content-Type` as trailers"),
    ("llhttp-transfer-encoding-20-request+host", "a transfer coding besides chunked (501)"),
    ("llhttp-transfer-encoding-21-request+host", "a transfer coding besides chunked, on two lines"),
    ("llhttp-pipelining-01-request+host", "no Host in the second request"),
    ("llhttp-sample-10-request", "HTTP/0.9"),
    ("llhttp-method-12-request", "ICE is not HTTP"),
    ("llhttp-method-13-request", "RTSP is not HTTP"),
    ("llhttp-method-14-request", "RTSP is not HTTP"),
    ("desync-more-compliant-tests-05", "a transfer coding besides chunked (501)"),
    ("desync-more-compliant-tests-07", "a transfer coding besides chunked (501)"),
    ("desync-more-compliant-tests-08", "a transfer coding besides chunked, on five lines"),
    ("desync-more-compliant-tests-09", "a parameter of chunked"),
    ("desync-rfc-compliant-08", "a transfer coding besides chunked, on five lines"),
    ("desync-rfc-compliant-09", "a transfer coding besides chunked (501)"),
    ("desync-rfc-compliant-10", "a transfer coding besides chunked, on three lines"),
    ("desync-rfc-compliant-11", "a fragment in the target"),
    ("desync-rfc-compliant-12", "raw UTF-8 in the target"),
    ("desync-rfc-compliant-13", "an empty target"),
    ("desync-uri-specific-test-cases-10", "%09 in a path"),
    ("desync-uri-specific-test-cases-12", "%0D in a path"),
    ("desync-uri-specific-test-cases-13", "%0A in a path"),
];

/// Streams that must be rejected, of which the first request is good and what follows is never taken for one.
const LEFT_OVER: &[(&str, &str)] = &[
    ("llhttp-connection-03-request", "HTTP/1.0 closes behind its answer, so the second request is not read"),
    ("llhttp-connection-15-request+host", "four bytes behind the body, which are no request, are dropped with the end"),
];

/// Streams that are driven at the same time, each with an origin of its own.
const WORKERS: usize = 24;
/// Silence after which nothing more is expected.
const QUIET: Duration = Duration::from_millis(120);
/// Longest wait for the gateway to close what we closed.
const END: Duration = Duration::from_secs(3);

#[test]
fn hostile_streams_are_rejected_or_have_one_meaning() {
    let Some(text) = data("smuggling-h1.jsonl") else { return };
    let streams: Vec<Stream> = text.lines().map(|line| serde_json::from_str(line).expect("a stream")).collect();
    assert!(streams.len() > 2_000);
    let (origins, gateway) = recorders(WORKERS, "");
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (worker, origin) in origins.iter().enumerate() {
            let (here, next, outcomes, streams) = (gateway.address(&format!("l{worker}")), &next, &outcomes, &streams);
            scope.spawn(move || {
                while let Some(stream) = streams.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ending = drive(stream, here);
                    let received = taken(origin);
                    outcomes.lock().expect("no worker panics with it").push((stream, ending, received));
                }
            });
        }
    });
    judge(&outcomes.into_inner().expect("no worker panicked with it"));
}

fn judge(outcomes: &[(&Stream, &'static str, Vec<Vec<u8>>)]) {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut forwarded = 0;
    for (stream, ending, received) in outcomes {
        *counts.entry((&stream.src, ending)).or_default() += 1;
        let listed = STRICTER.iter().any(|(id, _)| *id == stream.id);
        match stream.expect.as_deref() {
            Some("reject") if LEFT_OVER.iter().any(|(id, _)| *id == stream.id) => only_the_first(stream, received),
            Some("reject") if *ending == "forwarded" => wrong.push(format!("accepted: {}", stream.id)),
            Some("accept") if *ending == "refused" && !listed => wrong.push(format!("refused: {}", stream.id)),
            Some("accept") if *ending != "refused" && listed => wrong.push(format!("{ending}: {}", stream.id)),
            _ => {}
        }
        for bytes in received {
            match (readings::ours(bytes), readings::theirs(bytes)) {
                (Ok(ours), Ok(theirs)) if alike(&ours, &theirs) => forwarded += ours.len(),
                (ours, theirs) => wrong.push(format!("{}: read as {ours:?} and as {theirs:?}", stream.id)),
            }
        }
    }
    for ((family, ending), count) in counts {
        println!("{family:32} {ending:10} {count}");
    }
    println!("requests that reached an origin: {forwarded}");
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), outcomes.len(), &wrong[..wrong.len().min(20)]);
    assert!(forwarded > 40, "{forwarded}");
}

fn only_the_first(stream: &Stream, received: &[Vec<u8>]) {
    let count: usize = received.iter().map(|bytes| readings::ours(bytes).map_or(0, |readings| readings.len())).sum();
    assert_eq!(count, 1, "{}", stream.id);
}

fn alike(ours: &[readings::Reading], theirs: &[readings::Reading]) -> bool {
    // Where the stream ends within a body, a parser may give what it has of it or nothing.
    let whole = |reading: &readings::Reading| match reading.cut {
        true => readings::Reading { body: Vec::new(), ..reading.clone() },
        false => reading.clone(),
    };
    ours.iter().map(whole).eq(theirs.iter().map(whole))
}

/// Sends a stream, and says how its connection ended.
fn drive(stream: &Stream, here: std::net::SocketAddr) -> &'static str {
    let raw = bytes_of(&stream.raw);
    let mut client = Client::to(here);
    client.send(&raw);
    client.patience(QUIET);
    let (mut came, mut end) = client.rest();
    if end.is_err() {
        // Nothing more comes by itself.
        client.finish();
        client.patience(END);
        let (more, ended) = client.rest();
        came.extend(more);
        end = ended;
    }
    let came = String::from_utf8_lossy(&came).into_owned();
    let last = came.rfind("HTTP/1.1 ").map(|at| &came[at..]);
    match (last, end) {
        (None, Ok(())) => "cut off",
        (None, Err(_)) => "no end",
        (Some(last), _) if last.contains(MARK) => "forwarded",
        (Some(_), _) => "refused",
    }
}

#[test]
fn the_two_parsers_are_strict() {
    let wrong: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
    ];
    for bytes in wrong {
        let shown = String::from_utf8_lossy(bytes);
        assert!(readings::ours(bytes).is_err(), "ours takes {shown:?}");
        assert!(readings::theirs(bytes).is_err(), "theirs takes {shown:?}");
    }
    let good = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n\
                 GET /b HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\nokGET /c HTTP/1.1\r\nHost: c\r\n\r\n";
    let ours = readings::ours(good).expect("well formed");
    assert_eq!(ours.len(), 3);
    assert_eq!(ours, readings::theirs(good).expect("well formed"));
}
