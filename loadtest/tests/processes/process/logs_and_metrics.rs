// SPDX-License-Identifier: Apache-2.0
//! What the process tells of itself: access logs, metrics, health, status.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::gateway::WEB;
use crate::harness::{Client, Gateway, Origin, Setup, run, wait_for};

/// A gateway with a few routes, before an origin.
fn gateway(origin: &Origin, log: &str) -> Gateway {
    Setup::new(format!(
        "{WEB}\n[upstream.o]\nendpoints = \"{}\"\n[[route]]\nname = \"proxied\"\npath_prefix = \"/p\"\nto = \"o\"\n\
         [[route]]\nname = \"fixed\"\npath = \"/f\"\nanswer = {{ body = \"fixed\" }}\n\
         [[route]]\nname = \"say \\\"hi\\\"\\\\\"\npath = \"/q\"\nredirect = {{ path = \"/f\" }}\n",
        origin.address
    ))
    .log(log)
    .shards(2)
    .start()
}

/// Sends a fixed set of requests, over several connections: by route and class how many.
fn ask_around(gateway: &Gateway) -> BTreeMap<(&'static str, &'static str), u64> {
    for _ in 0..5 {
        let mut client = gateway.client();
        for _ in 0..4 {
            assert_eq!(client.get("/p/x?a=%22b%22").status, 200);
        }
        assert_eq!(client.get("/f").status, 200);
        assert_eq!(client.get("/q").status, 308);
        assert_eq!(client.get("/none").status, 404);
        let post = client.ask("POST /p/y HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n0123456789");
        assert_eq!(post.status, 200);
    }
    let mut wrong = gateway.client();
    assert_eq!(wrong.ask("GET / HTTP/1.1\r\nHost : test\r\n\r\n").status, 400);
    BTreeMap::from([(("proxied", "2xx"), 25), (("fixed", "2xx"), 5), (("say \\\"hi\\\"\\\\", "3xx"), 5)])
}

/// Requests that `ask_around` sends.
const ASKED: usize = 41;

#[test]
fn json_lines_are_whole_and_true() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, "json");
    let mut odd = gateway.client();
    odd.send(b"GET /f?\"\\\xc3\xa9 HTTP/1.1\r\nHost: a\r\nUser-Agent: x\"y\\z\xff\xe9\r\nReferer: </script>\r\n\r\n");
    let _ = odd.read("GET");
    ask_around(&gateway);
    let entries = gateway.log(ASKED + 1);
    assert_eq!(entries.len(), ASKED + 1);
    for entry in &entries {
        let time = entry["time"].as_str().expect("a time");
        assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
        assert!(entry["duration_ms"].as_f64().is_some() && entry["status"].as_u64().is_some());
        assert_eq!(entry["client"], "127.0.0.1");
    }
    let of = |target: &str| entries.iter().filter(move |entry| entry["target"] == target).collect::<Vec<_>>();
    let posts = of("/p/y");
    assert_eq!(posts.len(), 5);
    for post in posts {
        assert_eq!((post["method"].as_str(), post["bytes_received"].as_u64()), (Some("POST"), Some(10)));
        assert_eq!((post["bytes_sent"].as_u64(), post["upstream"].as_str()), (Some(10), Some("o")));
        assert_eq!(post["endpoint"], origin.address.to_string());
        let first = post["first_byte_ms"].as_f64().expect("a time");
        assert!(first <= post["duration_ms"].as_f64().expect("a time"));
    }
    assert!(of("/p/x?a=%22b%22").iter().any(|entry| entry["connect_ms"].is_number()));
    assert_eq!(of("/none")[0]["reason"], "no_route");
    let bad = entries.iter().find(|entry| entry["status"] == 400).expect("logged");
    assert_eq!(bad["reason"], "bad_request");
}

