// SPDX-License-Identifier: Apache-2.0
//! Connections of HTTP/2 to endpoints over their life: signs of life, age, numbers, and what an endpoint declines.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::gateway::signal;
use crate::harness::http2::{Lines, Load2, Origin2, WEB2, ask_all, to, web2};
use crate::harness::{Gateway, Setup};

/// The default of `timeouts.first_byte`: how long a request waits for an endpoint whose silence nobody notices.
const FIRST_BYTE: Duration = Duration::from_secs(60);

fn before(origin: &Origin2, more: &str) -> Gateway {
    web2(to(origin.address, "2", more)).start()
}

/// A process that was stopped is as a machine that is gone: its kernel still takes everything.
#[test]
fn an_endpoint_that_gives_no_sign_of_life_is_left() {
    let (silent, other) = (Origin2::start(), Origin2::start());
    let text = format!(
        "{WEB2}[upstream.o]\nendpoints = [\"{}\", \"{}\"]\nhttp = \"2\"\nhttp2 = {{ ping = \"300ms\", \
         ping_timeout = \"300ms\" }}\n[[route]]\nname = \"all\"\nto = \"o\"\n",
        silent.address, other.address
    );
    let gateway = Setup::new(text).start();
    let requests = json!((0..8).map(|_| json!({ "path": "/here" })).collect::<Vec<_>>());
    let all_good = |came: &Value| came["answers"].as_array().expect("a list").iter().all(|one| one["status"] == 200);
    let came = ask_all(gateway.here(), &requests);
    assert!(all_good(&came), "{came}");
    assert!(!silent.events("request").is_empty() && !other.events("request").is_empty());
    signal(silent.pid(), "STOP");
    let started = Instant::now();
    let came = ask_all(gateway.here(), &requests);
    signal(silent.pid(), "CONT");
    assert!(all_good(&came), "{came}");
    assert!(started.elapsed() < FIRST_BYTE, "{:?}", started.elapsed());
    let twice = gateway.log(16).iter().filter(|entry| entry["tries"].as_u64() > Some(1)).count();
    assert!(twice > 0, "some were with the silent one first");
    silent.wait("closed", 1);
}

/// Servers of gRPC end connections that ask more often.
#[test]
fn who_lives_and_has_nothing_to_say_is_asked_once() {
    let origin = Origin2::start();
    let gateway = before(&origin, "http2 = { ping = \"200ms\" }");
    let slow = json!([{ "path": "/slow/1500" }]);
    assert_eq!(ask_all(gateway.here(), &slow)["answers"][0]["status"], 200);
    assert_eq!(origin.events("ping").len(), 1);
    // It has said something since.
    assert_eq!(ask_all(gateway.here(), &slow)["answers"][0]["status"], 200);
    let asked = origin.events("ping").len();
    assert!((2..=3).contains(&asked), "{asked}");
    assert_eq!(origin.events("opened").len(), 1);
}

#[test]
fn old_connections_are_replaced_and_no_request_fails() {
    let origin = Origin2::start();
    let gateway = before(&origin, "pool = { age_max = \"300ms\" }");
    let load = Load2::start(gateway.here(), "/here", 2, 4);
    origin.wait("opened", 3);
    load.stop();
    assert!(origin.events("protocol").is_empty(), "{:?}", origin.events("protocol"));
    assert!(!origin.events("goaway").is_empty(), "an old connection ends in order");
}

#[test]
fn more_streams_than_a_connection_may_have_take_another() {
    let origin = Origin2::start();
    let gateway = before(&origin, "http2 = { streams = 2 }");
    let requests: Vec<Value> = (0..6).map(|_| json!({ "path": "/slow/400" })).collect();
    let came = ask_all(gateway.here(), &json!(requests));
    assert!(came["answers"].as_array().expect("a list").iter().all(|one| one["text"] == "slow"), "{came}");
    assert_eq!(origin.events("opened").len(), 3);
}

/// The endpoint declines while the request's content still comes: what was sent of it is sent again, and the rest
/// behind it, before the client has sent it.
#[test]
fn what_was_declined_within_its_content_is_asked_again() {
    for path in ["/decline/0", "/decline/1000"] {
        let origin = Origin2::start();
        let gateway = before(&origin, "");
        let mut client = Lines::start("h2_leaver.py", &[&gateway.here().to_string(), "/here"]);
        assert_eq!(client.hear(), "asked");
        assert_eq!(client.say(&json!("answer")), json!(200));
        assert_eq!(client.say(&json!(["part", path])), json!(true));
        origin.wait("head", 3);
        assert_eq!(client.say(&json!("rest")), json!([200, 1_500]), "{path}");
        assert_eq!(origin.wait("request", 2)[1]["length"], 1_500);
        let entry = &gateway.log(2)[1];
        assert_eq!((&entry["tries"], &entry["bytes_received"]), (&json!(2), &json!(1_500)), "{entry}");
    }
}

#[test]
fn what_was_declined_within_its_content_is_asked_again_from_http1() {
    let body = "0123456789".repeat(100);
    let lengths = [
        ("Content-Length: 1500", body.clone(), body[..500].to_owned()),
        ("Transfer-Encoding: chunked", format!("3e8\r\n{body}\r\n"), format!("1f4\r\n{}\r\n0\r\n\r\n", &body[..500])),
    ];
    for (field, part, rest) in lengths {
        for path in ["/decline/0", "/decline/1000"] {
            let origin = Origin2::start();
            let gateway = before(&origin, "");
            let mut client = gateway.client();
            client.send(format!("POST {path} HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n{part}"));
            origin.wait("head", 2);
            client.send(&rest);
            let answer = client.answer();
            assert_eq!((answer.status, answer.text()), (200, format!("{body}{}", &body[..500])), "{field} {path}");
            assert_eq!(client.get("/here").text(), "here", "the connection stands at a boundary");
        }
    }
}

/// What is too long to be kept cannot be sent again, and the client is told so.
#[test]
fn what_was_declined_behind_much_content_fails() {
    let origin = Origin2::start();
    let gateway = before(&origin, "");
    let large = json!([{ "path": "/decline/300000", "method": "POST", "size": 400_000 }, { "path": "/here" }]);
    let came = ask_all(gateway.here(), &large);
    assert_eq!((&came["answers"][0]["status"], &came["answers"][1]["status"]), (&json!(502), &json!(200)), "{came}");
    assert_eq!(gateway.log(2).iter().find(|entry| entry["status"] == 502).expect("one")["reason"], "stream_refused");
}
