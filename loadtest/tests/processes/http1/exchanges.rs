// SPDX-License-Identifier: Apache-2.0
//! Requests and answers as HTTP/1.1 has them, through the gateway.

use std::fs;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::harness::origin::ok;
use crate::harness::{Gateway, Origin, PATIENCE, Setup, curl, noise};

#[test]
fn curl_gets_heads_and_posts() {
    let origin = Origin::answering(|request| match &*request.method {
        "HEAD" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: head\r\n\r\n".to_vec(),
        _ => ok(format!("{} {} {}", request.method, request.target, request.body.len())),
    });
    let gateway = Gateway::before(origin.address);
    assert_eq!(curl(&[&gateway.url("/a?b=c")]).text(), "GET /a?b=c 0");
    assert_eq!(curl(&["--data", "hello", &gateway.url("/post")]).text(), "POST /post 5");
    assert_eq!(curl(&["-X", "PUT", "--data", "", &gateway.url("/put")]).text(), "PUT /put 0");
    let head = curl(&["--head", &gateway.url("/head")]);
    assert_eq!(head.code, 0, "{}", head.stderr);
    let text = head.text().to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200") && text.contains("content-length: 5") && text.contains("x-kind: head"));
    assert!(origin.troubles().is_empty(), "{:?}", origin.troubles());
}

const ANY_BODY: &str = "[[route]]\nlimits = { body = \"off\" }\nto = ";

#[test]
fn large_bodies_arrive_whole_both_ways() {
    let origin = Origin::echo();
    let gateway = Gateway::web(format!("{ANY_BODY}\"{}\"\n", origin.url()));
    let (from, to) = (gateway.path("from"), gateway.path("to"));
    let sent = noise(64 << 20);
    fs::write(&from, &sent).expect("written");
    let data = format!("@{}", from.display());
    let out = curl(&["--data-binary", &data, "-o", to.to_str().expect("a path"), &gateway.url("/echo")]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let came = fs::read(&to).expect("read");
    assert_eq!(came.len(), sent.len());
    assert!(came == sent, "the content was changed");
}

#[test]
fn large_bodies_in_chunks_arrive_whole() {
    let origin = Origin::answering(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in request.body.chunks(9_999) {
            answer.extend(format!("{:x}\r\n", piece.len()).into_bytes());
            answer.extend_from_slice(piece);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        answer
    });
    let gateway = Gateway::web(format!("{ANY_BODY}\"{}\"\n", origin.url()));
    let (from, to) = (gateway.path("from"), gateway.path("to"));
    let sent = noise(8 << 20);
    fs::write(&from, &sent).expect("written");
    let (from, to_name) = (from.to_str().expect("a path"), to.to_str().expect("a path"));
    let out = curl(&["-H", "Transfer-Encoding: chunked", "-T", from, "-o", to_name, &gateway.url("/echo")]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(fs::read(&to).expect("read") == sent, "the content was changed");
    assert_eq!(origin.last().field("transfer-encoding"), "chunked");
}

#[test]
fn connections_are_kept_on_both_sides() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    for number in 0..50 {
        let body = format!("number {number}");
        let request = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(client.ask(request).text(), body);
    }
    assert_eq!(origin.seen.streams.lock().expect("a lock").len(), 1);
    let last = client.ask("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(last.closes() && client.ends_within(PATIENCE));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|request| {
        if request.target.ends_with('3') {
            std::thread::sleep(Duration::from_millis(50));
        }
        ok(format!("{} {}", request.target, "x".repeat(request.body.len() * 100)))
    });
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    let mut all = String::new();
    for number in 0..30 {
        let body = "b".repeat(number % 7);
        all += &format!("POST /{number} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    }
    client.send(all);
    for number in 0..30 {
        assert_eq!(client.answer().text(), format!("/{number} {}", "x".repeat(number % 7 * 100)));
    }
}

#[test]
fn chunks_are_made_anew_and_trailers_go_through() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          4;quality=\"high; er\"\r\npong\r\n0;last\r\nX-Sum: 7\r\n\r\n"
            .to_vec()
    });
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    let answer = client.ask(
        "POST /c HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n\
         5;name=value;flag\r\nhello\r\n06\r\n world\r\n0\r\nX-Check: 42\r\n\r\n",
    );
    let request = origin.last();
    assert_eq!(request.body, b"hello world");
    assert_eq!(request.trailers.value("x-check"), Some("42"));
    let coded = String::from_utf8_lossy(&request.coded).into_owned();
    // Extensions are about one connection (RFC 9112 section 7.1.1), and sizes have one form.
    assert!(!coded.contains(';') && coded.starts_with("b\r\nhello world\r\n0\r\n"), "{coded}");
    assert_eq!(answer.body, b"pong");
    assert_eq!(answer.trailers.value("x-sum"), Some("7"));
    let coded = String::from_utf8_lossy(&answer.coded).into_owned();
    assert_eq!(coded, "4\r\npong\r\n0\r\nX-Sum: 7\r\n\r\n");
    // The connection stands at a message boundary.
    assert_eq!(client.get("/next").status, 200);
}

