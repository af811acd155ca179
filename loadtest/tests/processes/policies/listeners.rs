// SPDX-License-Identifier: Apache-2.0
//! Policies of a listener: they act before routing, on every request.

use serde_json::json;

use crate::harness::http2::{WEB2, ask, field};
use crate::harness::{Origin, Setup, run};

#[test]
fn a_refused_client_gets_the_same_answer_whether_a_route_takes_its_request_or_not() {
    let origin = Origin::saying("here");
    let text = format!(
        "{WEB2}policies = [\"near\", \"pages\"]\n\
         [policy.near]\nnetwork = {{ deny = [\"127.0.0.9\"], detail = \"Not from there.\" }}\n\
         [policy.pages]\ncors = {{ origins = [\"https://app.example\"] }}\n\
         [[route]]\nname = \"all\"\npath_prefix = \"/a\"\nto = \"{}\"\n",
        origin.url()
    );
    let gateway = Setup::new(text).start();
    let curl = |target: &str, more: &[&str]| {
        let url = gateway.url(target);
        let fixed = ["-s", "-i", "--max-time", "20", "--interface", "127.0.0.9", "-H", "Origin: https://app.example"];
        run("curl", &[&fixed, more, &[&*url]].concat()).text()
    };
    for target in ["/a", "/nothing"] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let refused = curl(target, &[version]).to_ascii_lowercase();
            let status = refused.lines().next().unwrap_or_default();
            assert!(status.contains(" 403"), "{target} {version}: {refused}");
            assert!(refused.contains("not from there."), "{target} {version}: {refused}");
        }
    }
    assert_eq!(origin.count(), 0);
    let log = gateway.log(4);
    for line in &log {
        assert_eq!((&line["status"], &line["reason"]), (&json!(403), &json!("network_denied")), "{line}");
        assert_eq!(line["route"], "", "no route is looked for: {line}");
    }
    assert!(gateway.metrics().contains("turnpike_listener_denied_total 4\n"), "{}", gateway.metrics());
    assert!(gateway.metrics().contains("turnpike_requests_unrouted_total 0\n"), "{}", gateway.metrics());
    // Who is let in meets the routes, and the listener's policies change what these say.
    let mut client = gateway.client();
    let mut get = |target: &str| {
        client.ask(format!("GET {target} HTTP/1.1\r\nHost: test\r\nOrigin: https://app.example\r\n\r\n"))
    };
    let (passed, unrouted) = (get("/a"), get("/nothing"));
    assert_eq!((passed.status, unrouted.status), (200, 404));
    for answer in [passed, unrouted] {
        assert_eq!(answer.field("access-control-allow-origin"), "https://app.example");
    }
}

#[test]
fn a_limit_counts_what_no_route_takes() {
    let gateway = Setup::new(format!(
        "{WEB2}policies = \"few\"\n[policy.few]\nrate_limit = {{ rate = \"3/m\" }}\n\
         [[route]]\npath_prefix = \"/a\"\nanswer = {{ body = \"a\" }}\n"
    ))
    .start();
    let mut client = gateway.client();
    let statuses = ["/a", "/nothing", "/a", "/a", "/nothing"].map(|target| client.get(target).status);
    assert_eq!(statuses, [200, 404, 200, 429, 429]);
    let refused = client.get("/a");
    assert!(refused.fields.has("retry-after") && refused.fields.has("ratelimit"), "{:?}", refused.fields);
    // A gRPC caller gets the refusal as the status of its call.
    let fields = json!([["content-type", "application/grpc"], ["te", "trailers"]]);
    let call = ask(&gateway, json!({ "method": "POST", "path": "/a.B/C", "fields": fields }));
    assert_eq!(call["status"], 200, "{call}");
    assert_eq!(field(&call["fields"], "grpc-status"), Some("8"), "{call}");
    assert!(gateway.metrics().contains("turnpike_listener_limited_total 4\n"), "{}", gateway.metrics());
}
