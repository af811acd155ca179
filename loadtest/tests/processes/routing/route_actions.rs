// SPDX-License-Identifier: Apache-2.0
//! What routes do: redirects, fixed answers, rewrites, changes of fields, splits, cookies.

use std::collections::BTreeMap;

use crate::harness::origin::ok;
use crate::harness::{Client, Gateway, Origin};

#[test]
fn redirects_keep_what_is_not_changed() {
    let gateway = Gateway::web(
        r#"
[[route]]
path_prefix = "/old"
redirect = { prefix = "/new", status = 301 }
[[route]]
path = "/secure/{*rest}"
redirect = { scheme = "https" }
[[route]]
path = "/user/{id}"
redirect = { to = "https://id.example/{id}?from={host}", status = 302 }
[[route]]
path = "/drop"
redirect = { path = "/dropped?", status = 307 }
"#,
    );
    let mut client = gateway.client();
    let mut ask = |target: &str| {
        let answer = client.ask(format!("GET {target} HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n"));
        (answer.status, answer.field("location").to_owned())
    };
    let (status, location) = ask("/old/a%20b?x=1");
    assert_eq!(status, 301);
    assert!(location == "/new/a%20b?x=1" || location == "http://shop.example:8080/new/a%20b?x=1", "{location}");
    assert_eq!(ask("/secure/x?y"), (308, "https://shop.example/secure/x?y".to_owned()));
    assert_eq!(ask("/user/7"), (302, "https://id.example/7?from=shop.example".to_owned()));
    let (status, location) = ask("/drop?q=1");
    assert!(status == 307 && location.ends_with("/dropped"), "{status} {location}");
}

#[test]
fn values_of_clients_cannot_end_a_field() {
    let gateway = Gateway::web(
        "[[route]]\npath = \"/go/{where}\"\nredirect = { to = \"https://x.example/{where}\", status = 302 }\n\
         response_headers = { set = { x-query = \"{query.v}\" } }\n",
    );
    for target in ["/go/a%0d%0aSet-Cookie:%20x=1", "/go/a?v=%0d%0aX-Injected:%201", "/go/a?v=b%0aX-Injected:1"] {
        let answer = gateway.get(target);
        assert!(!answer.fields.has("set-cookie") && !answer.fields.has("x-injected"), "{target}: {answer:?}");
        assert!(answer.fields.0.iter().all(|(_, value)| !value.contains(['\r', '\n'])));
    }
}