#[test]
fn expect_100_continue_asks_the_origin() {
    let origin = Origin::with(|peer| {
        let mut request = peer.head()?;
        assert_eq!(request.field("expect").to_ascii_lowercase(), "100-continue");
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.body(&mut request)?;
        peer.send(ok(&request.body));
        Ok(())
    });
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.head().status, 100);
    client.send("body");
    assert_eq!(client.answer().text(), "body");
}

#[test]
fn expect_100_continue_may_be_answered_without_the_body() {
    let origin = Origin::with(|peer| {
        peer.head()?;
        peer.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
        let left = peer.read_to_end();
        assert!(left.is_empty(), "a body came that nobody asked for");
        Ok(())
    });
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 400\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.interim.len()), (401, 0));
}

#[test]
fn a_client_that_waits_for_100_continue_is_not_the_slow_one() {
    // It sends nothing for longer than the grace of slow uploads and the timeout of its body.
    let origin = Origin::with(|peer| {
        let mut request = peer.head()?;
        if request.target != "/silent" {
            std::thread::sleep(Duration::from_millis(1_500));
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            peer.body(&mut request)?;
            peer.send(ok(&request.body));
        }
        peer.read_to_end();
        Ok(())
    });
    let listener = "timeouts = { body = \"500ms\", rate_grace = \"500ms\" }";
    let gateway = Setup::new(format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n{listener}\n\
         [[route]]\nto = \"{}\"\ntimeouts = {{ first_byte = \"3s\" }}\n",
        origin.url()
    ))
    .start();
    let head =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    let mut client = gateway.client();
    client.send(head("/"));
    assert_eq!(client.head().status, 100);
    client.send("body");
    assert_eq!(client.answer().text(), "body");

    let mut silent = gateway.client();
    silent.send(head("/silent"));
    assert_eq!(silent.answer().status, 504);

    // Once it was told, it is the one that is waited for.
    let mut slow = gateway.client();
    slow.send(head("/"));
    assert_eq!(slow.head().status, 100);
    assert_eq!(slow.answer().status, 408);
}

#[test]
fn other_expectations_are_refused() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let answer = gateway.client().ask("GET / HTTP/1.1\r\nHost: test\r\nExpect: tea\r\n\r\n");
    assert_eq!((answer.status, origin.count()), (417, 0));
}

#[test]
fn early_hints_are_forwarded() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            .to_vec()
    });
    let gateway = Gateway::before(origin.address);
    let answer = gateway.get("/");
    assert_eq!(answer.text(), "ok");
    let interim: Vec<u16> = answer.interim.iter().map(|(status, _)| *status).collect();
    assert_eq!(interim, [103, 102]);
    assert_eq!(answer.interim[0].1.value("link"), Some("</a.css>"));
    let mut old = gateway.client();
    old.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    assert_eq!(old.head().status, 200, "HTTP/1.0 knows no interim answers");
}

