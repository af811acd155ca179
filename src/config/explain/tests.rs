// SPDX-License-Identifier: Apache-2.0
//! What is said of requests, as whole texts where that is short enough.

use super::*;
use crate::config::{ConfigSource, Environment, load};
use crate::wire::grpc::json::sample;

const TEXT: &str = r#"
[[listener]]
name = "web"
bind = "0.0.0.0:8080"
trusted_proxies = "10.0.0.0/8"
policies = "known"
[upstream.users]
endpoints = ["10.0.0.1:80", "users.internal:8080"]
[policy.known]
network = { deny = "203.0.113.0/24" }
[policy.slow]
rate_limit = { rate = "5/s" }
[[route]]
name = "user"
hosts = "api.example.com"
path = "/users/{id}"
methods = ["GET", "PUT"]
to = "users"
host = "endpoint"
rewrite = { path = "/v2/{id}" }
policies = "slow"
request_headers = { set = { x-user = "{id} from {client.ip}" } }
[[route]]
name = "moved"
path_prefix = "/old"
redirect = { prefix = "/new", status = 301 }
[policy.pages]
cors = { origins = "https://app.test" }
[[route]]
name = "written"
path = "/notes"
methods = "PUT"
answer = { body = "put" }
policies = "pages"
[[route]]
name = "read"
path = "/notes"
methods = "GET"
answer = { body = "get" }
[[route]]
name = "hello"
path = "/hello/{name}"
answer = { body = "Hello, {name}!" }
response_headers = { rename = { x-b = "x-c" }, set = { x-a = "{route}", x-d = "{query.d}" } }
"#;

fn explained(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<String, String> {
    let source = ConfigSource::Text { name: "t".to_owned(), text: TEXT.to_owned() };
    let loaded = load(&source, &Environment::sealed()).unwrap();
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let source = IpAddr::from([10, 0, 0, 9]);
    explain(
        &loaded.plan,
        &ExplainRequest { method: method.to_owned(), url: url.to_owned(), headers, source, body: None },
    )
}

#[test]
fn a_proxied_request() {
    let said =
        explained("GET", "http://api.example.com:8080/x/../users/7?a=1", &[("X-Forwarded-For", "192.0.2.7")]).unwrap();
    let expected = "\
GET http://api.example.com:8080/x/../users/7?a=1 from 10.0.0.9

listener  web (0.0.0.0:8080, plain HTTP)
client    192.0.2.7, as a trusted proxy says
path      /users/7, from /x/../users/7
before    known (network, in the phase `screen`)
route     user
          host api.example.com, path /users/{id}
          {id} = 7
policies  slow (rate_limit, in the phase `screen`)
body      at most 1048576 bytes
upstream  users (round robin)
          10.0.0.1:80
          users.internal:8080, to be resolved
sends     GET /v2/7?a=1 with Host: (the endpoint's)
request   with x-user: 7 from 192.0.2.7
timeouts  60s until the response's headers, 60s between its parts
attempts  2
";
    let (before, others) = said.split_at(said.find("not ").unwrap());
    assert_eq!(before, expected);
    assert!(others.contains("moved (/old") && others.contains("its path does not match"), "{others}");
}

#[test]
fn answers_redirects_and_refusals() {
    let said = explained("GET", "http://x:8080/hello/you", &[]).unwrap();
    assert!(said.contains("answer    200, text/plain; charset=utf-8\n          Hello, you!\n"), "{said}");
    let changes =
        "response  with x-b renamed to x-c\n          with x-a: hello\n          without x-d: its value is empty";
    assert!(said.contains(changes), "{said}");
    assert!(explained("GET", "http://x:8080/hello/you?d=1", &[]).unwrap().contains("with x-d: 1\n"));
    let said = explained("GET", "http://x:8080/old/a?b", &[]).unwrap();
    assert!(said.contains("answer    301, Location: http://x:8080/new/a?b\n"), "{said}");
    let said = explained("POST", "http://api.example.com:8080/users/7", &[]).unwrap();
    assert!(said.contains("route     none: 405, with `Allow: GET, HEAD, PUT`"), "{said}");
    assert!(said.contains("is for method GET, PUT"), "{said}");
    let said = explained("GET", "/nothing", &[("Host", "a")]).unwrap();
    assert!(
        said.contains("none speaks http on port 80")
            && said.contains("before    known (network")
            && said.contains("none: 404"),
        "{said}"
    );
}

#[test]
fn what_is_no_request_is_said_so() {
    assert!(explained("GET", "ftp://x/", &[]).unwrap_err().contains("ftp"));
    assert!(explained("GET", "http://x/../..", &[]).unwrap_err().contains("400"));
    assert!(explained("G T", "http://x/", &[]).is_err());
    assert!(explained("GET", "nothing", &[]).is_err());
    assert!(explained("GET", "http://x/", &[("a b", "c")]).is_err());
    assert!(explained("GET", "http://x/", &[("a", "b\r\n\r\nc")]).is_ok());
}

#[test]
fn calls_in_json() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("library.pb"), sample::descriptor_set()).unwrap();
    let text = |json: &str| {
        format!(
            "[[listener]]\nbind = \"127.0.0.1:80\"\n[upstream.u]\nendpoints = \"127.0.0.1:1\"\nhttp = \"2\"\n\
             [[route]]\nto = \"u\"\nhost = \"endpoint\"\ngrpc = {{ json = {json} }}\n"
        )
    };
    let explained = |json: &str, method: &str, url: &str, headers: &[(&str, &str)]| {
        let file = folder.path().join("turnpike.toml");
        std::fs::write(&file, text(json)).unwrap();
        let plan = load(&ConfigSource::File(file), &Environment::of_process(crate::base::Wall(1_750_000_000_000_000)))
            .unwrap()
            .plan;
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let source = IpAddr::from([10, 0, 0, 9]);
        explain(&plan, &ExplainRequest { method: method.to_owned(), url: url.to_owned(), headers, source, body: None })
            .unwrap()
    };
    let file = "\"library.pb\"";
    let said = explained(file, "GET", "/v1/shelves/1/books/2?full_text=true", &[]);
    let call = "calls     /library.v1.Library/GetBook, by the rule GET /v1/{name=shelves/*/books/*}\n\
                sends     POST /library.v1.Library/GetBook with Host: (the endpoint's)\n";
    assert!(said.contains(call), "{said}");
    let said = explained(file, "PATCH", "/v1/chat", &[]);
    assert!(said.contains("so 405\n          GET /v1/{name=shelves/*/books/*}\n") && !said.contains("sends"), "{said}");
    assert!(explained(file, "GET", "/v3", &[]).contains("no rule has this path, so 404\n"));
    let said = explained(file, "POST", "/a.B/C", &[("content-type", "application/grpc")]);
    assert!(!said.contains("calls") && said.contains("sends     POST /a.B/C with"), "{said}");
    let said = explained("{ reflection = true }", "GET", "/v1/chat", &[]);
    assert!(said.contains("calls     what the servers of u tell by reflection\n"), "{said}");
}

