// SPDX-License-Identifier: Apache-2.0
//! Origins that lie, hang up or talk nonsense: the client gets a truthful end, and the log says why.
//!
//! Never is a short body passed on as a whole one.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::harness::origin::ok;
use crate::harness::{End, Gateway, Origin, PATIENCE, Peer, Response, wait_for};

/// A gateway before this origin, with one try and small waits.
fn gateway(origin: &Origin) -> Gateway {
    Gateway::web(format!(
        "[[route]]\nto = \"{}\"\nretry = {{ tries = 1 }}\ntimeouts = {{ first_byte = \"500ms\", idle = \"500ms\" }}\n",
        origin.url()
    ))
}

fn one(treat: impl Fn(&mut Peer) + Send + Sync + 'static) -> (Origin, Gateway) {
    let origin = Origin::with(move |peer| {
        peer.request()?;
        treat(peer);
        Ok(())
    });
    let gateway = gateway(&origin);
    (origin, gateway)
}

/// What a client sees of an origin, and the reason in the log.
fn seen(treat: impl Fn(&mut Peer) + Send + Sync + 'static) -> (Response, String) {
    let (_origin, gateway) = one(treat);
    let answer = gateway.get("/");
    (answer, gateway.reason(1))
}

/// The same of an origin that begins an answer with `head`, and goes on when the client has it: what comes then cannot
/// overtake it.
fn seen_behind_head(head: &str, then: impl Fn(&mut Peer) + Send + Sync + 'static) -> (Response, String) {
    let head = head.to_owned();
    let (arrived, arrives) = channel();
    let arrives = Mutex::new(arrives);
    let (_origin, gateway) = one(move |peer| {
        peer.send(&head);
        let came = arrives.lock().expect("a lock").recv_timeout(PATIENCE);
        assert!(came.is_ok(), "the head did not arrive");
        then(peer);
    });
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut answer = client.head();
    arrived.send(()).expect("the origin waits");
    client.content(&mut answer);
    (answer, gateway.reason(1))
}

fn assert_aborted(answer: &Response, what: &str) {
    assert!(matches!(answer.end, End::Aborted(_)), "{what}: a clean end behind {:?}", answer.text());
}

#[test]
fn an_origin_that_closes_before_its_answer() {
    let (answer, reason) = seen(|_| {});
    assert_eq!((answer.status, &*reason), (502, "closed_before_head"));
    assert_eq!(answer.field("content-type"), "application/problem+json");
    let (answer, reason) = seen(|peer| peer.reset());
    assert_eq!((answer.status, &*reason), (502, "reset_before_head"));
    let (answer, reason) = seen(|peer| peer.send("HTTP/1.1 200 OK\r\nContent-Le"));
    assert_eq!((answer.status, &*reason), (502, "closed_in_head"));
}

#[test]
fn an_origin_that_nobody_listens_at() {
    let nobody = crate::harness::tool::reserved();
    let gateway = Gateway::before(nobody.address());
    let answer = gateway.get("/");
    assert_eq!((answer.status, &*gateway.reason(1)), (502, "refused"));
}

#[test]
fn a_body_that_is_shorter_than_said() {
    let (answer, reason) = seen(|peer| peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"));
    assert_aborted(&answer, "length");
    assert_eq!((answer.status, &*answer.coded, &*reason), (200, &b"hello"[..], "upstream_truncated"));
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let (answer, reason) = seen_behind_head(head, Peer::reset);
    assert_aborted(&answer, "reset");
    assert_eq!(reason, "upstream_truncated");
}

#[test]
fn a_chunked_body_that_ends_within() {
    for part in ["5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\nX-T: 1\r\n", "5"] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (answer, reason) = seen(move |peer| peer.send(format!("{head}{part}")));
        assert_aborted(&answer, part);
        assert_eq!(reason, "upstream_truncated", "{part:?}");
        let (answer, _) = seen_behind_head(&format!("{head}{part}"), Peer::reset);
        assert_aborted(&answer, part);
    }
}

#[test]
fn a_broken_chunk_is_not_repaired() {
    for part in
        ["5\r\nhelloX", "zz\r\nhello\r\n", "-5\r\nhello\r\n0\r\n\r\n", "5\nhello\n0\n\n", "fffffffffffffffff\r\n"]
    {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
        let (answer, reason) = seen_behind_head(head, move |peer| {
            peer.send(part);
            peer.read_to_end();
        });
        assert_aborted(&answer, part);
        assert_eq!((answer.status, &*reason), (200, "upstream_protocol"), "{part:?}");
    }
}

#[test]
fn a_body_until_the_end_that_is_reset() {
    let (answer, reason) = seen_behind_head("HTTP/1.1 200 OK\r\n\r\nsome of it", Peer::reset);
    assert_aborted(&answer, "until the end of the connection");
    assert_eq!(reason, "upstream_truncated");
}