#[test]
fn answers_without_a_body_leave_the_connection_in_order() {
    let origin = Origin::answering(|request| {
        match (&*request.method, &*request.target) {
            ("HEAD", _) => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            (_, "/204") => "HTTP/1.1 204 No Content\r\n\r\n",
            (_, "/304") => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        }
        .into()
    });
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    let head = client.ask("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!((head.status, head.field("content-length")), (200, "1000"));
    let nothing = client.get("/204");
    assert_eq!((nothing.status, nothing.fields.has("content-length")), (204, false));
    let same = client.get("/304");
    assert_eq!((same.status, same.field("etag")), (304, "\"x\""));
    assert_eq!(client.get("/").text(), "body");
    assert_eq!(origin.seen.streams.lock().expect("a lock").len(), 1, "the origin's connection was kept");
}

#[test]
fn absolute_form_is_taken_apart() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let answer = gateway.client().ask("GET http://example.com:81/p?q HTTP/1.1\r\nHost: example.com:81\r\n\r\n");
    assert_eq!(answer.status, 200);
    let request = origin.last();
    assert_eq!((&*request.target, request.field("host")), ("/p?q", "example.com:81"));
    let answer = gateway.client().ask("GET http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert_eq!((answer.status, &*origin.last().target), (200, "/"));
    let other = gateway.client().ask("GET http://example.com/ HTTP/1.1\r\nHost: example.org\r\n\r\n");
    assert_eq!((other.status, origin.last().field("host")), (200, "example.com"));
}

#[test]
fn asterisk_form_is_about_the_gateway() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    assert_eq!(client.ask("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n").status, 204);
    assert_eq!(origin.count(), 0);
    assert_eq!(client.get("/").status, 200, "the connection goes on");
    assert_eq!(gateway.client().ask("GET * HTTP/1.1\r\nHost: test\r\n\r\n").status, 400);
}

#[test]
fn connect_and_trace_are_refused() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let connect = gateway.client().ask("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
    assert!(matches!(connect.status, 400 | 405 | 501), "{}", connect.status);
    let trace = gateway.client().ask("TRACE / HTTP/1.1\r\nHost: test\r\nCookie: secret\r\n\r\n");
    assert!(matches!(trace.status, 405 | 501), "{}", trace.status);
    assert!(!trace.text().contains("secret"));
    assert_eq!(origin.count(), 0);
}

#[test]
fn old_clients_get_what_they_understand() {
    let origin = Origin::answering(|request| match &*request.target {
        "/chunks" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(),
        _ => ok("abc"),
    });
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    let answer = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.text()), (200, "abc".to_owned()));
    assert!(client.ends_within(PATIENCE), "HTTP/1.0 closes");
    let mut client = gateway.client();
    let answer = client.ask("GET /chunks HTTP/1.0\r\nHost: test\r\n\r\n");
    assert_eq!((answer.text(), answer.fields.has("transfer-encoding")), ("abc".to_owned(), false));
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!((answer.text(), answer.closes()), ("abc".to_owned(), false));
    }
    assert_eq!(origin.last().version, "HTTP/1.1");
}

#[test]
fn answers_that_end_with_the_connection_become_chunked() {
    let origin = Origin::once("HTTP/1.1 200 OK\r\n\r\nall that there is");
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!((answer.text(), answer.field("transfer-encoding")), ("all that there is".to_owned(), "chunked"));
    }
}