#[test]
fn combined_lines_are_what_log_tools_read() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, "combined");
    ask_around(&gateway);
    let mut client = gateway.client();
    client.ask("GET /f HTTP/1.1\r\nHost: test\r\nUser-Agent: a \"b\" \\c\r\nReferer: http://r/\r\n\r\n");
    let lines = wait_for("the log", || Some(gateway.log_lines()).filter(|lines| lines.len() > ASKED));
    for line in &lines {
        let (client, rest) = line.split_once(" - - [").expect("a client");
        let (time, rest) = rest.split_once("] \"").expect("a time");
        assert_eq!((client, time.len()), ("127.0.0.1", "20/Nov/2026:10:00:00 +0000".len()));
        let (request, rest) = rest.split_once("\" ").expect("a request");
        assert!(request.ends_with("HTTP/1.1") || request.is_empty() || request.contains("HTTP"), "{line}");
        let (status, rest) = rest.split_once(' ').expect("a status");
        assert!(status.parse::<u16>().is_ok_and(|status| (200..600).contains(&status)), "{line}");
        assert!(rest.split_once(' ').is_some_and(|(bytes, rest)| bytes.parse::<u64>().is_ok() && rest.ends_with('"')));
    }
    let ours = r#""GET /f HTTP/1.1" 200 5 "http://r/" "a \x22b\x22 \x5Cc""#;
    assert!(lines.iter().any(|line| line.ends_with(ours)), "{lines:#?}");
}

#[test]
fn lines_can_be_of_ones_own_making() {
    let origin = Origin::echo();
    let format =
        "{client.ip}|{method}|{path}|{query}|{status}|{route}|{upstream.address}|{header.x-a}|{duration}|{bytes_sent}";
    let gateway = gateway(&origin, format);
    gateway.client().ask("GET /p/x?y=z HTTP/1.1\r\nHost: test\r\nX-A: a\tb\r\n\r\n");
    let lines = wait_for("the log", || Some(gateway.log_lines()).filter(|lines| !lines.is_empty()));
    let parts: Vec<&str> = lines[0].split('|').collect();
    let address = origin.address.to_string();
    assert_eq!(parts[..8], ["127.0.0.1", "GET", "/p/x", "y=z", "200", "proxied", &*address, "a\\x09b"]);
    assert!(parts[8].parse::<f64>().is_ok() && parts[9] == "0", "{}", lines[0]);
}

#[test]
fn json_lines_have_fields_of_ones_own() {
    let setup = Setup::web("[[route]]\nname = \"r\"\npath = \"/{id}\"\nanswer = { body = \"here\" }\n").log("");
    let more = "[log.access]\npath = \"{dir}/access.log\"\nfields = { tenant = \"{header.x-tenant}\", \"a \\\"b\" = \
                \"{status}/{reason}\", fixed = \"edge-1\", quoted = 'é \"{method}\" \\ {{{status}' }\n";
    let text = format!("{more}{}", setup.text);
    let gateway = Setup { text, ..setup }.start();
    gateway.client().ask("GET /7 HTTP/1.1\r\nHost: test\r\nX-Tenant: \"a\\b\tc\r\n\r\n");
    gateway.client().ask("GET /7/8 HTTP/1.1\r\nHost: test\r\n\r\n");
    let entries = gateway.log(2);
    assert_eq!((&entries[0]["tenant"], &entries[0]["a \"b"]), (&"\"a\\b\tc".into(), &"200/".into()));
    assert_eq!((&entries[1]["tenant"], &entries[1]["a \"b"]), (&"".into(), &"404/no_route".into()));
    assert!(entries.iter().all(|entry| entry["fixed"] == "edge-1"));
    // What stands between the variables is content of the text, too.
    assert_eq!(entries[0]["quoted"], "é \"GET\" \\ {200");
}