#[test]
fn garbage_is_not_passed_on() {
    let garbage: [&[u8]; 11] = [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46 and more of it, so that it cannot be a head\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, identity\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\nX\0: c\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\nX: a\rSet-Cookie: b\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ];
    for bytes in garbage {
        let (answer, reason) = seen(move |peer| peer.send(bytes));
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(answer.status, 502, "{shown:?}");
        assert!(matches!(&*reason, "upstream_protocol" | "not_http"), "{shown:?}: {reason}");
    }
}

#[test]
fn an_endless_head_is_cut_off() {
    let (answer, reason) = seen(|peer| {
        peer.send("HTTP/1.1 200 OK\r\n");
        for number in 0..2_000 {
            peer.send(format!("X-Filler-{number}: {}\r\n", "f".repeat(100)));
        }
    });
    assert_eq!((answer.status, &*reason), (502, "upstream_too_many_fields"));
}

#[test]
fn bytes_behind_an_answer_are_not_the_next_one() {
    let origin = Origin::answering(|request| match &*request.target {
        "/two" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".into()
        }
        "/none" => b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".into(),
        target => ok(target),
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    assert_eq!(client.get("/two").text(), "one");
    for number in 0..5 {
        let target = format!("/{number}");
        assert_eq!(client.get(&target).text(), target);
    }
    // Behind a response without a body, too.
    assert_eq!(client.get("/none").status, 204);
    assert_eq!(client.get("/after").text(), "/after");
}

#[test]
fn an_unasked_answer_on_a_kept_connection_is_not_used() {
    let (closed, was_closed) = channel();
    let (taken, was_taken) = channel::<()>();
    let (closed, was_taken) = (Mutex::new(closed), Mutex::new(was_taken));
    let origin = Origin::with(move |peer| {
        peer.request()?;
        peer.send(ok("first"));
        // Behind the answer that was asked for, and before the next request.
        let _ = was_taken.lock().expect("a lock").recv_timeout(PATIENCE);
        peer.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        // The gateway closes what said something unasked.
        let rest = peer.read_to_end();
        let _ = closed.lock().expect("a lock").send(rest);
        Ok(())
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.text()), (200, "first".to_owned()));
        taken.send(()).expect("the origin waits");
        assert_eq!(was_closed.recv_timeout(PATIENCE).expect("the connection ends"), b"", "no second request");
    }
}

