// SPDX-License-Identifier: Apache-2.0
//! What endpoints of HTTP/2 may do, and what becomes of their clients.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::gateway::signal;
use crate::harness::http2::{Lines, Origin2, ask, ask_all, counter, to, web2};
use crate::harness::{End, Gateway, Origin, wait_for};

fn before(origin: &Origin2) -> Gateway {
    web2(to(origin.address, "2", "")).start()
}

/// The numbers of connections on which a path was asked for at the origin, `count` times.
fn connections(origin: &Origin2, path: &str, count: usize) -> Vec<u64> {
    wait_for("the heads at the origin", || {
        let heads = origin.events("head");
        let asked = heads.iter().filter(|head| head["path"] == path);
        let numbers: Vec<u64> = asked.filter_map(|head| head["connection"].as_u64()).collect();
        Some(numbers).filter(|numbers| numbers.len() >= count)
    })
}

#[test]
fn a_refused_stream_is_asked_again() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    // It was certainly not processed, so that a POST may be sent again, too.
    let answer = ask(&gateway, json!({ "path": "/refuse", "method": "POST" }));
    assert_eq!((&answer["status"], &answer["text"]), (&json!(200), &json!("here")), "{answer}");
    assert_eq!(connections(&origin, "/refuse", 2).len(), 2);
}

#[test]
fn what_a_goaway_does_not_cover_is_asked_again_elsewhere() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    assert_eq!(ask(&gateway, json!({ "path": "/here" }))["status"], 200);
    let answer = ask(&gateway, json!({ "path": "/leave", "method": "POST" }));
    assert_eq!((&answer["status"], &answer["text"]), (&json!(200), &json!("here")), "{answer}");
    assert_eq!(connections(&origin, "/leave", 2), [1, 2]);
}

#[test]
fn what_a_goaway_covers_is_answered_and_the_next_goes_elsewhere() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    for _ in 0..3 {
        let answer = ask(&gateway, json!({ "path": "/retire" }));
        assert_eq!((&answer["status"], &answer["text"]), (&json!(200), &json!("here")), "{answer}");
    }
    assert_eq!(connections(&origin, "/retire", 3), [1, 2, 3]);
    origin.wait("closed", 3);
}

#[test]
fn a_response_that_ends_the_request_early_is_taken() {
    let origin = Origin2::with_setting("window=1000");
    let gateway = web2(to(origin.address, "2", "")).start();
    // From the second request on the window is known.
    assert_eq!(ask(&gateway, json!({ "path": "/here" }))["status"], 200);
    // Bodies that are read before they are sent, and one whose upload runs beside the response.
    for (bytes, path) in [(1_001, "/early/1000"), (9_000, "/early/1000"), (500_000, "/early/1000"), (1_500, "/early/4")]
    {
        let body = "x".repeat(bytes);
        let request = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {bytes}\r\n\r\n{body}");
        let mut client = gateway.client();
        client.send(request);
        let answer = client.read("POST").expect("a response");
        assert_eq!((answer.status, answer.text().as_str()), (413, "too large"), "{bytes}");
        assert_eq!(ask(&gateway, json!({ "path": "/here" }))["status"], 200);
    }
    assert_eq!(origin.events("opened").len(), 1, "only the streams ended");
}

#[test]
fn a_burst_waits_for_the_settings_of_a_new_connection() {
    // The origin takes a fourth stream for a fault, and closes the connection.
    let origin = Origin2::with_setting("streams=3");
    let gateway = before(&origin);
    let requests: Vec<Value> = (0..12).map(|_| json!({ "path": "/slow/30" })).collect();
    for _ in 0..2 {
        let came = ask_all(gateway.here(), &json!(requests));
        let answers = came["answers"].as_array().expect("a list");
        assert!(answers.len() == 12 && answers.iter().all(|answer| answer["text"] == "slow"), "{came}");
    }
    assert!(origin.events("protocol").is_empty(), "{:?}", origin.events("protocol"));
}

#[test]
fn what_the_streams_of_all_connections_do_not_carry_waits() {
    let origin = Origin2::with_setting("streams=3");
    let gateway = web2(to(origin.address, "2", "limits = { connections = 1 }\n")).shards(1).start();
    assert_eq!(ask(&gateway, json!({ "path": "/slow/1" }))["status"], 200, "now it is known how many it takes");
    let requests: Vec<Value> = (0..12).map(|_| json!({ "path": "/slow/30" })).collect();
    let came = ask_all(gateway.here(), &json!(requests));
    let answers = came["answers"].as_array().expect("a list");
    assert!(answers.len() == 12 && answers.iter().all(|answer| answer["status"] == 200), "{came}");
    assert_eq!(origin.events("opened").len(), 1, "one connection is allowed");
}

