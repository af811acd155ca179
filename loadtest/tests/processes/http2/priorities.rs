// SPDX-License-Identifier: Apache-2.0
//! Streams of one connection share it: small answers beside downloads, urgency (RFC 9218), events as they come.
//!
//! What is measured is how many bytes of others come before what was asked for, and no time.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::http2::{Lines, Origin2, field, to, web2};
use crate::harness::origin::ok;
use crate::harness::tool::Nginx;
use crate::harness::{Gateway, Origin, wait_still};

/// What may lie in sockets and queues before something that is more urgent: the client's socket, what the kernel keeps
/// beyond what it has sent, one write, and what is queued.
const AHEAD: u64 = 512 << 10;

/// `/bytes/N` is that long, `/urgent/N` too, and says of itself that it is urgent; anything else is small.
fn origin1() -> Origin {
    Origin::with(|peer| {
        loop {
            let request = peer.request()?;
            let (kind, count) = request.target[1..].split_once('/').unwrap_or(("", ""));
            let Ok(count) = count.parse::<usize>() else {
                peer.send(ok("here"));
                continue;
            };
            let more = if kind == "urgent" { "Priority: u=0\r\n" } else { "" };
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n{more}\r\n"));
            let piece = vec![b'x'; 64 << 10];
            for at in (0..count).step_by(piece.len()) {
                peer.send(&piece[..piece.len().min(count - at)]);
            }
        }
    })
}

/// An origin that a gateway stands before.
struct Before {
    version: &'static str,
    runs: Runs,
}

/// Where an origin runs.
enum Runs {
    /// In this process.
    Process(u32),
    /// In threads of ours, which are called so.
    Threads(String),
}

impl fmt::Display for Before {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.version)
    }
}

/// Does something with a gateway before an origin of each version.
fn before_each(act: impl Fn(&Gateway, &Before)) {
    let one = origin1();
    act(&web2(to(one.address, "1.1", "")).start(), &Before { version: "1.1", runs: Runs::Threads(one.thread_name()) });
    let files = tempfile::tempdir().expect("a folder");
    for (folder, count) in SIZES {
        fs::create_dir_all(files.path().join(folder)).expect("a folder in ours");
        let file = File::create(files.path().join(format!("{folder}/{count}"))).expect("a file in our folder");
        file.set_len(*count).expect("room for nothing");
    }
    let two = Nginx::start_prior(&format!(
        "root {}; location /urgent {{ add_header priority u=0; }} location = /here {{ return 200 here; }}",
        files.path().display()
    ));
    act(&web2(to(two.address, "2", "")).start(), &Before { version: "2", runs: Runs::Process(two.worker()) });
}

/// What is asked for.
const SIZES: &[(&str, u64)] = &[("bytes", LARGE), ("bytes", SMALL), ("urgent", SMALL)];

/// What nobody reads to its end.
const LARGE: u64 = 30_000_000;

/// What the gateway holds of an answer in any case, so that it is all there when its turn comes.
const SMALL: u64 = 60_000;

/// A client that counts: `h2_turns.py`, and everybody else who has a part in its downloads.
struct Turns {
    client: Lines,
    processes: Vec<u32>,
    origin: String,
}

impl Turns {
    fn of(gateway: &Gateway, origin: &Runs) -> Turns {
        let client = Lines::start("h2_turns.py", &[&gateway.here().to_string()]);
        let mut processes = vec![client.pid(), gateway.pid()];
        let origin = match origin {
            Runs::Process(pid) => {
                processes.push(*pid);
                String::new()
            }
            Runs::Threads(name) => name.clone(),
        };
        Turns { client, processes, origin }
    }

    /// One step, and what has come behind it, by stream.
    fn step(&mut self, step: &Value) -> HashMap<u32, u64> {
        let said = self.client.say(step);
        assert_eq!(said["good"], true, "{step}: {said}");
        let bytes = said["bytes"].as_object().expect("an object");
        let count = |(stream, count): (&String, &Value)| Some((stream.parse().ok()?, count.as_u64()?));
        bytes.iter().filter_map(count).collect()
    }