#[test]
fn fixed_answers_hold_variables() {
    let gateway = Gateway::web(
        r#"
[[route]]
path = "/hello/{name}"
answer = { status = 201, body = "{method} {name} {query.q} {header.x-a} {cookie.c} {{}}\n" }
[[route]]
path = "/json"
answer = { body = "{{\"ok\": true}}", content_type = "application/json" }
[[route]]
path = "/hang-up"
answer = { status = 444 }
"#,
    );
    let mut client = gateway.client();
    let answer = client.ask("GET /hello/you?q=1 HTTP/1.1\r\nHost: test\r\nX-A: a\r\nCookie: b=1; c=2\r\n\r\n");
    assert_eq!((answer.status, answer.text()), (201, "GET you 1 a 2 {}\n".to_owned()));
    assert_eq!(answer.field("content-type"), "text/plain; charset=utf-8");
    assert_eq!(client.get("/json").field("content-type"), "application/json");
    let head = client.ask("HEAD /json HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!((head.status, head.field("content-length")), (200, "12"));
    client.send("GET /hang-up HTTP/1.1\r\nHost: test\r\n\r\n");
    let (bytes, _) = client.rest();
    assert!(bytes.is_empty(), "{:?}", String::from_utf8_lossy(&bytes));
}

#[test]
fn targets_are_rewritten() {
    let origin = Origin::answering(|request| ok(format!("{} {}", request.field("host"), request.target)));
    let to = origin.url();
    let gateway = Gateway::web(format!(
        r#"
[[route]]
path_prefix = "/strip"
rewrite = {{ strip_prefix = "/strip" }}
to = "{to}"
[[route]]
path_prefix = "/prefix"
rewrite = {{ prefix = "/v2/api" }}
to = "{to}"
[[route]]
path = "/users/{{id}}/posts/{{post}}"
rewrite = {{ path = "/p/{{post}}/by/{{id}}?kind=post" }}
to = "{to}"
host = "blog.internal"
[[route]]
path_regex = "/r/.*"
rewrite = {{ regex = "/r/([a-z]+)/([0-9]+)", replace = "/$2/$1" }}
host = "endpoint"
to = "{to}"
"#
    ));
    let mut client = gateway.client();
    let mut ask = |target: &str| client.get(target).text();
    assert_eq!(ask("/strip/a/b?x=1"), "test /a/b?x=1");
    assert_eq!(ask("/strip"), "test /");
    assert_eq!(ask("/prefix/a"), "test /v2/api/a");
    assert_eq!(ask("/users/7/posts/9%2F1?x=1"), "blog.internal /p/9%2F1/by/7?kind=post&x=1");
    assert_eq!(ask("/r/abc/12?y"), format!("{} /12/abc?y", origin.address));
}

#[test]
fn fields_are_changed_on_the_way() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nServer: secret\r\nX-Powered-By: php\r\n\
        Cache-Control: no-store\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    });
    let gateway = Gateway::web(format!(
        r#"
[[route]]
path = "/{{id}}"
to = "{}"
request_headers.remove = ["x-remove", "cookie"]
request_headers.set = {{ x-set = "{{id}} {{client.ip}}" }}
request_headers.add = {{ x-add = "second" }}
request_headers.default = {{ x-default = "d" }}
response_headers.remove = "x-powered-by"
response_headers.set = {{ server = "t", x-status = "{{status}}" }}
response_headers.default = {{ cache-control = "max-age=1", x-frame-options = "DENY" }}
"#,
        origin.url()
    ));
    let answer = gateway.client().ask(
        "GET /42 HTTP/1.1\r\nHost: test\r\nX-Remove: 1\r\nx-remove: 2\r\nCookie: a=b\r\nX-Set: mine\r\nX-Add: first\r\n\
         X-Default: own\r\n\r\n",
    );
    let request = origin.last();
    assert!(!request.fields.has("x-remove") && !request.fields.has("cookie"));
    assert_eq!(request.fields.all("x-set").collect::<Vec<_>>(), ["42 127.0.0.1"]);
    assert_eq!(request.fields.all("x-add").collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(request.fields.all("x-default").collect::<Vec<_>>(), ["own"]);
    assert!(!answer.fields.has("x-powered-by"));
    assert_eq!(answer.fields.all("server").collect::<Vec<_>>(), ["t"]);
    assert_eq!((answer.field("x-status"), answer.field("x-frame-options")), ("200", "DENY"));
    assert_eq!(answer.fields.all("cache-control").collect::<Vec<_>>(), ["no-store"]);
}

#[test]
fn matchers_decide_whatever_their_order() {
    let gateway = Gateway::web(
        r#"
[[route]]
answer = { body = "any" }
[[route]]
path_prefix = "/api"
answer = { body = "prefix" }
[[route]]
path = "/api/{id}"
answer = { body = "param" }
[[route]]
path_exact = "/api/me"
answer = { body = "exact" }
[[route]]
path_prefix = "/api"
headers = { x-env = "canary" }
answer = { body = "header" }
[[route]]
path_prefix = "/api"
query = { debug = { present = true } }
answer = { body = "query" }
[[route]]
path_prefix = "/api"
cookies = { beta = { regex = "y.*" } }
answer = { body = "cookie" }
[[route]]
hosts = ["*.example.org"]
answer = { body = "wild" }
[[route]]
hosts = ["www.example.org"]
answer = { body = "host" }
[[route]]
path_prefix = "/net"
source = ["127.0.0.0/8"]
answer = { body = "near" }
[[route]]
path_prefix = "/net"
answer = { body = "far" }
"#,
    );
    let mut client = gateway.client();
    let mut ask = |target: &str, host: &str, more: &str| {
        client.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")).text()
    };
    assert_eq!(ask("/x", "a", ""), "any");
    assert_eq!(ask("/api/a/b", "a", ""), "prefix");
    assert_eq!(ask("/api/7", "a", ""), "param");
    assert_eq!(ask("/api/me", "a", ""), "exact");
    assert_eq!(ask("/api/a/b", "a", "X-Env: canary\r\n"), "header");
    assert_eq!(ask("/api/a/b?debug", "a", ""), "query");
    assert_eq!(ask("/api/a/b", "a", "Cookie: x=1; beta=yes\r\n"), "cookie");
    assert_eq!(ask("/x", "shop.example.org", ""), "wild");
    assert_eq!(ask("/x", "WWW.example.org:81", ""), "host");
    assert_eq!(ask("/net", "a", ""), "near");
}

