// SPDX-License-Identifier: Apache-2.0
//! Pages of other origins in a real browser, which is who keeps to what `cors` says.

use serde_json::{Value, json};

use crate::harness::gateway::binary;
use crate::harness::tool::{browser, node};
use crate::harness::{Gateway, Origin, run};

fn api(origin: &Origin, page: &Gateway) -> Gateway {
    let to = origin.url();
    Gateway::web(format!(
        "[policy.strict.cors]\norigins = [\"http://{}\"]\nmethods = [\"PUT\"]\nheaders = [\"x-token\"]\n\
         expose = \"x-total\"\ncredentials = true\n[policy.any.cors]\norigins = \"*\"\n\
         [[route]]\npath_prefix = \"/strict\"\npolicies = \"strict\"\nto = \"{to}\"\n\
         [[route]]\npath_prefix = \"/any\"\npolicies = \"any\"\nto = \"{to}\"\n",
        page.here()
    ))
}

#[test]
fn a_browser_lets_pages_do_what_the_policy_says_and_no_more() {
    let Some(browser) = browser() else { return };
    let origin = Origin::answering(|request| {
        let body = format!("{} {}", request.method, request.field("cookie"));
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nX-Total: 7\r\nX-Hidden: 8\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    });
    let pages = Gateway::web("[[route]]\nanswer = { body = \"<p>page</p>\", content_type = \"text/html\" }\n");
    let api = api(&origin, &pages);
    let (allowed, other) = (pages.url("/"), format!("http://localhost:{}/", pages.here().port()));
    let said = node("browser_cors.js", &[browser, &allowed, &other, api.url("").trim_end_matches('/')]);
    assert_eq!(said.code, 0, "{}", said.all());
    let results: Value = serde_json::from_str(&said.text()).expect("JSON");
    let refused = json!("TypeError");
    assert_eq!(
        results["allowed"],
        json!({
            "simple": [200, "GET ", "7", null],
            "preflight": [200, "PUT ", "7", null],
            "method": refused,
            "header": refused,
            "credentials": [200, "GET who=frida", "7", null],
            "any": [200, "GET ", null, null],
            "anyWithCredentials": refused,
        })
    );
    assert_eq!(
        results["other"],
        json!({
            "simple": refused,
            "preflight": refused,
            "method": refused,
            "header": refused,
            "credentials": refused,
            "any": [200, "GET ", null, null],
            "anyWithCredentials": refused,
        })
    );
    let changes: Vec<String> = origin.requests().into_iter().map(|request| request.method).collect();
    let count = |method: &str| changes.iter().filter(|sent| *sent == method).count();
    assert_eq!((count("PUT"), count("DELETE"), count("OPTIONS")), (1, 0, 0), "{changes:?}");
    // What depends on the origin says so to caches, whether or not the request has one.
    let mut client = api.client();
    for (path, from, vary) in
        [("/strict", "", "Origin"), ("/strict", "Origin: http://evil.test\r\n", "Origin"), ("/any", "", "")]
    {
        let response = client.ask(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{from}\r\n"));
        assert_eq!((response.status, response.field("vary")), (200, vary), "{path} {from}");
    }
}

#[test]
fn everybody_and_cookies_are_refused_together() {
    let gateway = Gateway::web("[[route]]\nanswer = { body = \"in\" }\n");
    let path = gateway.path("both.toml");
    let text = "[[listener]]\nbind = \"127.0.0.1:0\"\n[policy.all.cors]\norigins = \"*\"\ncredentials = true\n\
                [[route]]\npolicies = \"all\"\nanswer = { body = \"in\" }\n";
    std::fs::write(&path, text).expect("a file");
    let checked = run(binary(), &["check", "-c", path.to_str().expect("a path")]);
    assert!(checked.code != 0 && checked.all().contains("credentials"), "{}", checked.all());
}