#[test]
fn head_goes_where_get_goes_and_a_preflight_where_its_method_goes() {
    let route = |method: &str, headers: &[(&str, &str)]| {
        let said = explained(method, "/notes", headers).unwrap();
        let line = said.lines().find_map(|line| line.strip_prefix("route ")).unwrap();
        line.trim().to_owned()
    };
    assert_eq!([route("GET", &[]), route("HEAD", &[]), route("PUT", &[])], ["read", "read", "written"]);
    let refused = "none: 405, with `Allow: GET, HEAD, PUT`";
    assert_eq!([route("OPTIONS", &[]), route("DELETE", &[])], [refused, refused]);
    let origin = ("Origin", "https://app.test");
    let preflight = |method| route("OPTIONS", &[origin, ("Access-Control-Request-Method", method)]);
    assert_eq!([preflight("PUT"), preflight("GET"), preflight("DELETE")], ["written", refused, refused]);
}

#[test]
fn head_stays_with_a_route_that_names_it() {
    let route =
        |name, method| format!("[[route]]\nname = \"{name}\"\npath = \"/x\"\nmethods = \"{method}\"\necho = true\n");
    let text = format!("[[listener]]\nbind = \"0.0.0.0:80\"\n{}{}", route("a", "GET"), route("b", "HEAD"));
    let source = ConfigSource::Text { name: "t".to_owned(), text };
    let loaded = load(&source, &Environment::sealed()).unwrap();
    assert!(loaded.warnings.list.is_empty(), "{:?}", loaded.warnings);
    let question = ExplainRequest {
        method: "HEAD".to_owned(),
        url: "/x".to_owned(),
        headers: Vec::new(),
        source: IpAddr::from([10, 0, 0, 9]),
        body: None,
    };
    let said = explain(&loaded.plan, &question).unwrap();
    assert!(said.contains("\nroute     b\n"), "{said}");
}

#[test]
fn what_came_from_outside_is_shown_as_the_file_has_it() {
    let text = "[[listener]]\nbind = '127.0.0.1:1'\n[[route]]\nname = 'a'\n\
                request_headers = { set = { authorization = 'Bearer ${TOKEN}' } }\nto = '${ORIGIN}'\n\
                [[route]]\npath = '/x'\nanswer = { body = 'a ${TOKEN} b' }";
    let mut environment = Environment::sealed();
    environment.variables.insert("TOKEN".to_owned(), "hunter2".to_owned());
    environment.variables.insert("ORIGIN".to_owned(), "http://10.9.8.7:80".to_owned());
    let source = ConfigSource::Text { name: "t".to_owned(), text: text.to_owned() };
    let plan = load(&source, &environment).unwrap().plan;
    let asked = |url: &str| {
        let (method, url, headers) = ("GET".to_owned(), url.to_owned(), Vec::new());
        explain(&plan, &ExplainRequest { method, url, headers, source: IpAddr::from([10, 0, 0, 9]), body: None })
            .unwrap()
    };
    let words = [asked("/"), asked("/x")].concat();
    assert!(!words.contains("hunter2") && !words.contains("http://10.9.8.7"), "{words}");
    for shown in ["with authorization: Bearer ${TOKEN}\n", "upstream  ${ORIGIN} (", "          a ${TOKEN} b\n"] {
        assert!(words.contains(shown), "{words}");
    }
}