#[test]
fn a_share_of_requests_is_logged_and_failures_always() {
    let origin = Origin::with(|peer| {
        peer.request()?;
        peer.reset();
        Ok(())
    });
    let text = format!(
        "[log.access]\npath = \"{{dir}}/access.log\"\nsample = \"0%\"\n\
         [[route]]\nname = \"none\"\npath = \"/none\"\nanswer = {{ body = \"x\" }}\n\
         [[route]]\nname = \"some\"\npath = \"/some\"\naccess_log_sample = \"20%\"\nanswer = {{ body = \"x\" }}\n\
         [[route]]\nname = \"broken\"\npath = \"/broken\"\naccess_log_sample = \"0.0001%\"\nto = \"{}\"\n\
         [[route]]\nname = \"off\"\npath = \"/off\"\naccess_log = false\nto = \"{}\"\n\
         [[route]]\nname = \"last\"\npath = \"/last\"\naccess_log_sample = \"100%\"\nanswer = {{ body = \"x\" }}\n",
        origin.url(),
        origin.url()
    );
    let gateway = Setup::web(text).log("").start();
    let mut client = gateway.client();
    for _ in 0..500 {
        client.get("/none");
        client.get("/some");
    }
    for _ in 0..3 {
        assert_eq!(client.get("/broken").status, 502);
        assert_eq!(client.get("/off").status, 502);
    }
    assert_eq!(client.get("/unknown").status, 404);
    client.get("/last");
    // Lines of one thread stay in order.
    wait_for("the last line", || gateway.log_lines().last().filter(|line| line.contains("\"/last\"")).map(drop));
    let lines = gateway.log_lines();
    let of = |route: &str| lines.iter().filter(|line| line.contains(&format!("\"route\":\"{route}\""))).count();
    // 100 are expected; that it is below 40 or above 180 happens once in 10^13 runs.
    assert!((40..=180).contains(&of("some")), "{}", of("some"));
    assert_eq!((of("none"), of("broken"), of("off"), of(""), of("last")), (0, 3, 0, 0, 1));
}

/// The samples of a metrics page: name with labels to value. Panics on what a strict reader would refuse.
fn samples(page: &str) -> BTreeMap<String, f64> {
    assert!(page.ends_with('\n'));
    let (mut families, mut samples) = (BTreeMap::new(), BTreeMap::new());
    let (mut helped, mut current) = (BTreeSet::new(), String::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(helped.contains(name) && matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}: a second time");
            name.clone_into(&mut current);
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().expect("a name");
            let family = match &*families[&current] {
                "histogram" => name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count"),
                _ => name,
            };
            assert_eq!(family, current, "{line}: below another family");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}: no number"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "{line}: a second time");
        }
    }
    samples
}

#[test]
fn counters_add_up_to_what_was_asked() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, "json");
    let expected = ask_around(&gateway);
    gateway.log(ASKED);
    let samples = samples(&gateway.metrics());
    let value = |series: &str| *samples.get(series).unwrap_or_else(|| panic!("no {series}"));
    for ((route, class), count) in expected {
        let series = format!("turnpike_requests_total{{route=\"{route}\",class=\"{class}\"}}");
        assert_eq!(value(&series), count as f64, "{series}");
        let series = format!("turnpike_request_duration_seconds_count{{route=\"{route}\"}}");
        assert_eq!(value(&series), count as f64, "{series}");
        let series = format!("turnpike_request_duration_seconds_bucket{{route=\"{route}\",le=\"+Inf\"}}");
        assert_eq!(value(&series), count as f64, "{series}");
    }
    assert_eq!(value("turnpike_connections_accepted_total"), 6.0);
    assert_eq!(value("turnpike_requests_rejected_total"), 1.0);
    assert_eq!(value("turnpike_request_body_bytes_total{route=\"proxied\"}"), 50.0);
    assert_eq!(value("turnpike_response_body_bytes_total{route=\"fixed\"}"), 25.0);
    assert_eq!(value("turnpike_upstream_requests_total{upstream=\"o\"}"), 25.0);
    assert_eq!(value("turnpike_shards"), 2.0);
    assert_eq!(value("turnpike_panics_total"), 0.0);
    assert_eq!(value("turnpike_log_lines_dropped_total{at=\"writer\"}"), 0.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
}

