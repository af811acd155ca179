// SPDX-License-Identifier: Apache-2.0
//! What origins and clients are told about each other, and what is none of their business.

use crate::harness::gateway::WEB;
use crate::harness::origin::ok;
use crate::harness::{Gateway, Origin, Setup};

fn with_listener(lines: &str, origin: &Origin) -> Gateway {
    Setup::new(format!("{WEB}{lines}\n[[route]]\nto = \"{}\"\n", origin.url())).start()
}

#[test]
fn origins_learn_who_the_client_is() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let here = gateway.here();
    let mut client = gateway.client();
    client.ask(format!("GET / HTTP/1.1\r\nHost: shop.example:{}\r\n\r\n", here.port()));
    let request = origin.last();
    assert_eq!(request.field("host"), format!("shop.example:{}", here.port()));
    assert_eq!(request.field("x-forwarded-for"), "127.0.0.1");
    assert_eq!(request.field("x-real-ip"), "127.0.0.1");
    assert_eq!(request.field("x-forwarded-proto"), "http");
    assert_eq!(request.field("x-forwarded-host"), format!("shop.example:{}", here.port()));
    assert_eq!(request.field("x-forwarded-port"), here.port().to_string());
    assert!(request.field("via").starts_with("1.1 "), "{:?}", request.field("via"));
}

#[test]
fn what_strangers_say_about_themselves_is_not_believed() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    gateway.client().ask(
        "GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nForwarded: for=1.2.3.4\r\n\r\n",
    );
    let request = origin.last();
    let head = String::from_utf8_lossy(&request.head).into_owned();
    assert!(!head.contains("1.2.3.4") && !head.contains("evil") && !head.contains("https"), "{head}");
    assert_eq!(request.fields.all("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert!(!request.fields.has("forwarded"));
}

#[test]
fn trusted_proxies_are_believed() {
    let origin = Origin::echo();
    let gateway = with_listener("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]", &origin);
    gateway.client().ask(
        "GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.9\r\n\
         X-Forwarded-Proto: https\r\n\r\n",
    );
    let request = origin.last();
    let chain: Vec<&str> = request.fields.all("x-forwarded-for").collect();
    assert_eq!(chain.join(", "), "6.6.6.6, 1.2.3.4, 10.0.0.9, 127.0.0.1");
    assert_eq!((request.field("x-real-ip"), request.field("x-forwarded-proto")), ("1.2.3.4", "https"));
    assert_eq!(gateway.log(1)[0]["client"], "1.2.3.4");
}

#[test]
fn forwarding_fields_can_be_switched() {
    let origin = Origin::echo();
    let gateway = with_listener(
        "forward = { x_forwarded_for = \"drop\", x_real_ip = \"drop\", \
         x_forwarded_host = \"drop\", forwarded = \"write\" }\n\
         via = false\nrequest_id = false",
        &origin,
    );
    gateway.client().ask("GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
    let request = origin.last();
    for absent in ["x-forwarded-for", "x-real-ip", "x-forwarded-host", "via", "x-request-id"] {
        assert!(!request.fields.has(absent), "{absent}: {:?}", request.field(absent));
    }
    let forwarded = request.field("forwarded");
    assert!(forwarded.contains("for=127.0.0.1") && forwarded.contains("proto=http"), "{forwarded}");
}

#[test]
fn request_ids_are_made_or_passed_on() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    client.get("/1");
    let first = origin.last().field("x-request-id").to_owned();
    client.get("/2");
    let second = origin.last().field("x-request-id").to_owned();
    assert!(first.len() >= 16 && first != second, "{first} {second}");
    client.ask("GET /3 HTTP/1.1\r\nHost: test\r\nX-Request-Id: mine-0815\r\n\r\n");
    assert_eq!(origin.last().field("x-request-id"), "mine-0815");
    client.ask("GET /4 HTTP/1.1\r\nHost: test\r\nX-Request-Id: not \"good\"\r\n\r\n");
    let made = origin.last();
    assert_eq!(made.fields.all("x-request-id").count(), 1);
    assert!(!made.field("x-request-id").contains('"'));
    let log = gateway.log(4);
    assert_eq!((log[0]["request_id"].as_str(), log[2]["request_id"].as_str()), (Some(&*first), Some("mine-0815")));
}

#[test]
fn traces_are_continued_where_asked_for() {
    let origin = Origin::echo();
    let gateway = with_listener("traceparent = true", &origin);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: test\r\ntraceparent: {parent}\r\n\r\n"));
    let continued = origin.last().field("traceparent").to_owned();
    assert!(continued.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && continued != parent, "{continued}");
    gateway.get("/");
    assert_eq!(origin.last().field("traceparent").len(), parent.len());
    let plain = Gateway::before(origin.address);
    plain.client().ask(format!("GET / HTTP/1.1\r\nHost: test\r\ntraceparent: {parent}\r\n\r\n"));
    assert_eq!(origin.last().field("traceparent"), parent);
}

#[test]
fn fields_of_one_hop_stay_there() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nConnection: X-Inner, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Inner: 1\r\nX-Outer: 2\r\n\
          Proxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    });
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    let answer = client.ask(
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, X-Private ,x-other\r\nKeep-Alive: 1\r\n\
         Proxy-Connection: close\r\nX-Private: p\r\nX-Other: o\r\nX-Public: q\r\nTE: gzip\r\n\
         Upgrade: h2c\r\nProxy-Authorization: Basic eDp5\r\n\r\n",
    );
    let request = origin.last();
    for absent in ["keep-alive", "proxy-connection", "x-private", "x-other", "upgrade", "te"] {
        assert!(!request.fields.has(absent), "{absent}: {:?}", request.field(absent));
    }
    assert_eq!(request.field("x-public"), "q");
    for absent in ["keep-alive", "x-inner", "proxy-connection"] {
        assert!(!answer.fields.has(absent), "{absent}: {:?}", answer.field(absent));
    }
    assert_eq!(answer.field("x-outer"), "2");
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn fields_that_everything_hangs_on_cannot_be_taken_away() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let answer = gateway.client().ask(
        "POST / HTTP/1.1\r\nHost: test\r\nConnection: close, Host, Content-Length, X-Forwarded-For, Authorization\r\n\
         Authorization: Basic eDp5\r\nContent-Length: 5\r\n\r\nhello",
    );
    // Refused, or passed on with what it needs; never passed on without.
    if answer.status == 200 {
        let request = origin.last();
        assert_eq!((request.field("host"), request.field("content-length")), ("test", "5"));
        assert_eq!((request.field("x-forwarded-for"), answer.text()), ("127.0.0.1", "hello".to_owned()));
    } else {
        assert_eq!((answer.status, origin.count()), (400, 0));
    }
}