#[test]
fn weights_split_requests() {
    let (a, b) = (Origin::saying("a"), Origin::saying("b"));
    let gateway = Gateway::web(format!(
        "[upstream.a]\nendpoints = \"{}\"\n[upstream.b]\nendpoints = \"{}\"\n\
         [[route]]\npath_prefix = \"/drawn\"\n\
         to = [{{ upstream = \"a\", weight = 9 }}, {{ upstream = \"b\", weight = 1 }}]\n\
         [[route]]\npath_prefix = \"/kept\"\n\
         to = [{{ upstream = \"a\" }}, {{ upstream = \"b\" }}]\nstick = \"header:x-user\"\n",
        a.address, b.address
    ));
    let mut client = gateway.client();
    let mut counts = BTreeMap::<String, u32>::new();
    for _ in 0..600 {
        *counts.entry(client.get("/drawn").text()).or_default() += 1;
    }
    // Nine in ten of 600 drawn: 540, and 45 is six standard deviations.
    assert!((495..=585).contains(&counts["a"]), "{counts:?}");
    let mut users = BTreeMap::<String, u32>::new();
    for user in 0..40 {
        let request = format!("GET /kept HTTP/1.1\r\nHost: test\r\nX-User: {user}\r\n\r\n");
        let first = client.ask(&request).text();
        (0..4).for_each(|_| assert_eq!(client.ask(&request).text(), first));
        *users.entry(first).or_default() += 1;
    }
    assert!(users.len() == 2 && users.values().all(|count| *count > 5), "{users:?}");
}

#[test]
fn requests_name_the_upstream_that_was_drawn() {
    let answer = |name: &'static str| {
        Origin::answering(move |request| {
            ok((request.field("x-to") == name && request.target == format!("/{name}")).to_string())
        })
    };
    let (a, b) = (answer("a"), answer("b"));
    let gateway = Gateway::web(format!(
        "[upstream.a]\nendpoints = \"{}\"\n[upstream.b]\nendpoints = \"{}\"\n\
         [[route]]\nto = [{{ upstream = \"a\" }}, {{ upstream = \"b\" }}]\n\
         rewrite = {{ path = \"/{{upstream}}\" }}\nrequest_headers = {{ set = {{ x-to = \"{{upstream}}\" }} }}\n",
        a.address, b.address
    ));
    let mut client = gateway.client();
    (0..40).for_each(|_| assert_eq!(client.get("/").text(), "true"));
    assert!(a.count() > 0 && b.count() > 0);
}

#[test]
fn sticky_cookies_keep_a_client_at_its_endpoint() {
    let origins = [Origin::saying("a"), Origin::saying("b"), Origin::saying("c")];
    let gateway = Gateway::web(format!(
        "[upstream.o]\nendpoints = [\"{}\", \"{}\", \"{}\"]\nsticky = {{ cookie = \"at\" }}\n[[route]]\nto = \"o\"\n",
        origins[0].address, origins[1].address, origins[2].address
    ));
    let mut seen = BTreeMap::new();
    for _ in 0..6 {
        let mut client = Client::to(gateway.here());
        let first = client.get("/");
        let cookie = first.field("set-cookie").to_owned();
        assert!(cookie.starts_with("at=") && cookie.to_ascii_lowercase().contains("httponly"), "{cookie}");
        let value = cookie.split(';').next().expect("a value").to_owned();
        for _ in 0..5 {
            let again = client.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: x=y; {value}\r\n\r\n"));
            assert_eq!(again.text(), first.text());
        }
        seen.insert(first.text(), value);
    }
    assert_eq!(seen.len(), 3, "new clients are spread: {seen:?}");
    let forged = gateway.client().ask("GET / HTTP/1.1\r\nHost: test\r\nCookie: at=zzzz\r\n\r\n");
    assert!(forged.status == 200 && forged.fields.has("set-cookie"));
}

#[test]
fn the_embedded_origin_tells_what_came() {
    let gateway = Gateway::web("[[route]]\npath = \"/{a}/{*b}\"\necho = true\n");
    let answer = gateway.client().ask("POST /1/2/3?x HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
    let told = answer.json();
    assert_eq!((&told["method"], &told["query"], &told["body"]), (&"POST".into(), &"x".into(), &"hello".into()));
    assert_eq!((&told["params"]["a"], &told["params"]["b"]), (&"1".into(), &"2/3".into()));
}
