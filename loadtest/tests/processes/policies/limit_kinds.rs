// SPDX-License-Identifier: Apache-2.0
//! What rate limits count by and how they refuse: keys of several parts, several windows, costs, delays and bans.

use std::time::{Duration, Instant};

use crate::harness::gateway::WEB;
use crate::harness::origin::ok;
use crate::harness::{Client, Gateway, Origin, PATIENCE, Response, Setup};

fn gateway(policy: &str, path: &str) -> Gateway {
    Setup::new(format!(
        "{WEB}\n[policy.it.rate_limit]\n{policy}\n\
         [[route]]\npath = \"{path}\"\nanswer = {{ body = \"in\" }}\npolicies = [\"it\"]\n"
    ))
    .shards(2)
    .log("")
    .start()
}

fn ask(gateway: &Gateway, target: &str, fields: &str) -> Response {
    Client::to(gateway.here()).ask(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"))
}

#[test]
fn each_combination_of_the_parts_of_a_key_is_counted_apart() {
    let gateway =
        gateway("rate = \"2/h\"\nkey = [\"param:tenant\", \"cookie:session\"]\nabsent = \"refuse\"", "/of/{tenant}/x");
    let passed = |tenant: &str, session: &str| {
        let target = format!("/of/{tenant}/x");
        (0..4).filter(|_| ask(&gateway, &target, &format!("Cookie: session={session}\r\n")).status == 200).count()
    };
    assert_eq!([passed("a", "1"), passed("a", "2"), passed("b", "1"), passed("a", "1")], [2, 2, 2, 0]);
    let refused = ask(&gateway, "/of/a/x", "");
    assert_eq!((refused.status, refused.fields.value("content-type")), (403, Some("application/problem+json")));
}

#[test]
fn the_tightest_of_several_windows_refuses_and_is_told_first() {
    let gateway = gateway(
        "windows = [\"1000/s\", { quota = 3, per = \"month\", name = \"monthly\" }]\ndialect = [\"ietf\", \"kong\"]",
        "/",
    );
    let answers: Vec<Response> = (0..5).map(|_| ask(&gateway, "/", "")).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 429, 429]);
    let last = &answers[4];
    assert!(last.fields.value("ratelimit").is_some_and(|value| value.starts_with("\"monthly\";r=0;t=")), "{last:?}");
    assert_eq!(last.fields.value("x-ratelimit-limit-month"), Some("3"));
    let seconds: u64 = last.fields.value("retry-after").and_then(|value| value.parse().ok()).expect("a number");
    assert!((1..=31 * 24 * 3_600).contains(&seconds));
}

#[test]
fn what_a_response_says_is_what_its_request_costs() {
    let origin = Origin::answering(|request| {
        let cost = request.target.trim_start_matches('/');
        let answer = String::from_utf8(ok("done")).expect("text");
        answer.replacen("\r\n", &format!("\r\nX-Cost: {cost}\r\n"), 1).into_bytes()
    });
    let gateway = Setup::new(format!(
        "{WEB}\n[policy.it]\nrate_limit = {{ rate = \"10/h\", cost = {{ response_header = \"X-Cost\" }} }}\n\
         [[route]]\nto = \"http://{}\"\npolicies = [\"it\"]\n",
        origin.address
    ))
    .shards(2)
    .log("")
    .start();
    let statuses = ["/0", "/0", "/4", "/6"].map(|target| ask(&gateway, target, "").status);
    assert_eq!(statuses, [200; 4]);
    // The other thread may have slots until they are called in; asking for nothing takes none.
    let begun = Instant::now();
    while ask(&gateway, "/0", "").status != 429 {
        assert!(begun.elapsed() < PATIENCE, "what was used is never missed");
    }
}

#[test]
fn requests_above_the_rate_are_delayed_and_those_above_the_burst_are_refused() {
    let gateway = Setup::new(format!(
        "{WEB}\n[policy.it]\nrate_limit = {{ rate = \"20/s\", burst = 5, delay_after = 0 }}\n\
         [[route]]\nanswer = {{ body = \"in\" }}\npolicies = [\"it\"]\n"
    ))
    .shards(1)
    .log("")
    .start();
    let mut clients: Vec<Client> = (0..7).map(|_| Client::to(gateway.here())).collect();
    let start = Instant::now();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.answer().status).collect();
    let took = start.elapsed();
    assert!(statuses.iter().filter(|status| **status == 429).count() >= 1, "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 200).count() >= 5, "{statuses:?}");
    assert!(took >= Duration::from_millis(190), "the fifth comes at four times 50 ms: {took:?}");
}

#[test]
fn who_is_refused_too_often_is_banned() {
    let gateway = gateway(
        "rate = \"1000/s\"\nburst = 1\nkey = \"everything\"\nban = { after = 1, within = \"1m\", for = \"1h\" }",
        "/",
    );
    let mut client = Client::to(gateway.here());
    let mut burst = String::new();
    for _ in 0..50 {
        burst.push_str("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    client.send(&burst);
    let statuses: Vec<u16> = (0..50).map(|_| client.answer().status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    let refused = client.get("/");
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.fields.value("retry-after").and_then(|value| value.parse().ok()).expect("a number");
    assert!(seconds > 3_000, "{seconds}");
}

#[test]
fn another_spelling_of_a_parameter_is_no_other_key_and_no_other_cost() {
    let gateway = gateway("rate = \"3/h\"\nkey = \"{query.client}\"\ncost = { value = \"{query.count}\" }", "/");
    let spellings = ["/?client=a", "/?%63lient=a", "/?client=%61", "/?x=1&cl%69ent=%61"];
    assert_eq!(spellings.map(|target| ask(&gateway, target, "").status), [200, 200, 200, 429]);
    let costs = ["/?client=b&count=%33", "/?client=b", "/?client=c&co%75nt=2", "/?client=c&count=2"];
    assert_eq!(costs.map(|target| ask(&gateway, target, "").status), [200, 429, 200, 429]);
}