#[test]
fn fields_keep_their_order_and_spelling() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nX-MiXed: \xe9\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    });
    let gateway = Gateway::before(origin.address);
    let answer = gateway.client().ask(
        b"GET /%41?x=%zz&y HTTP/1.1\r\nHost: test\r\nB-First: 1\r\na-second: 2\r\nB-First: 3\r\nX-Byte: \xe9\r\n\r\n",
    );
    let request = origin.last();
    assert_eq!(request.fields.all("b-first").collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(request.field("x-byte"), "\u{e9}");
    assert!(request.fields.0.iter().any(|(name, _)| name == "a-second"));
    assert_eq!(request.target, "/A?x=%zz&y", "the path that was routed is the one that is sent on");
    assert_eq!(answer.fields.all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(answer.field("x-mixed"), "\u{e9}");
    assert!(answer.fields.0.iter().any(|(name, _)| name == "X-MiXed"));
}

#[test]
fn paths_are_normalised_before_routing() {
    let origin = Origin::answering(|request| ok(&request.target));
    let gateway = Gateway::web(format!(
        "[[route]]\npath_prefix = \"/public\"\nto = \"{0}\"\n\
         [[route]]\npath_prefix = \"/admin\"\nanswer = {{ status = 403, body = \"no\" }}\n",
        origin.url()
    ));
    let mut client = gateway.client();
    for target in ["/public/../admin", "/public/%2e%2e/admin", "//admin", "/public/./../admin/x", "/%61dmin"] {
        assert_eq!(client.get(target).status, 403, "{target}");
    }
    for target in ["/../../etc/passwd", "/a/..%5c..", "/%00", "/public/%zz", "/public\\..\\admin"] {
        let answer = gateway.client().get(target);
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.status);
    }
    let passed = gateway.get("/public/a/../b%2Fc//d?q=../x");
    assert_eq!(passed.status, 200);
    assert!(!passed.text().contains("/../b"), "{}", passed.text());
}