    fn ask(&mut self, stream: u32, path: &str, priority: &str) {
        let fields = if priority.is_empty() { json!([]) } else { json!([["priority", priority]]) };
        self.step(&json!(["ask", stream, path, fields]));
    }

    /// Waits until nothing more fits between the gateway and the client, which does not read between two steps, and
    /// what was asked for is there: then everybody waits for somebody else.
    fn settle(&self) {
        wait_still(&self.processes, &self.origin);
    }
}

fn of(bytes: &HashMap<u32, u64>, stream: u32) -> u64 {
    bytes.get(&stream).copied().unwrap_or(0)
}

/// Downloads with this priority, so many that each has to wait for long, when nothing more fits anywhere.
fn filled(gateway: &Gateway, origin: &Before, count: u32, priority: &str) -> Turns {
    let mut turns = Turns::of(gateway, &origin.runs);
    for stream in (1..2 * count).step_by(2) {
        turns.ask(stream, &format!("/bytes/{LARGE}"), priority);
    }
    turns.step(&json!(["came", 2 * count - 1, 100_000]));
    turns.settle();
    turns
}

/// How many bytes of others come before a stream is over.
fn before_end(turns: &mut Turns, stream: u32) -> u64 {
    turns.settle();
    let before = turns.step(&json!(["came", 1, 0]));
    let after = turns.step(&json!(["over", stream]));
    let sum = |bytes: &HashMap<u32, u64>| bytes.values().sum::<u64>() - of(bytes, stream);
    assert_eq!(of(&after, stream), SMALL);
    sum(&after) - sum(&before)
}

#[test]
fn a_download_does_not_delay_small_answers() {
    before_each(|gateway, origin| {
        let mut turns = filled(gateway, origin, 1, "");
        let mut most = 0;
        for stream in [3, 5, 7, 9, 11] {
            let before = of(&turns.step(&json!(["ask", stream, "/here", []])), 1);
            turns.settle();
            let headed = of(&turns.step(&json!(["headed", stream])), 1);
            let over = of(&turns.step(&json!(["over", stream])), 1);
            assert!(over - headed <= 64 << 10, "{origin}: {} bytes within a small answer", over - headed);
            most = most.max(over - before);
            turns.settle();
        }
        println!("{origin}: at most {} KiB before a small answer", most >> 10);
        assert!(most <= AHEAD, "{origin}: {most} bytes of the download before a small answer");
    });
}

/// In turns, the others would have more than a megabyte before the end.
#[test]
fn urgent_streams_overtake() {
    before_each(|gateway, origin| {
        let mut turns = filled(gateway, origin, 24, "u=7");
        turns.ask(49, &format!("/bytes/{SMALL}"), "u=0");
        let others = before_end(&mut turns, 49);
        println!("{origin}: {} KiB of others before what is urgent", others >> 10);
        assert!(others <= AHEAD, "{origin}: {others} bytes that are not urgent");
    });
}

#[test]
fn equals_share() {
    before_each(|gateway, origin| {
        let mut turns = filled(gateway, origin, 1, "u=7");
        let streams = [3, 5, 7, 9];
        for stream in streams {
            turns.ask(stream, &format!("/bytes/{SMALL}"), "i");
        }
        turns.settle();
        turns.step(&json!(["came", 3, SMALL / 2]));
        let shares = turns.step(&json!(["came", 5, SMALL / 2]));
        let shares = streams.map(|stream| of(&shares, stream));
        println!("{origin}: bytes of each {shares:?}");
        // A frame is 16 KiB, and one may be cut by the end of a write.
        let near = |count: &u64| count.abs_diff(SMALL / 2) <= 2 * 16_384;
        assert!(shares.iter().all(near), "{origin}: {shares:?}");
    });
}

