// SPDX-License-Identifier: Apache-2.0
//! `smuggling-h1.jsonl` through the gateway to an origin that records every byte.
//!
//! What must be rejected is rejected; what reaches the origin is well formed, and two parsers read it alike.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::recording::{MARK, recorders, taken};
use crate::harness::{Client, PATIENCE};
use crate::published::cases::{Stream, bytes, smuggling_streams};
use crate::published::readings;

/// Streams that must be rejected, of which the first request is good and what follows is never taken for one.
const LEFT_OVER: &[(&str, &str)] = &[
    ("llhttp-connection-03-request", "HTTP/1.0 closes behind its answer, so the second request is not read"),
    ("llhttp-connection-15-request+host", "four bytes behind the body, which are no request, are dropped with the end"),
];

/// Streams that are driven at the same time, each with an origin of its own.
const WORKERS: usize = 24;
/// Silence after which nothing more is expected.
const QUIET: Duration = Duration::from_millis(120);

#[test]
fn hostile_streams_are_rejected_or_have_one_meaning() {
    let Some(streams) = smuggling_streams() else { return };
    // The collections want UTF-8 in a target to be refused, as a strict listener does.
    let (origins, gateway) = recorders(WORKERS, "paths = { raw_utf8 = \"reject\" }");
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
        let listed = stream.rightly_refused();
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
    let raw = bytes(&stream.raw);
    let mut client = Client::to(here);
    client.send(&raw);
    client.patience(QUIET);
    let (mut came, mut end) = client.rest();
    if end.is_err() {
        // Nothing more comes by itself.
        client.finish();
        client.patience(PATIENCE);
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