#[test]
fn large_heads_pass_up_to_the_limits_of_http1() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    for path in ["/wide/150/1", "/wide/20/1000", "/wide/255/100"] {
        let answer = ask(&gateway, json!({ "path": path }));
        assert_eq!((&answer["status"], &answer["text"]), (&json!(200), &json!("here")), "{path}: {answer}");
    }
    let wide = [("/wide/257/1", "upstream_too_many_fields"), ("/wide/50/1000", "upstream_head_too_large")];
    for (number, (path, reason)) in wide.into_iter().enumerate() {
        assert_eq!(ask(&gateway, json!({ "path": path }))["status"], 502, "{path}");
        assert_eq!(gateway.reason(number + 4), reason, "{path}");
    }
    let small = web2(to(origin.address, "2", "limits = { response_head = \"1KiB\", response_fields = 10 }\n")).start();
    for (number, (path, reason)) in [("/wide/20/1", wide[0].1), ("/wide/2/600", wide[1].1)].into_iter().enumerate() {
        assert_eq!(ask(&small, json!({ "path": path }))["status"], 502, "{path}");
        assert_eq!(small.reason(number + 1), reason, "{path}");
    }
}

#[test]
fn a_reset_within_an_answer_is_no_clean_end() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    for path in ["/reset", "/cut"] {
        let answer = ask(&gateway, json!({ "path": path }));
        assert_eq!(answer["status"], 200, "{path}: {answer}");
        assert!(answer["ended"] == false && !answer["reset"].is_null(), "{path}: {answer}");
        let mut client = gateway.client();
        let answer = client.get(path);
        assert!(matches!(answer.end, End::Aborted(_)), "{path}: {:?}", answer.end);
    }
    assert_eq!(ask(&gateway, json!({ "path": "/here" }))["status"], 200);
}

#[test]
fn an_http1_answer_that_breaks_off_is_no_clean_end_on_a_stream() {
    for head in ["Content-Length: 20000", "Transfer-Encoding: chunked"] {
        let first = if head.starts_with('C') { String::new() } else { "2710\r\n".to_owned() };
        let origin = Origin::once(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{first}{}", "x".repeat(9_000)));
        let gateway = web2(to(origin.address, "1.1", "")).start();
        let answer = ask(&gateway, json!({ "path": "/" }));
        assert!(answer["ended"] == false && !answer["reset"].is_null(), "{head}: {answer}");
    }
}

/// A client that asks and then does as told, in a process of its own: `h2_leaver.py`.
fn leaver(gateway: &Gateway, path: &str) -> Lines {
    let mut client = Lines::start("h2_leaver.py", &[&gateway.here().to_string(), path]);
    assert_eq!(client.hear(), "asked");
    client
}

#[test]
fn who_resets_its_stream_ends_it_at_the_origin() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    let mut client = leaver(&gateway, "/never");
    origin.wait("request", 1);
    client.say(&json!("reset"));
    let reset = origin.wait("reset", 1).remove(0);
    assert_eq!((&reset["code"], &reset["stream"]), (&json!(8), &json!(1)), "{reset}");
    // The connection goes on, on both sides.
    assert_eq!(client.say(&json!("ask")), json!(200));
    assert_eq!(origin.events("opened").len(), 1);
    assert_eq!(gateway.log(2)[0]["reason"], "client_closed");
}

#[test]
fn who_leaves_ends_its_streams_at_the_origin() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    let mut client = leaver(&gateway, "/never");
    origin.wait("request", 1);
    client.say(&json!("leave"));
    origin.wait("reset", 1);
    assert_eq!(ask(&gateway, json!({ "path": "/here" }))["status"], 200);
}

#[test]
fn who_resets_its_stream_closes_the_connection_of_http1() {
    let origin = Origin::with(|peer| {
        let request = peer.request()?;
        if request.target == "/never" {
            assert!(peer.read_to_end().is_empty());
            return Ok(());
        }
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        Ok(())
    });
    let gateway = web2(to(origin.address, "1.1", "")).start();
    let mut client = leaver(&gateway, "/never");
    wait_for("the request", || (origin.count() == 1).then_some(()));
    client.say(&json!("reset"));
    assert!(crate::harness::origin::wait_idle(&origin.seen), "the origin works for nobody");
    assert_eq!(client.say(&json!("ask")), json!(200));
}

