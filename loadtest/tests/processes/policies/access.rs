// SPDX-License-Identifier: Apache-2.0
//! Policies as callers meet them: keys, another service's word, browsers, networks, fields.

use std::time::{Duration, Instant};

use crate::harness::http2::{Origin2, WEB2, counter};
use crate::harness::tool::{Nginx, reserved};
use crate::harness::{Gateway, Origin, Setup, run};

const KEYS: &str = r#"
[policy.keys]
api_key = { query = "key", bearer = true }
[policy.acme-only]
api_key = { consumers = ["acme"], consumer_fields = false, hide = false }
[policy.open]
api_key = { anonymous = "guest" }
[[consumer]]
name = "acme"
id = "42"
keys = [{ sha256 = "21a4aa5fc49c29983bfbd1dab83ccc3b8e5a258f71ca273fdda2f3482d369a03" }]
[[consumer]]
name = "tools"
keys = [{ key = "tools-demo-key-0001" }, { key = "tools-old-key-00001", expires = "2020-01-01" }]
[[consumer]]
name = "guest"
"#;

fn keyed(origin: &Origin) -> Gateway {
    let to = origin.url();
    Gateway::web(format!(
        "{KEYS}\n[[route]]\npath_prefix = \"/all\"\nto = \"{to}\"\npolicies = [\"keys\"]\n\
         request_headers = {{ set = {{ x-who = \"{{consumer}}\" }} }}\n\
         [[route]]\npath_prefix = \"/acme\"\nto = \"{to}\"\npolicies = [\"acme-only\"]\n\
         [[route]]\npath_prefix = \"/open\"\nto = \"{to}\"\npolicies = [\"open\"]\n"
    ))
}

