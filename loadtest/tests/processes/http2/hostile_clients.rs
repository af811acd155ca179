// SPDX-License-Identifier: Apache-2.0
//! Floods, bombs and broken frames against the listener, while others are served.

use serde_json::Value;

use crate::harness::http2::{Origin2, WEB2, ask, counter, script_with, to};
use crate::harness::load::{Load, Use};
use crate::harness::origin::ok;
use crate::harness::{Gateway, Origin, Setup, wait_for};

/// What a peer does, the error that ends its connection, and the counter that tells (empty for none).
const ENDED: &[(&str, &str, &str)] = &[
    ("rapid_reset", CALM, "rapid_reset"),
    ("made_you_reset_zero_increment", CALM, "error_reset"),
    ("made_you_reset_overflow", CALM, "error_reset"),
    ("made_you_reset_data_behind_the_end", CALM, "error_reset"),
    ("made_you_reset_priority_length", CALM, "error_reset"),
    ("made_you_reset_malformed_heads", CALM, "error_reset"),
    ("made_you_reset_lengths", CALM, "error_reset"),
    ("streams_above_the_limit", CALM, "refused"),
    ("continuation_frames", CALM, "continuation"),
    ("continuation_bytes", CALM, "continuation"),
    ("table_bomb", CALM, "header_list"),
    ("large_header_lists", CALM, "header_list"),
    ("block_of_garbage", "COMPRESSION_ERROR", ""),
    ("settings_frames", CALM, "settings"),
    ("settings_acknowledged_too_often", CALM, "settings"),
    ("ping_frames", CALM, "ping"),
    ("ping_answers_to_nothing", CALM, "ping"),
    ("window_updates_of_one", CALM, "window_update"),
    ("window_updates_of_a_stream", CALM, "window_update"),
    ("priority_frames", CALM, "priority"),
    ("priority_updates", CALM, "priority"),
    ("unknown_frames", CALM, "ignored"),
    ("resets_of_nothing", CALM, "ignored"),
    ("goaway_frames", CALM, "ignored"),
    ("empty_data", CALM, "empty_data"),
    ("padded_nothing", CALM, "empty_data"),
    ("tiny_data", CALM, "tiny_data"),
    ("crumbs", CALM, "dribble"),
    ("even_stream", "PROTOCOL_ERROR", ""),
    ("stream_zero", "PROTOCOL_ERROR", ""),
    ("lower_stream", "PROTOCOL_ERROR", ""),
    ("last_stream_and_one_more", "PROTOCOL_ERROR", ""),
    ("data_on_idle_stream", "PROTOCOL_ERROR", ""),
    ("data_behind_a_whole_exchange", "STREAM_CLOSED", ""),
    ("push", "PROTOCOL_ERROR", ""),
    ("frame_above_the_limit", "FRAME_SIZE_ERROR", ""),
    ("connection_window_overflow", "FLOW_CONTROL_ERROR", ""),
    ("something_within_a_block", "PROTOCOL_ERROR", ""),
    ("wrong_setting", "FLOW_CONTROL_ERROR", ""),
    ("settings_of_a_wrong_length", "FRAME_SIZE_ERROR", ""),
    ("no_settings_first", "PROTOCOL_ERROR", ""),
];

/// Peers that do too little: their connections end by a deadline.
const LATE: &[(&str, &str)] = &[
    ("half_a_preface", CALM),
    ("half_a_frame_header", CALM),
    ("block_that_never_ends", CALM),
    ("dribbled_head", CALM),
    ("settings_not_acknowledged", "SETTINGS_TIMEOUT"),
];

const CALM: &str = "ENHANCE_YOUR_CALM";

/// A listener with short deadlines before that origin.
fn before(address: std::net::SocketAddr, http: &str) -> Gateway {
    let timeouts = "timeouts = { head = \"2s\", body = \"2s\", write = \"2s\" }\n";
    Setup::new(format!("{WEB2}{timeouts}\n{}", to(address, http, ""))).start()
}

fn run(gateway: &Gateway, names: &[&str]) -> Vec<Value> {
    let here = gateway.here().to_string();
    let out = script_with("h2_hostile.py", &[&[&*here], names].concat(), "");
    let came: Vec<Value> = out.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(came.len(), names.len(), "{}", out.all());
    names.iter().map(|name| came.iter().find(|one| one["name"] == *name).expect("each is told").clone()).collect()
}