/// A busy connection is not looked at before each request, so a response that comes in between may answer the next one.
/// From then on each response is late by one. The gateway looks every 16 requests and finds that, unless the origin
/// takes longer than the client.
#[test]
fn responses_of_a_busy_connection_are_not_late_by_one_for_long() {
    const REQUESTS: usize = 2_000;
    let origin = Origin::with(|peer| {
        for number in 0..REQUESTS {
            let request = peer.request()?;
            peer.send(ok(&request.target));
            if number == 20 {
                let until = Instant::now() + Duration::from_micros(100);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                peer.send(ok("unasked"));
            }
        }
        Ok(())
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let mut wrong_in_a_row = 0;
    for number in 0..2 * REQUESTS {
        let target = format!("/{number}");
        wrong_in_a_row = if client.get(&target).text() == target { 0 } else { wrong_in_a_row + 1 };
        assert!(wrong_in_a_row <= 40 * 16, "request {number}");
    }
}

/// RFC 9112 section 9.2: no wait for the gateway to notice it comes between the unasked response and the next request.
#[test]
fn an_unasked_response_does_not_answer_the_next_request() {
    let (go, goes) = channel::<()>();
    let (said, was_said) = channel::<()>();
    let (said, goes) = (Mutex::new(said), Mutex::new(goes));
    let origin = Origin::with(move |peer| {
        let request = peer.request()?;
        peer.send(ok(&request.target));
        let _ = goes.lock().expect("a lock").recv_timeout(PATIENCE);
        peer.send(ok("evil"));
        let _ = said.lock().expect("a lock").send(());
        peer.read_to_end();
        Ok(())
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    for number in 0..20 {
        let target = format!("/{number}");
        let answer = client.get(&target);
        assert_eq!((answer.status, answer.text()), (200, target));
        go.send(()).expect("the origin waits");
        was_said.recv_timeout(PATIENCE).expect("the origin sends it");
    }
}

#[test]
fn an_answer_before_the_request_was_read() {
    let origin = Origin::with(|peer| {
        peer.head()?;
        peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        peer.pause(300);
        Ok(())
    });
    let gateway = Gateway::web(format!("[[route]]\nlimits = {{ body = \"off\" }}\nto = \"{}\"\n", origin.url()));
    let mut client = gateway.client();
    let length = 32 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"));
    // More than all buffers between us and the origin hold; it ends early, because nobody takes it.
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..32 {
        if client.try_send(&piece).is_err() {
            break;
        }
    }
    let answer = client.answer();
    assert_eq!((answer.status, answer.text(), answer.end), (403, "no".to_owned(), End::Complete));
}

#[test]
fn an_answer_before_a_slow_request_was_sent() {
    let origin = Origin::with(|peer| {
        peer.head()?;
        peer.send("HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\n\r\nearly");
        peer.pause(400);
        Ok(())
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nonly a part");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (409, "early".to_owned()));
    assert!(client.ends_within(PATIENCE), "what follows is not known to be a request");
}

#[test]
fn a_client_that_leaves_within_its_request_is_told_of_to_the_origin() {
    let origin = Origin::with(|peer| {
        let mut request = peer.head()?;
        peer.body(&mut request)?;
        peer.send(ok("never"));
        Ok(())
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nonly a part");
    let arrived = || {
        origin.seen.streams.lock().expect("a lock").first()?.lock().expect("a lock").ends_with(b"a part").then_some(())
    };
    wait_for("the part at the origin", arrived);
    drop(client);
    let entry = &gateway.log(1)[0];
    assert_eq!((entry["reason"].as_str(), entry["status"].as_u64()), (Some("client_closed"), Some(499)));
    assert!(crate::harness::origin::wait_idle(&origin.seen), "the origin's connection ended");
    assert_eq!(origin.count(), 0, "no whole request came");
}

#[test]
fn an_origin_that_says_nothing() {
    let (answer, reason) = seen(|peer| peer.pause(2_500));
    assert_eq!((answer.status, &*reason), (504, "first_byte_timeout"));
}

#[test]
fn an_origin_that_stops_within_its_answer() {
    let (answer, reason) = seen(|peer| {
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        peer.pause(2_500);
    });
    assert_aborted(&answer, "idle");
    assert_eq!(reason, "idle_timeout");
    let (answer, reason) = seen(|peer| {
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        peer.pause(2_500);
    });
    assert_aborted(&answer, "idle");
    assert_eq!(reason, "idle_timeout");
}

#[test]
fn an_old_origin_is_understood() {
    let (answer, _) = seen(|peer| peer.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold"));
    assert_eq!((answer.text(), &*answer.version, answer.end), ("old".to_owned(), "HTTP/1.1", End::Complete));
    let (answer, reason) =
        seen(|peer| peer.send("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\n0\r\n\r\n"));
    assert_eq!((answer.status, &*reason), (502, "upstream_protocol"));
}

#[test]
fn aborted_answers_are_logged_as_such() {
    let (_origin, gateway) = one(|peer| peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"));
    gateway.get("/");
    let entry = &gateway.log(1)[0];
    assert_eq!(entry["aborted"], true, "{entry}");
    assert_eq!((entry["status"].as_u64(), entry["bytes_sent"].as_u64()), (Some(200), Some(5)));
    assert!(entry["endpoint"].as_str().is_some_and(|endpoint| endpoint.starts_with("127.0.0.1:")));
}

#[test]
fn large_heads_pass_up_to_limits_that_the_log_names() {
    let with = |count: usize, bytes: usize| {
        let lines: String = (0..count).map(|index| format!("Set-Cookie: c{index}={}\r\n", "v".repeat(bytes))).collect();
        seen(move |peer| peer.send(format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok")))
    };
    for (count, bytes) in [(150, 1), (20, 1_000), (255, 100)] {
        let (answer, reason) = with(count, bytes);
        assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()), "{count} of {bytes}: {reason}");
    }
    for ((count, bytes), expected) in [((256, 1), "upstream_too_many_fields"), ((50, 1_000), "upstream_head_too_large")]
    {
        let (answer, reason) = with(count, bytes);
        assert_eq!((answer.status, &*reason), (502, expected), "{count} of {bytes}");
    }
}

#[test]
fn the_log_names_the_rule_that_a_response_breaks() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "RFC 9112 section 6"),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ends with CRLF"),
        ("HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "the version is"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n", "no valid size line"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokX", "longer or shorter than its size"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;=\r\nok\r\n", "chunk extension"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX Y: z\r\n\r\n", "trailer section"),
    ];
    for (response, rule) in cases {
        let (_origin, gateway) = one(move |peer| peer.send(response));
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        // Where the head was good, this ends in the middle.
        let _ = client.read("GET");
        let entry = &gateway.log(1)[0];
        assert_eq!(entry["reason"], "upstream_protocol", "{response:?}");
        let detail = entry["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(rule), "{response:?}: {detail}");
    }
}

#[test]
fn faults_with_one_reading_are_tolerated_where_asked_and_close_the_connection() {
    let cases = [
        ("length_with_chunked", "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("repeated_length", "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        ("chunk_size_spaces", "Transfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0\r\n\r\n"),
        ("line_feeds", "Content-Length: 2\nX-One: 1\r\n\nok"),
    ];
    for (name, rest) in cases {
        let origin = Origin::with(move |peer| {
            peer.request()?;
            peer.send(format!("HTTP/1.1 200 OK\r\n{rest}"));
            let behind = peer.request();
            assert!(behind.is_err(), "{name}: the connection was used again");
            Ok(())
        });
        let refusing = gateway(&origin);
        let answer = refusing.get("/");
        assert_eq!((answer.status, &*refusing.reason(1)), (502, "upstream_protocol"), "{name}");
        let tolerant = Gateway::web(format!(
            "[upstream.o]\nendpoints = [\"{}\"]\ntolerate = [\"{name}\"]\n[[route]]\nto = \"o\"\n",
            origin.address
        ));
        for _ in 0..2 {
            let answer = tolerant.get("/");
            assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()), "{name}");
        }
    }
}
