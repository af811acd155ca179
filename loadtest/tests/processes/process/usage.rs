// SPDX-License-Identifier: Apache-2.0
//! Usage: what clients saw answered is counted once on billed routes, whatever happens to the process; who called what
//! is shown and exported.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::harness::gateway::{SOON, WEB, binary};
use crate::harness::origin::ok;
use crate::harness::postgres::Postgres;
use crate::harness::tool::{python, reserved};
use crate::harness::{Client, End, Gateway, Origin, Setup, run, wait_for};

/// Times that the process is killed.
const KILLS: usize = 8;
/// Clients that ask meanwhile.
const CLIENTS: usize = 4;

/// What clients have sent, and what they have seen a whole response to.
#[derive(Debug, Default)]
struct Seen {
    sent: AtomicU64,
    answered: AtomicU64,
}

impl Seen {
    fn wait_for_more(&self, count: u64) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_for("answers", || (self.answered.load(Ordering::Relaxed) > before + count).then_some(()));
    }
}

/// Clients that ask one after the other until they are stopped, or the gateway is gone.
struct Askers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Askers {
    fn start(here: SocketAddr, seen: &Arc<Seen>) -> Askers {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..CLIENTS).map(|number| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(seen));
            thread::spawn(move || ask_on(here, number, &seen, &stop))
        });
        Askers { threads: threads.collect(), stop }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a client"));
    }
}