#[test]
fn a_request_that_breaks_off_is_never_whole_at_the_origin() {
    let origin = Origin::with(|peer| {
        loop {
            let mut request = peer.head()?;
            peer.body(&mut request)?;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let gateway = web2(to(origin.address, "1.1", "")).start();
    let mut client = leaver(&gateway, "/");
    assert_eq!(client.say(&json!("answer")), json!(200));
    client.say(&json!("part"));
    wait_for("the part", || {
        let streams = origin.seen.streams.lock().expect("no test thread panics with it");
        streams.iter().any(|stream| stream.lock().expect("no test thread panics with it").len() > 1_100).then_some(())
    });
    client.say(&json!("reset"));
    wait_for("the end of the connection", || (!origin.troubles().is_empty()).then_some(()));
    assert_eq!(origin.count(), 1, "the request that broke off counts for nothing: {:?}", origin.troubles());
    let two = Origin2::start();
    let gateway = before(&two);
    let mut client = leaver(&gateway, "/here");
    assert_eq!(client.say(&json!("answer")), json!(200));
    client.say(&json!("part"));
    two.wait("head", 2);
    client.say(&json!("reset"));
    two.wait("reset", 1);
    assert_eq!(two.events("request").len(), 1);
}

/// Bytes of memory that a process holds.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it says");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

/// A client that reads nothing while the origin would send 50 MB on each of so many streams.
fn stays_small(origin: std::net::SocketAddr, http: &str) {
    let gateway = web2(to(origin, http, "")).start();
    for _ in 0..3 {
        assert_eq!(ask(&gateway, json!({ "path": "/here" }))["status"], 200);
    }
    let before = memory(gateway.pid());
    let mut client = leaver(&gateway, "/bytes/50000000");
    for _ in 0..7 {
        client.say(&json!("more"));
    }
    let mut most = 0;
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        most = most.max(memory(gateway.pid()));
        thread::sleep(Duration::from_millis(50));
    }
    let grown = most.saturating_sub(before);
    println!("{http}: {} KiB before, {} KiB more with eight stalled answers", before / 1024, grown / 1024);
    assert!(grown < 8 << 20, "{grown} bytes more");
    // And once it reads, everything comes.
    assert_eq!(client.say(&json!("read")), json!(50_000_000));
}

#[test]
fn a_client_that_does_not_read_does_not_fill_the_memory() {
    let origin = Origin2::start();
    stays_small(origin.address, "2");
}

/// What is not read of an answer stays within the window that a stream begins with, however many there are.
#[test]
fn many_answers_that_nobody_reads_hold_little() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    assert_eq!(ask(&gateway, json!({ "path": "/here" }))["status"], 200);
    let before = memory(gateway.pid());
    let mut client = leaver(&gateway, "/bytes/1000000");
    for _ in 0..99 {
        client.say(&json!("more"));
    }
    origin.wait("request", 101);
    thread::sleep(Duration::from_millis(1_000));
    let grown = memory(gateway.pid()).saturating_sub(before);
    println!("{} KiB with a hundred answers that nobody reads", grown / 1024);
    // 64 KiB in the window, and as much on its way to the client.
    assert!(grown < 18 << 20, "{grown} bytes more");
}

#[test]
fn a_client_that_does_not_read_does_not_fill_the_memory_from_http1() {
    let origin = Origin::answering(|request| {
        let count = request.target.strip_prefix("/bytes/").map_or(4, |count| count.parse().unwrap_or(4));
        crate::harness::origin::ok(vec![b'x'; count])
    });
    stays_small(origin.address, "1.1");
}

/// What the origin does not read is not taken from the client either.
#[test]
fn an_origin_that_does_not_read_stops_the_client() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    assert_eq!(ask(&gateway, json!({ "path": "/here" }))["status"], 200);
    let before = memory(gateway.pid());
    let mut client = leaver(&gateway, "/here");
    let sent = client.say(&json!("upload")).as_u64().expect("a count");
    let came = origin.events("data").last().and_then(|data| data["length"].as_u64()).unwrap_or(0);
    let grown = memory(gateway.pid()).saturating_sub(before);
    println!("{sent} bytes were taken, {came} arrived, {grown} bytes more memory");
    assert!((65_535..2 << 20).contains(&sent) && came <= sent, "{sent} {came}");
    assert!(grown < 4 << 20, "{grown} bytes more");
}

#[test]
fn many_streams_share_few_connections() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    let requests: Vec<Value> = (0..90).map(|_| json!({ "path": "/slow/300" })).collect();
    let started = Instant::now();
    let came = ask_all(gateway.here(), &json!(requests));
    assert!(came["answers"].as_array().expect("a list").iter().all(|answer| answer["text"] == "slow"), "{came}");
    // One after another they take 27 s.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(origin.events("opened").len(), 1);
}

#[test]
fn an_origin_that_is_gone_is_a_502_and_its_return_is_noticed() {
    let origin = Origin2::start();
    let gateway = before(&origin);
    assert_eq!(ask(&gateway, json!({ "path": "/here" }))["status"], 200);
    signal(origin.pid(), "KILL");
    origin.wait_gone();
    let answer = ask(&gateway, json!({ "path": "/here" }));
    assert!(matches!(answer["status"].as_u64(), Some(502 | 503)), "{answer}");
    assert_eq!(counter(&gateway, "turnpike_http2_connections_total"), 2);
}