/// As it is asked for it would come last of all.
#[test]
fn priorities_change_on_the_way() {
    before_each(|gateway, origin| {
        let mut turns = filled(gateway, origin, 24, "u=5");
        turns.ask(49, &format!("/bytes/{SMALL}"), "u=6");
        turns.settle();
        turns.step(&json!(["priority", 49, "u=1"]));
        let others = before_end(&mut turns, 49);
        println!("{origin}: {} KiB of others before what became urgent", others >> 10);
        assert!(others <= AHEAD, "{origin}: {others} bytes of the less urgent");
    });
}

/// A frame costs the client and the gateway work, however small it is.
#[test]
fn downloads_side_by_side_come_in_large_frames() {
    before_each(|gateway, origin| {
        let mut turns = filled(gateway, origin, 10, "");
        let said = turns.client.say(&json!(["came", 19, 2_000_000]));
        let bytes = said["bytes"].as_object().expect("an object").values().filter_map(Value::as_u64).sum::<u64>();
        let mean = bytes / said["frames"].as_u64().expect("a count");
        println!("{origin}: {mean} bytes in a frame");
        // An origin of HTTP/2 sends frames of 8 KiB, which go on as they come.
        let least = if origin.to_string() == "1.1" { 12 << 10 } else { 5 << 10 };
        assert!(mean >= least, "{origin}: {mean} bytes in a frame");
    });
}

/// RFC 9218 section 8: the origin may know better than the client.
#[test]
fn an_origin_may_say_how_urgent_its_answer_is() {
    before_each(|gateway, origin| {
        let mut turns = filled(gateway, origin, 24, "u=5");
        turns.ask(49, &format!("/urgent/{SMALL}"), "u=6");
        let others = before_end(&mut turns, 49);
        println!("{origin}: {} KiB of others before what the origin calls urgent", others >> 10);
        assert!(others <= AHEAD, "{origin}: {others} bytes of the less urgent");
    });
}

#[test]
fn the_signal_goes_on_to_the_origin() {
    let one = origin1();
    let gateway = web2(to(one.address, "1.1", "")).start();
    let mut turns = Turns::of(&gateway, &Runs::Threads(one.thread_name()));
    turns.ask(1, "/here", "u=2, i");
    turns.step(&json!(["over", 1]));
    assert_eq!(one.last().field("priority"), "u=2, i");
    let two = Origin2::start();
    let gateway = web2(to(two.address, "2", "")).start();
    let mut turns = Turns::of(&gateway, &Runs::Process(two.pid()));
    turns.ask(1, "/here", "u=2, i");
    turns.step(&json!(["over", 1]));
    assert_eq!(field(&two.last()["fields"], "priority"), Some("u=2, i"));
}

/// An event is made only when the one before it has arrived: whoever gathers events would wait for ever, and whoever
/// waits for an acknowledgement before each takes 40 ms or more for every one.
#[test]
fn events_of_an_origin_of_http2_leave_when_they_come() {
    let origin = Origin2::start();
    let gateway = web2(to(origin.address, "2", "")).start();
    let mut client = Lines::start("h2_leaver.py", &[&gateway.here().to_string(), "/events"]);
    assert_eq!(client.hear(), "asked");
    origin.wait("request", 1);
    let mut expected = String::new();
    let mut shortest = Duration::MAX;
    for number in 0..100 {
        let started = Instant::now();
        assert_eq!(gateway.get("/emit").status, 200);
        expected += &format!("data: {number}\n\n");
        assert_eq!(client.say(&json!("come")), json!(expected));
        shortest = shortest.min(started.elapsed());
    }
    println!("an event within {shortest:?}");
    assert!(shortest < Duration::from_millis(40), "{shortest:?}: every event waited for an acknowledgement");
    assert_eq!(client.say(&json!("frames")), json!(100), "a frame for each event");
}