#[test]
fn keys_open_and_are_not_passed_on() {
    let origin = Origin::echo();
    let gateway = keyed(&origin);
    let mut client = gateway.client();
    let mut ask =
        |target: &str, field: &str| client.ask(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{field}\r\n")).status;
    assert_eq!(ask("/all", "X-API-Key: acme-demo-key-0001\r\nX-Consumer-Name: root\r\nX-Consumer-Id: 0\r\n"), 200);
    let request = origin.last();
    assert_eq!(request.fields.all("x-consumer-name").collect::<Vec<_>>(), ["acme"]);
    assert_eq!(request.fields.all("x-consumer-id").collect::<Vec<_>>(), ["42"]);
    assert_eq!(request.field("x-who"), "acme");
    assert!(!request.fields.has("x-api-key"), "the key stays here");
    assert_eq!(ask("/all", "Authorization: Bearer tools-demo-key-0001\r\n"), 200);
    let request = origin.last();
    assert_eq!((request.field("x-who"), request.fields.has("authorization")), ("tools", false));
    assert_eq!(ask("/all?a=1&key=acme-demo-key-0001&b=2", ""), 200);
    assert!(!origin.last().target.contains("acme-demo"), "{}", origin.last().target);
    assert_eq!(ask("/acme", "X-API-Key: acme-demo-key-0001\r\n"), 200);
    assert!(origin.last().fields.has("x-api-key"));
    assert_eq!(ask("/open", ""), 200);
    assert_eq!(origin.last().field("x-consumer-name"), "guest");
    assert_eq!(gateway.log(1)[0]["consumer"], "acme");
}

#[test]
fn without_a_good_key_nothing_passes() {
    let origin = Origin::echo();
    let gateway = keyed(&origin);
    let mut client = gateway.client();
    let wrong = [
        ("/all", ""),
        ("/all", "X-API-Key: \r\n"),
        ("/all", "X-API-Key: acme-demo-key-0002\r\n"),
        ("/all", "X-API-Key: acme-demo-key-0001 \x01\r\n"),
        ("/all", "X-API-Key: ACME-DEMO-KEY-0001\r\n"),
        ("/all", "X-API-Key: tools-old-key-00001\r\n"),
        ("/all", "Authorization: Basic YWNtZS1kZW1vLWtleS0wMDAx\r\n"),
        ("/all?key=", ""),
        ("/open", "X-API-Key: wrong-key-wrong-key\r\n"),
    ];
    for (target, field) in wrong {
        let answer = client.ask(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{field}\r\n"));
        if answer.status == 400 {
            client = gateway.client();
            continue;
        }
        assert_eq!(answer.status, 401, "{target} {field:?}");
        assert!(answer.fields.has("www-authenticate"), "{target} {field:?}");
        assert_eq!(answer.field("content-type"), "application/problem+json");
    }
    let answer = client.ask("GET /acme HTTP/1.1\r\nHost: test\r\nX-API-Key: tools-demo-key-0001\r\n\r\n");
    assert!(matches!(answer.status, 401 | 403), "{}", answer.status);
    assert_eq!(origin.count(), 0);
    // A path that is written in another way is the same path.
    for target in ["/all/../all", "//all", "/%61ll", "/x/%2e%2e/all"] {
        assert_eq!(client.get(target).status, 401, "{target}");
    }
}

#[test]
fn limits_tell_where_a_client_stands() {
    let origin = Origin::saying("here");
    let gateway = Gateway::web(format!(
        "[policy.few]\nrate_limit = {{ rate = \"3/m\", key = \"header:x-user\" }}\n\
         [policy.quiet]\nrate_limit = {{ rate = \"1/m\", fields = \"on_refusal\", status = 503, detail = \"Slow.\" }}\n\
         [policy.trial]\nrate_limit = {{ rate = \"1/m\", report_only = true, fields = \"never\" }}\n\
         [[route]]\npath_prefix = \"/few\"\nto = \"{0}\"\npolicies = [\"few\"]\n\
         [[route]]\npath_prefix = \"/quiet\"\nto = \"{0}\"\npolicies = [\"quiet\"]\n\
         [[route]]\npath_prefix = \"/trial\"\nto = \"{0}\"\npolicies = [\"trial\"]\n",
        origin.url()
    ));
    let mut client = gateway.client();
    let mut ask =
        |target: &str, user: &str| client.ask(format!("GET {target} HTTP/1.1\r\nHost: test\r\nX-User: {user}\r\n\r\n"));
    for left in ["2", "1", "0"] {
        let answer = ask("/few", "a");
        assert_eq!(answer.status, 200);
        let fields = format!("{} {}", answer.field("ratelimit"), answer.field("ratelimit-policy"));
        assert!(fields.contains(&format!("r={left}")) && fields.contains("q=3") && fields.contains("few"), "{fields}");
        assert!(!answer.fields.has("retry-after"));
    }
    let refused = ask("/few", "a");
    assert_eq!((refused.status, refused.field("content-type")), (429, "application/problem+json"));
    let wait: u32 = refused.field("retry-after").parse().expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(refused.json()["status"], 429);
    assert_eq!(ask("/few", "b").status, 200, "others are counted apart");
    let quiet = ask("/quiet", "a");
    assert_eq!((quiet.status, quiet.fields.has("ratelimit")), (200, false));
    let refused = ask("/quiet", "a");
    assert_eq!((refused.status, &refused.json()["detail"]), (503, &"Slow.".into()));
    assert!(refused.fields.has("retry-after"));
    for _ in 0..3 {
        assert_eq!(ask("/trial", "a").status, 200);
    }
}

fn guarded(auth: &str, more: &str, origin: &Origin) -> Gateway {
    Gateway::web(format!(
        "[policy.login]\nexternal_auth = {{ upstream = \"{auth}\", {more} }}\n\
         [[route]]\nto = \"{}\"\npolicies = [\"login\"]\n",
        origin.url()
    ))
}

#[test]
fn another_service_decides_as_nginx_has_it() {
    let nginx = Nginx::start(
        "location = /check { if ($http_x_token = good) { add_header X-User bob always; return 204; }\n\
         if ($http_x_token = banned) { return 403; }\n\
         if ($http_x_token = odd) { return 302 /login; }\n\
         add_header WWW-Authenticate 'Basic realm=x' always; return 401; }",
    );
    let origin = Origin::echo();
    let more = "path = \"/check\", to_upstream = [\"x-user\"]";
    let gateway = guarded(&format!("http://{}", nginx.address), more, &origin);
    let mut client = gateway.client();
    let mut ask = |token: &str| {
        let body = "the body stays here";
        client.ask(format!(
            "POST /x HTTP/1.1\r\nHost: test\r\nX-Token: {token}\r\nX-User: root\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let passed = ask("good");
    assert_eq!((passed.status, passed.text()), (200, "the body stays here".to_owned()));
    assert_eq!(origin.last().fields.all("x-user").collect::<Vec<_>>(), ["bob"], "the client's own word is replaced");
    let refused = ask("bad");
    assert_eq!((refused.status, refused.field("www-authenticate")), (401, "Basic realm=x"));
    assert_eq!(ask("banned").status, 403);
    assert_eq!(ask("odd").status, 500, "anything else is a failure");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_service_that_refuses_every_stream_is_asked_a_few_times_and_no_more() {
    let (auth, origin) = (Origin2::start(), Origin::echo());
    let gateway = Gateway::web(format!(
        "[upstream.auth]\nendpoints = \"{}\"\nhttp = \"2\"\n[policy.login]\n\
         external_auth = {{ upstream = \"auth\", path = \"/refuse-all\", timeout = \"5s\" }}\n\
         [[route]]\nto = \"{}\"\npolicies = [\"login\"]\n",
        auth.address,
        origin.url()
    ));
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(gateway.get("/").status, 500);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "it did not go on until the timeout");
    // Each is refused once, three times again for nothing, and once more out of the retry budget.
    let asked = auth.wait("head", 10).len();
    assert_eq!((asked, origin.count()), (10, 0));
    let retries = counter(&gateway, "turnpike_upstream_retries_total{upstream=\"auth\"");
    assert_eq!((retries, auth.events("head").len()), (8, 10));
}

#[test]
fn the_asked_service_sees_the_head_without_the_body() {
    let auth =
        Origin::answering(|_| b"HTTP/1.1 200 OK\r\nX-Roles: a\r\nX-Left: 9\r\nContent-Length: 3\r\n\r\nyes".to_vec());
    let origin = Origin::echo();
    let more = "path = \"/ask?for={target}\", to_client = [\"x-left\"], to_upstream = [\"x-roles\", \"x-none\"]";
    let gateway = guarded(&auth.url(), more, &origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.ask(
            "PUT /a/b?c=d HTTP/1.1\r\nHost: shop\r\nCookie: s=1\r\nX-None: mine\r\nContent-Length: 5\r\n\r\nhello",
        );
        assert_eq!((answer.status, answer.field("x-left"), answer.text()), (200, "9", "hello".to_owned()));
    }
    let asked = auth.last();
    assert_eq!(asked.method, "GET");
    assert!(asked.target.starts_with("/ask?for=") && asked.target.contains("/a/b"), "{}", asked.target);
    assert_eq!((asked.field("cookie"), asked.body.len()), ("s=1", 0));
    assert!(!asked.fields.has("transfer-encoding") && matches!(asked.field("content-length"), "" | "0"));
    let request = origin.last();
    assert_eq!((request.field("x-roles"), request.fields.has("x-none")), ("a", false));
    assert_eq!(auth.seen.streams.lock().expect("a lock").len(), 1, "its connection is kept");
}

#[test]
fn a_service_that_is_not_there_refuses_unless_told_otherwise() {
    let origin = Origin::echo();
    let reserved = reserved();
    let nobody = format!("http://{}", reserved.address());
    for (failure, status) in [("refuse", 500), ("unavailable", 503), ("admit", 200)] {
        let more = format!("failure = \"{failure}\", timeout = \"300ms\"");
        assert_eq!(guarded(&nobody, &more, &origin).get("/").status, status, "{failure}");
    }
    let slow = Origin::with(|peer| {
        peer.request()?;
        peer.pause(1_500);
        Ok(())
    });
    assert_eq!(guarded(&slow.url(), "timeout = \"200ms\"", &origin).get("/").status, 500);
    let garbage = Origin::once("NOT HTTP\r\n\r\n");
    assert_eq!(guarded(&garbage.url(), "path = \"/\"", &origin).get("/").status, 500);
    let login = Origin::answering(|_| {
        b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let answer = guarded(&login.url(), "forward_redirects = true", &origin).get("/");
    assert_eq!((answer.status, answer.field("location")), (302, "https://login.example/"));
}

#[test]
fn browsers_are_told_what_they_may() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let gateway = Gateway::web(format!(
        "[policy.browsers]\ncors = {{ origins = [\"https://app.example\", \"https://*.shop.example\"], \
         methods = [\"PUT\"], headers = [\"x-a\"], expose = [\"x-b\"], credentials = true, max_age = \"2m\" }}\n\
         [policy.keys]\napi_key = {{}}\n[[consumer]]\nname = \"c\"\nkeys = {{ key = \"key-key-key-key-1\" }}\n\
         [[route]]\nmethods = [\"GET\", \"PUT\", \"OPTIONS\"]\nto = \"{}\"\npolicies = [\"keys\", \"browsers\"]\n",
        origin.url()
    ));
    let mut client = gateway.client();
    let mut ask = |method: &str, from: &str, more: &str| {
        client.ask(format!("{method} /x HTTP/1.1\r\nHost: test\r\nOrigin: {from}\r\n{more}\r\n"))
    };
    let asked = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a\r\n";
    let preflight = ask("OPTIONS", "https://app.example", asked);
    assert!(matches!(preflight.status, 200 | 204), "{}", preflight.status);
    assert_eq!(preflight.field("access-control-allow-origin"), "https://app.example");
    assert_eq!(preflight.field("access-control-allow-credentials"), "true");
    assert!(preflight.field("access-control-allow-methods").contains("PUT"));
    assert_eq!(preflight.field("access-control-allow-headers").to_ascii_lowercase(), "x-a");
    assert_eq!(preflight.field("access-control-max-age"), "120");
    assert!(preflight.fields.all("vary").any(|value| value.to_ascii_lowercase().contains("origin")));
    let evil = ask("OPTIONS", "https://evil.example", asked);
    assert!(!evil.fields.has("access-control-allow-origin") && !evil.fields.has("access-control-allow-methods"));
    assert_eq!(origin.count(), 0, "preflights are answered here, without a key");
    let key = "X-API-Key: key-key-key-key-1\r\n";
    let actual = ask("GET", "https://a.b.shop.example", key);
    assert_eq!(actual.fields.all("access-control-allow-origin").collect::<Vec<_>>(), ["https://a.b.shop.example"]);
    assert_eq!((actual.status, actual.field("access-control-expose-headers")), (200, "x-b"));
    let stranger = ask("GET", "https://shop.example.evil", key);
    assert!(!stranger.fields.has("access-control-allow-origin"), "{:?}", stranger.fields);
    let refused = ask("GET", "https://app.example", "");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.field("access-control-allow-origin"), "https://app.example", "a page may read why");
}

#[test]
fn networks_are_let_in_or_not() {
    let gateway = Gateway::web(
        "[policy.far]\nnetwork = { allow = [\"10.0.0.0/8\"], detail = \"Not from there.\" }\n\
         [policy.near]\nnetwork = { allow = [\"127.0.0.0/8\"], deny = [\"127.0.0.9\"] }\n\
         [[route]]\npath_prefix = \"/far\"\necho = true\npolicies = [\"far\"]\n\
         [[route]]\npath_prefix = \"/near\"\necho = true\npolicies = [\"near\"]\n",
    );
    let far = gateway.get("/far");
    assert_eq!((far.status, &far.json()["detail"]), (403, &"Not from there.".into()));
    assert_eq!(gateway.get("/near").status, 200);
    let url = gateway.url("/near");
    let denied = run("curl", &["-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", "127.0.0.9", &url]);
    assert_eq!(denied.text(), "403", "{}", denied.stderr);
}

#[test]
fn fields_are_changed_for_many_routes_at_once() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nX-Debug: 1\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let gateway = Gateway::web(format!(
        "[defaults]\npolicies = [\"safe\"]\n[policy.safe.headers]\n\
         request = {{ set = {{ x-edge = \"{{route}}\" }}, remove = \"x-debug\" }}\n\
         response = {{ set = {{ x-content-type-options = \"nosniff\" }}, remove = \"x-debug\" }}\n\
         [[route]]\nname = \"one\"\npath_prefix = \"/one\"\nto = \"{0}\"\n\
         [[route]]\nname = \"two\"\npath_prefix = \"/two\"\nanswer = {{ body = \"two\" }}\n",
        origin.url()
    ));
    let mut client = gateway.client();
    let one = client.ask("GET /one HTTP/1.1\r\nHost: test\r\nX-Debug: on\r\n\r\n");
    assert_eq!((one.field("x-content-type-options"), one.fields.has("x-debug")), ("nosniff", false));
    assert_eq!(one.field("set-cookie"), "a=b");
    assert_eq!((origin.last().field("x-edge"), origin.last().fields.has("x-debug")), ("one", false));
    assert_eq!(client.get("/two").field("x-content-type-options"), "nosniff", "answers of the gateway, too");
}

#[test]
fn a_required_header_must_be_there_and_match() {
    let origin = Origin::saying("here");
    let gateway = Setup::new(format!(
        "{WEB2}[policy.tenant.require_header]\n\
         headers = {{ x-tenant = {{ regex = \"[a-z]+\" }}, x-version = \"2\" }}\n\
         [policy.pages]\ncors = {{ origins = [\"https://app.example\"] }}\n\
         [policy.edge.require_header]\n\
         headers = {{ x-edge = {{ present = true }} }}\nstatus = 403\ndetail = \"Not this way.\"\n\
         [[route]]\npath_prefix = \"/t\"\nto = \"{0}\"\npolicies = [\"tenant\", \"pages\"]\n\
         [[route]]\npath_prefix = \"/e\"\nto = \"{0}\"\npolicies = [\"edge\"]\n",
        origin.url()
    ))
    .start();
    let curl = |target: &str, more: &[&str]| {
        let url = gateway.url(target);
        run("curl", &[&["-s", "--max-time", "20", "-w", " %{http_code}"], more, &[&*url]].concat()).text()
    };
    let (tenant, version) = ("X-Tenant: acme", "x-version: 2");
    assert_eq!(curl("/t", &["-H", tenant, "-H", version]), "here 200");
    assert_eq!(curl("/t", &["--http2-prior-knowledge", "-H", tenant, "-H", version]), "here 200");
    let refused = curl("/t", &["-H", tenant]);
    assert!(refused.contains("`x-version` is missing") && refused.ends_with(" 400"), "{refused}");
    let refused = curl("/t", &["--http2-prior-knowledge", "-H", "X-Tenant: acme2", "-H", version]);
    assert!(refused.contains("`x-tenant`") && refused.ends_with(" 400"), "{refused}");
    let preflight = ["-X", "OPTIONS", "-H", "Origin: https://app.example", "-H", "Access-Control-Request-Method: GET"];
    assert!(curl("/t", &preflight).ends_with(" 204"), "browsers ask without these headers");
    let refused = curl("/e", &["-H", "X-Edged: 1"]);
    assert!(refused.contains("\"Not this way.\"") && refused.ends_with(" 403"), "{refused}");
    assert_eq!(curl("/e", &["-H", "X-Edge;"]), "here 200", "an empty value is one");
    assert_eq!(origin.count(), 3);
    assert_eq!(gateway.log(7)[2]["reason"], "header_required");
}

#[test]
fn a_preflight_goes_to_the_route_of_its_method_and_head_where_get_goes() {
    let gateway = Gateway::web(
        "[policy.pages]\ncors = { origins = [\"https://app.test\"], credentials = true }\n\
         [[route]]\nname = \"write\"\npath = \"/notes\"\nmethods = \"PUT\"\nanswer = { body = \"put\" }\n\
         policies = \"pages\"\n\
         [[route]]\nname = \"read\"\npath = \"/notes\"\nmethods = \"GET\"\nanswer = { body = \"get\" }\n\
         [[route]]\nname = \"rest\"\npath_prefix = \"/\"\nanswer = { status = 404 }\n",
    );
    let mut client = gateway.client();
    let mut preflight = |method: &str| {
        client.ask(format!(
            "OPTIONS /notes HTTP/1.1\r\nHost: test\r\nOrigin: https://app.test\r\n\
             Access-Control-Request-Method: {method}\r\nAccess-Control-Request-Headers: x-foo\r\n\r\n"
        ))
    };
    let allowed = preflight("PUT");
    assert_eq!((allowed.status, allowed.field("access-control-allow-methods")), (204, "PUT"));
    assert_eq!(allowed.field("access-control-allow-headers"), "x-foo");
    assert_eq!(preflight("GET").status, 404, "the route of GET has no CORS policy");
    assert_eq!(preflight("DELETE").status, 404);
    let head = client.ask("HEAD /notes HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!((head.status, head.field("content-length")), (200, "3"));
    let routes: Vec<String> = gateway.log(4).iter().map(|line| line["route"].to_string()).collect();
    assert_eq!(routes, ["\"write\"", "\"rest\"", "\"rest\"", "\"read\""]);
}

#[test]
fn who_is_admitted_without_an_answer_is_reported() {
    let origin = Origin::saying("here");
    let auth = Origin::answering(|_| b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n".to_vec());
    let gateway = guarded(&auth.url(), "failure = \"admit\"", &origin);
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(gateway.log(1)[0]["reported"], "external_auth_status");
    let metrics = gateway.metrics();
    let line = metrics.lines().find(|line| line.starts_with("turnpike_requests_reported_total{"));
    assert!(line.is_some_and(|line| line.ends_with(" 1")), "{metrics}");
}