#[test]
fn counters_go_on_over_a_reload() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, "json");
    ask_around(&gateway);
    assert_eq!(gateway.reload().0, 200);
    ask_around(&gateway);
    gateway.log(2 * ASKED);
    let samples = samples(&gateway.metrics());
    assert_eq!(samples["turnpike_requests_total{route=\"proxied\",class=\"2xx\"}"], 50.0);
    assert_eq!(samples["turnpike_connections_accepted_total"], 12.0);
    assert_eq!(gateway.status()["requests"].as_u64(), Some(70));
}

#[test]
fn the_admin_listener_tells_and_does_not_change() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, "json");
    let status = gateway.status();
    let admin: std::net::SocketAddr = status["admin"].as_str().expect("an address").parse().expect("an address");
    let mut client = Client::to(admin);
    let mut get = |target: &str| client.ask(format!("GET {target} HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
    assert_eq!(get("/healthz").text(), "ok\n");
    assert_eq!(get("/readyz").status, 200);
    let metrics = get("/metrics");
    assert!(metrics.field("content-type").starts_with("text/plain; version=0.0.4"));
    samples(&metrics.text());
    assert_eq!(get("/status").json()["pid"].as_u64(), Some(u64::from(gateway.pid())));
    assert_eq!(get("/nothing").status, 404);
    assert_eq!(get("/stop").status, 405);
    let rebound = client.get("/status");
    assert_eq!((rebound.status, rebound.text().contains("not a name of this admin listener")), (421, true));
    let local = format!("POST /stop HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n");
    let local = client.ask(local);
    assert_eq!((local.status, local.text().contains("over the control socket")), (401, true));
    let browser = client.ask("POST /stop HTTP/1.1\r\nHost: x\r\nOrigin: http://evil\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(browser.status, 403);
    assert_eq!(gateway.get("/f").status, 200);
}

#[test]
fn without_metrics_the_page_is_still_well_formed() {
    let gateway = Setup::web("[metrics]\nenabled = false\n[[route]]\nanswer = { body = \"x\" }\n").start();
    gateway.get("/");
    samples(&gateway.metrics());
}

#[test]
fn routes_may_be_left_out_of_the_access_log() {
    let gateway = Setup::web(
        "[[route]]\npath = \"/health\"\nanswer = { body = \"ok\" }\naccess_log = false\n\
         [[route]]\npath = \"/x\"\nanswer = { body = \"x\" }\n",
    )
    .log("json")
    .start();
    for target in ["/health", "/x", "/health", "/x"] {
        assert_eq!(gateway.get(target).status, 200);
    }
    let entries = gateway.log(2);
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|entry| entry["target"] == "/x"), "{entries:?}");
}

/// The status that curl gets.
fn curl(arguments: &[&str]) -> String {
    let fixed = ["-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"];
    run("curl", &[&fixed[..], arguments].concat()).text()
}

#[test]
fn the_admin_listener_is_guarded() {
    let text = "names = \"edge.internal\"\ntoken = \"0123456789abcdef\"\n";
    let text = format!("{text}{WEB}[[route]]\nanswer = {{ body = \"x\" }}\n");
    let gateway = Setup::new(text).log("").start();
    let status = gateway.status();
    let admin = status["admin"].as_str().expect("an address");
    let (reload, health) = (format!("http://{admin}/reload"), format!("http://{admin}/healthz"));
    assert_eq!(curl(&["-H", "Host: evil.test", &health]), "421");
    assert_eq!(curl(&["-H", "Host: edge.internal:80", &health]), "200");
    assert_eq!(curl(&["-X", "POST", &reload]), "401");
    assert_eq!(curl(&["-X", "POST", "-H", "Authorization: Bearer 0123456789abcdeX", &reload]), "401");
    assert_eq!(curl(&["-X", "POST", "-H", "Authorization: Bearer 0123456789abcdef", &reload]), "200");
    let silent: Vec<std::net::TcpStream> =
        (0..300).map(|_| std::net::TcpStream::connect(admin).expect("connected")).collect();
    assert_eq!(curl(&[&health]), "200");
    assert_eq!(curl(&[&format!("http://{admin}/readyz")]), "200");
    drop(silent);
}