fn ends(gateway: &Gateway, table: &[(&str, &str, &str)]) {
    let names: Vec<&str> = table.iter().map(|(name, ..)| *name).collect();
    let counts = |kind: &str| counter(gateway, &format!("turnpike_http2_flood_{kind}_total"));
    let kinds: Vec<&str> = table.iter().map(|(.., kind)| *kind).filter(|kind| !kind.is_empty()).collect();
    let before: Vec<u64> = kinds.iter().map(|kind| counts(kind)).collect();
    let load = Load::start(gateway.here(), "/others", 2, Use::Kept);
    let came = run(gateway, &names);
    load.wait_more(20);
    load.stop();
    let mut wrong = Vec::new();
    for ((_, code, _), came) in table.iter().zip(&came) {
        if came["goaway"] != *code || came["closed"].is_null() {
            wrong.push(format!("{came}, not {code}"));
        }
    }
    for (kind, before) in kinds.iter().zip(before) {
        let expected = kinds.iter().filter(|other| *other == kind).count() as u64;
        let counted = counts(kind) - before;
        if counted != expected {
            wrong.push(format!("{kind} was counted {counted} times, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    wait_for("no connection or request to be left", || {
        let status = gateway.status();
        (status["connections"] == 0 && status["requests_active"] == 0).then_some(())
    });
    // A new connection is as good as the first.
    let answer = ask(gateway, serde_json::json!({ "path": "/others" }));
    assert_eq!(answer["status"], 200, "{answer}");
}

#[test]
fn floods_end_their_connection_alone() {
    let origin = Origin2::start();
    ends(&before(origin.address, "2"), ENDED);
}

#[test]
fn floods_end_their_connection_alone_before_http1() {
    let origin = Origin::with(|peer| {
        loop {
            let mut request = peer.head()?;
            if request.target == "/never" || request.target == "/deaf" {
                peer.pause(3_000);
                return Ok(());
            }
            peer.body(&mut request)?;
            let count = request.target.strip_prefix("/bytes/").map_or(4, |count| count.parse().unwrap_or(4));
            peer.send(ok(vec![b'x'; count]));
        }
    });
    ends(&before(origin.address, "1.1"), ENDED);
}

#[test]
fn who_takes_too_long_is_told_so() {
    let origin = Origin2::start();
    let gateway = before(origin.address, "2");
    let names: Vec<&str> = LATE.iter().map(|(name, _)| *name).collect();
    let came = run(&gateway, &names);
    for ((_, code), came) in LATE.iter().zip(&came) {
        assert!(came["goaway"] == *code && !came["closed"].is_null(), "{came}");
        assert!(came["seconds"].as_f64() > Some(1.5), "{came}");
    }
}

/// A client that never reads makes us keep no more than a little: its connection ends when the pipe is full.
#[test]
fn answers_that_nobody_reads_have_an_end() {
    let origin = Origin2::start();
    // The windows are large, so that the content which pays for PING may come without being read by the origin.
    let windows = "http2 = { cleartext = true, stream_window = \"1MiB\", connection_window = \"16MiB\" }";
    let listener = WEB2.replace("http2 = { cleartext = true }", windows);
    let gateway = Setup::new(format!("{listener}\n{}", to(origin.address, "2", ""))).start();
    let came = run(&gateway, &["answers_not_read"]).remove(0);
    assert!(!came["closed"].is_null(), "{came}");
    assert_eq!(counter(&gateway, "turnpike_http2_flood_output_total"), 1, "{came}");
    assert_eq!(ask(&gateway, serde_json::json!({ "path": "/others" }))["status"], 200);
}

#[test]
fn content_above_a_window_is_refused() {
    let origin = Origin2::start();
    let gateway = before(origin.address, "2");
    let came = run(&gateway, &["content_above_the_window", "content_above_the_window_of_the_connection"]);
    let (stream, connection) = (&came[0], &came[1]);
    assert!(stream["goaway"].is_null() && stream["reset"] == "FLOW_CONTROL_ERROR", "{stream}");
    assert_eq!(connection["goaway"], "FLOW_CONTROL_ERROR", "{connection}");
}

#[test]
fn half_open_streams_end_by_their_deadline() {
    let origin = Origin2::start();
    let gateway = before(origin.address, "2");
    let load = Load::start(gateway.here(), "/others", 2, Use::Kept);
    let came = run(&gateway, &["half_open_streams"]).remove(0);
    load.stop();
    assert!(came["over"] == 100 && came["goaway"].is_null(), "{came}");
    assert!(came["seconds"].as_f64() < Some(5.0), "{came}");
}

/// The answers come over one connection to the origin, which others share.
#[test]
fn who_opens_no_window_stops_nobody_else() {
    let origin = Origin2::start();
    let gateway = before(origin.address, "2");
    let here = gateway.here();
    let client = std::thread::scope(|scope| {
        let stalled = scope.spawn(|| run(&gateway, &["zero_window"]).remove(0));
        origin.wait("request", 60);
        let load = Load::start(here, "/bytes/300000", 2, Use::Kept);
        load.wait_more(10);
        load.stop();
        stalled.join().expect("it ends")
    });
    assert!(client["over"] == 60 && client["whole"] == 0, "{client}");
    assert!(client["seconds"].as_f64() < Some(6.0), "{client}");
    assert_eq!(origin.events("opened").len(), 1, "one connection carried all");
}