fn ask_on(here: SocketAddr, number: usize, seen: &Seen, stop: &AtomicBool) {
    // A length, the chunked coding, an upload, a refusal of the route's policy, a long body: each ends in another way.
    let targets = ["/billed/length", "/billed/chunked", "/billed/upload", "/billed/refused", "/billed/long"];
    let mut round = number;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::try_to(here) else { return };
        for _ in 0..7 {
            round += 1;
            let target = targets[round % targets.len()];
            let request = match target {
                "/billed/upload" => format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"),
                _ => format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"),
            };
            seen.sent.fetch_add(1, Ordering::Relaxed);
            if client.try_send(&request).is_err() {
                break;
            }
            let Ok(answer) = client.read("GET") else { break };
            if answer.end != End::Complete || !(answer.status == 200 || answer.status == 403) {
                break;
            }
            seen.answered.fetch_add(1, Ordering::Relaxed);
            if answer.closes() || stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

fn origin() -> Origin {
    Origin::answering(|request| match request.target.as_str() {
        "/billed/chunked" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec()
        }
        "/billed/long" => ok(vec![b'x'; 100_000]),
        _ => ok("done"),
    })
}

/// A store in a file.
const FILE: &str = "path = \"{dir}/store.db\"";

fn billed(origin: &Origin, listener: &str, store: &str) -> Gateway {
    let to = origin.url();
    let text = format!(
        "[store]\n{store}\n[usage]\nroutes = \"off\"\n\
         [policy.nobody]\nnetwork = {{ deny = [\"0.0.0.0/0\"] }}\n\
         [[route]]\nname = \"refused\"\npath = \"/billed/refused\"\nto = \"{to}\"\n\
         usage = \"billed\"\npolicies = [\"nobody\"]\n\
         [[route]]\nname = \"billed\"\npath_prefix = \"/billed\"\nto = \"{to}\"\nusage = \"billed\"\n"
    );
    Setup::new(format!("{listener}{text}")).log("").shards(2).start()
}

fn turnpike(gateway: &Gateway, arguments: &[&str]) -> String {
    let config = gateway.config_path().display().to_string();
    let out = run(binary(), &[arguments, &["-c", &config]].concat());
    assert_eq!(out.code, 0, "{}", out.all());
    out.text()
}

/// All requests that were recorded, of minutes, hours and days.
fn recorded(gateway: &Gateway) -> u64 {
    let sums = ["minute", "hour", "day"].map(|step| sum_of(gateway, step));
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
    sums[0]
}

/// All requests that were recorded, of days: while more come, minutes and hours may have other ones by then.
fn of_days(gateway: &Gateway) -> u64 {
    sum_of(gateway, "day")
}

fn sum_of(gateway: &Gateway, step: &str) -> u64 {
    let text = turnpike(gateway, &["usage", "--since", "2d", "--step", step, "--output", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    rows.iter().filter_map(|row| row["requests"].as_u64()).sum()
}

fn check(gateway: &Gateway, seen: &Seen) {
    let (sent, answered) = (seen.sent.load(Ordering::Relaxed), seen.answered.load(Ordering::Relaxed));
    let recorded = recorded(gateway);
    println!("{sent} sent, {answered} answered, {recorded} recorded");
    assert!(answered > 0 && answered <= recorded, "{recorded} of {answered} answered requests are recorded");
    assert!(recorded <= sent, "{recorded} are recorded and only {sent} were sent");
}

/// Clients ask until some time after twenty answers; then the process is killed, and started again.
fn kill_while_they_ask(gateway: &mut Gateway, seen: &Arc<Seen>, round: usize) {
    let askers = Askers::start(gateway.here(), seen);
    seen.wait_for_more(20);
    thread::sleep(Duration::from_millis(13 * round as u64));
    gateway.signal("KILL");
    gateway.wait(SOON);
    askers.end();
    gateway.start_again();
    check(gateway, seen);
}

#[test]
fn what_a_client_saw_answered_is_counted_once_however_often_the_process_is_killed() {
    let origin = origin();
    let mut gateway = billed(&origin, WEB, FILE);
    let seen = Arc::new(Seen::default());
    (0..KILLS).for_each(|round| kill_while_they_ask(&mut gateway, &seen, round));
    let (answered, recorded) = (seen.answered.load(Ordering::Relaxed), recorded(&gateway));
    assert!(recorded - answered <= (KILLS * CLIENTS) as u64, "beside them, one of each client that was under way");
}

#[test]
fn what_a_client_saw_answered_is_counted_once_in_postgresql_whichever_of_both_is_killed() {
    let (origin, mut postgres) = (origin(), Postgres::start());
    let store = format!("url = \"{}\"", postgres.url("p%40ss-0123456789"));
    let mut gateway = billed(&origin, WEB, &store);
    let seen = Arc::new(Seen::default());
    for round in 0..KILLS / 4 {
        kill_while_they_ask(&mut gateway, &seen, round);
        // The database crashes, with commits under way whose outcome the gateway does not learn.
        let askers = Askers::start(gateway.here(), &seen);
        seen.wait_for_more(20);
        postgres.end();
        wait_for("the gateway to notice", || gateway.metrics().contains("\nturnpike_store_up 0").then_some(()));
        postgres.begin();
        seen.wait_for_more(20);
        askers.end();
        wait_for("what waited", || gateway.metrics().contains("\nturnpike_usage_lag_seconds 0\n").then_some(()));
        check(&gateway, &seen);
    }
}

#[test]
fn what_a_client_saw_answered_is_counted_once_over_upgrades_and_a_stop() {
    let origin = origin();
    let port = reserved();
    let mut gateway = billed(&origin, &format!("[[listener]]\nname = \"web\"\nbind = \"{}\"\n", port.address()), FILE);
    let seen = Arc::new(Seen::default());
    let askers = Askers::start(gateway.here(), &seen);
    let mut before = gateway.pid();
    for _ in 0..2 {
        seen.wait_for_more(20);
        crate::harness::gateway::signal(before, "USR2");
        let after = wait_for("the successor", || {
            let pid = gateway.admin_get("/status").filter(|answer| answer.status == 200)?.json()["pid"].as_u64()?;
            u32::try_from(pid).ok().filter(|pid| *pid != before)
        });
        gateway.adopt(after);
        before = after;
    }
    askers.end();
    check(&gateway, &seen);
    let answered = seen.answered.load(Ordering::Relaxed);
    let config = gateway.config_path().display().to_string();
    assert_eq!(run(binary(), &["stop", "-c", &config]).code, 0);
    wait_for("the end", || gateway.admin_get("/status").is_none().then_some(()));
    gateway.start_again();
    // A client that was cut off by a drain between two requests sent one that nobody took.
    assert!(recorded(&gateway) >= answered);
}

const KEYS: &str = "[policy.keys]\napi_key = {}\n\
    [[consumer]]\nname = \"acme\"\nplan = \"gold\"\ntenant = \"north\"\nkeys = [{ key = \"acme-demo-key-0001\" }]\n\
    [[consumer]]\nname = \"tools\"\nkeys = [{ key = \"tools-demo-key-0001\" }]\n\
    [plan.gold]\nproducts = [\"maps\"]\n[product.maps]\nroutes = [\"tiles\"]\n[tenant.north]\n";

#[test]
fn who_called_what_is_shown_exported_and_survives_a_stop() {
    let origin = Origin::saying("hello");
    let to = origin.url();
    let text = format!(
        "{KEYS}[store]\npath = \"{{dir}}/store.db\"\n[usage]\n\
         export = {{ file = \"{{dir}}/usage.jsonl\", every = \"1s\" }}\n\
         [[route]]\nname = \"tiles\"\npath_prefix = \"/tiles\"\nto = \"{to}\"\npolicies = [\"keys\"]\n\
         [[route]]\nname = \"quiet\"\npath_prefix = \"/quiet\"\nto = \"{to}\"\nusage = \"off\"\n"
    );
    let mut gateway = Setup::web(text).log("").start();
    let mut client = gateway.client();
    for (key, count) in [("acme-demo-key-0001", 5), ("tools-demo-key-0001", 3), ("wrong", 2)] {
        for _ in 0..count {
            client.ask(format!("GET /tiles/1 HTTP/1.1\r\nHost: test\r\nX-API-Key: {key}\r\n\r\n"));
        }
    }
    client.get("/quiet");
    wait_for("the usage", || (of_days(&gateway) == 10).then_some(()));
    let by = "consumer,plan,product,tenant,status";
    let text = turnpike(&gateway, &["usage", "--by", by, "--output", "csv"]);
    let rows: Vec<String> = text.lines().map(|line| line.split(',').take(6).collect::<Vec<_>>().join(",")).collect();
    let expected =
        ["consumer,tenant,plan,product,status,requests", ",,,,4xx,2", "acme,north,gold,maps,2xx,5", "tools,,,,2xx,3"];
    assert_eq!(rows, expected, "{text}");
    let shown = turnpike(&gateway, &["usage", "--since", "7d", "consumer=acme"]);
    assert!(shown.contains("acme") && shown.contains("100.0%") && shown.contains("requests by day"), "{shown}");
    let exported = || {
        let text = fs::read_to_string(gateway.path("usage.jsonl")).unwrap_or_default();
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let sum: u64 = rows.iter().filter_map(|row| row["requests"].as_u64()).sum();
        (sum == 10).then_some(rows)
    };
    let rows = wait_for("the export", exported);
    assert!(rows.iter().all(|row| row["id"].as_str().is_some_and(|id| id.starts_with("usage-"))), "{rows:?}");
    let page = gateway.metrics();
    assert!(page.contains("turnpike_usage_exports_total") && page.contains("turnpike_usage_lag_seconds 0"), "{page}");
    // The last second is recorded at the end.
    client.ask("GET /tiles/1 HTTP/1.1\r\nHost: test\r\nX-API-Key: acme-demo-key-0001\r\n\r\n");
    drop(client);
    gateway.signal("TERM");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    gateway.start_again();
    assert_eq!(recorded(&gateway), 11);
}

#[test]
fn billed_requests_are_refused_while_nothing_can_be_recorded_and_counted_requests_are_kept() {
    let origin = Origin::saying("hello");
    let to = origin.url();
    let text = format!(
        "[store]\npath = \"{{dir}}/store.db\"\n[usage]\nwait = \"300ms\"\n\
         [[route]]\nname = \"billed\"\npath_prefix = \"/billed\"\nto = \"{to}\"\nusage = \"billed\"\n\
         [[route]]\nname = \"counted\"\npath_prefix = \"/counted\"\nto = \"{to}\"\n"
    );
    let gateway = Setup::web(text).start();
    assert_eq!(gateway.get("/billed").status, 200);
    // Another program that writes holds up the store.
    let path = gateway.path("store.db").display().to_string();
    let hold = "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                c.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()\n";
    let mut holder = std::process::Command::new(python())
        .args(["-c", hold, &path])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python");
    let mut said = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().expect("piped"), &mut said).expect("it holds the store");
    // The upstream has served it by then, so it is broken off.
    let mut client = gateway.client();
    client.send("GET /billed HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(client.read("GET").is_err());
    assert_eq!(gateway.reason(2), "usage_not_recorded");
    let before = origin.count();
    assert_eq!(gateway.get("/billed").status, 503);
    assert_eq!(origin.count(), before, "it is refused before it is forwarded");
    assert_eq!(gateway.get("/counted").status, 200);
    drop(holder.stdin.take());
    holder.wait().expect("it ends");
    wait_for("the store", || (gateway.get("/billed").status == 200).then_some(()));
    wait_for("the counted one", || {
        let text = turnpike(&gateway, &["usage", "--by", "route", "--output", "json", "route=counted"]);
        text.contains("\"requests\": 1").then_some(())
    });
}

#[test]
fn an_export_is_posted_again_with_the_same_id_and_content_until_it_arrives() {
    let origin = Origin::saying("hello");
    let tries = AtomicU64::new(0);
    let billing = Origin::answering(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => ok("taken"),
    });
    let text = format!(
        "[store]\npath = \"{{dir}}/store.db\"\n\
         [usage]\nexport = {{ url = \"{}/usage\", secret = \"0123456789abcdef\", every = \"1s\" }}\n\
         [[route]]\nname = \"all\"\nto = \"{}\"\n",
        billing.url(),
        origin.url()
    );
    let gateway = Setup::web(text).log("").start();
    (0..3).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    let posts = wait_for("three posts", || Some(billing.requests()).filter(|posts| posts.len() >= 3));
    let [first, rest @ ..] = &posts[..3] else { unreachable!("there are three") };
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/usage"));
    assert!(first.field("webhook-signature").starts_with("v1,") && !first.body.is_empty());
    for again in rest {
        assert_eq!((again.field("webhook-id"), &again.body), (first.field("webhook-id"), &first.body));
    }
    gateway.get("/");
    wait_for("all of it", || {
        let mut arrived: Vec<_> =
            billing.requests().into_iter().map(|post| (post.field("webhook-id").to_owned(), post.body)).collect();
        arrived.dedup();
        let lines =
            arrived.iter().flat_map(|(_, body)| body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()));
        let rows = lines.map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
        (rows.filter_map(|row| row["requests"].as_u64()).sum::<u64>() == 4).then_some(())
    });
}