#[test]
fn nothing_there_and_not_with_this_method() {
    let gateway = Gateway::web(
        "[[route]]\npath = \"/a\"\nmethods = [\"GET\", \"PUT\"]\nanswer = { body = \"x\" }\n\
         [[route]]\npath = \"/b\"\nhosts = [\"other\"]\nanswer = { body = \"x\" }\n",
    );
    let mut client = gateway.client();
    for target in ["/none", "/b", "/a/", "/"] {
        let answer = client.get(target);
        assert_eq!((answer.status, answer.field("content-type")), (404, "application/problem+json"), "{target}");
        assert_eq!(answer.json()["status"], 404);
    }
    let answer = client.ask("DELETE /a HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(answer.status, 405);
    let allow = answer.field("allow");
    assert!(allow.contains("GET") && allow.contains("PUT") && !allow.contains("DELETE"), "{allow}");
    assert_eq!(client.get("/a").status, 200, "refusals of whole requests keep the connection");
}

#[test]
fn pieces_of_an_answer_leave_when_they_come() {
    let (origin, seen) = Origin::events();
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    client.send("GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.head().field("content-type"), "text/event-stream");
    for number in 0..3 {
        let piece = format!("9\r\ndata: {number}\n\n\r\n");
        assert_eq!(client.exactly(piece.len()), piece.as_bytes());
        seen.send(()).expect("the origin waits");
    }
    assert_eq!(client.exactly(5), b"0\r\n\r\n");
}

#[test]
fn pieces_of_a_request_leave_when_they_come() {
    let (go, gone) = channel::<Vec<u8>>();
    let go = Mutex::new(go);
    let origin = Origin::with(move |peer| {
        peer.head()?;
        let mut came = 0;
        while came < 8 {
            let piece = peer.read_some().unwrap_or_default();
            came += piece.len();
            let _ = go.lock().expect("a lock").send(piece);
        }
        peer.send(ok("done"));
        Ok(())
    });
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\n");
    for piece in ["one.", "two."] {
        client.send(piece);
        let came = gone.recv_timeout(PATIENCE).expect("the piece arrives before the next is sent");
        assert_eq!(came, piece.as_bytes());
    }
    assert_eq!(client.answer().text(), "done");
}

#[test]
fn the_last_chunk_leaves_with_the_whole_trailer_section() {
    let (go, gone) = channel::<&str>();
    let gone = Mutex::new(gone);
    let origin = Origin::with(move |peer| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        while let Ok(part) = gone.lock().expect("a lock").recv_timeout(PATIENCE) {
            peer.send(part);
        }
        Ok(())
    });
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nTE: trailers\r\n\r\n");
    client.head();
    assert_eq!(client.exactly(10), b"5\r\nhello\r\n");
    for part in ["0\r\n", "X-One: 1\r\n", "X-Two: 2\r\n\r"] {
        go.send(part).expect("the origin waits");
        client.patience(Duration::from_millis(60));
        assert_eq!(client.rest().0, b"", "{part:?}");
    }
    client.patience(PATIENCE);
    go.send("\n").expect("the origin waits");
    let end = b"0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n";
    assert_eq!(client.exactly(end.len()), end);
    drop(go);
}

#[test]
fn an_early_refusal_of_the_origin_reaches_a_client_that_uploads() {
    let origin = Origin::with(|peer| {
        peer.head()?;
        peer.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large");
        peer.finish();
        peer.read_to_end();
        Ok(())
    });
    let gateway = Gateway::web(format!("{ANY_BODY}\"{}\"\n", origin.url()));
    for bytes in [10, 100_000, 8_000_000] {
        let mut client = gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {bytes}\r\n\r\n"));
        // The gateway stops reading when it has the response, so not all of this can be sent.
        let _ = client.try_send("x".repeat(bytes / 2));
        let answer = client.read("POST").expect("a response");
        assert_eq!((answer.status, answer.text().as_str()), (413, "too large"), "{bytes}");
    }
}

#[test]
fn bodies_above_the_limit_are_refused() {
    let origin = Origin::echo();
    let gateway = Gateway::web(format!("[[route]]\nlimits = {{ body = \"1KiB\" }}\nto = \"{}\"\n", origin.url()));
    let big = "x".repeat(1025);
    let answer = gateway.client().ask(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1025\r\n\r\n{big}"));
    assert_eq!(answer.status, 413);
    let chunked = format!("401\r\n{big}\r\n0\r\n\r\n");
    let answer =
        gateway.client().ask(format!("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"));
    assert_eq!(answer.status, 413);
    let exact = "x".repeat(1024);
    let answer = gateway.client().ask(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1024\r\n\r\n{exact}"));
    assert_eq!(answer.text(), exact);
}

#[test]
fn long_lines_and_heads_are_refused() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let path = "p".repeat(9_000);
    assert_eq!(gateway.get(&format!("/{path}")).status, 414);
    let value = "v".repeat(17_000);
    let answer = gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Long: {value}\r\n\r\n"));
    assert_eq!(answer.status, 431);
    let many: String = (0..120).map(|number| format!("X-{number}: v\r\n")).collect();
    let answer = gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: test\r\n{many}\r\n"));
    assert_eq!(answer.status, 431);
    let value = "v".repeat(15_000);
    let answer = gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Long: {value}\r\n\r\n"));
    assert_eq!((answer.status, origin.last().field("x-long")), (200, &*value));
}
