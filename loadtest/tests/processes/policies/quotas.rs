// SPDX-License-Identifier: Apache-2.0
//! Quotas in the store and in Redis: never exceeded and almost all usable, whatever is killed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use loadtest::socket::Reserved;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::harness::certificates::{Authority, Pair};
use crate::harness::gateway::WEB;
use crate::harness::{Client, Gateway, Setup, tool, wait_for};

const QUOTA: u32 = 6_000;

/// What has the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// A rate limit, by a header.
    Limit,
    /// The plan of the consumers `k` and `other`, whose keys are their names.
    Plan,
}

impl Of {
    /// A gateway that counts in `database`, whose section stands in `section`.
    fn counted(self, section: &str, database: &str, more: &str) -> Gateway {
        self.counted_at(WEB, section, (database, more))
    }

    /// The same behind this listener.
    fn counted_at(self, listener: &str, section: &str, (database, more): (&str, &str)) -> Gateway {
        let (objects, policies) = match self {
            Of::Limit => {
                let limit = format!(
                    "[policy.all]\nrate_limit = {{ windows = [\"{QUOTA}/month\"], key = \"header:X-Key\", \
                     counted_in = \"{database}\", {more} }}\n"
                );
                (limit, "[\"all\"]")
            }
            Of::Plan => (subscribers(QUOTA, database, more), "[\"keys\", \"all\"]"),
        };
        Setup::new(format!(
            "{listener}\n{section}\n{objects}\
             [[route]]\npath = \"/limited\"\nanswer = {{ body = \"in\" }}\npolicies = {policies}\n"
        ))
        .shards(2)
        .log("")
        .start()
    }

    fn in_store(self, folder: &Path) -> Gateway {
        self.counted(&store(folder), "store", "")
    }

    fn in_redis(self, redis: &Redis, more: &str) -> Gateway {
        let port = redis.address.port();
        let section = format!("[redis]\nurl = \"redis://127.0.0.1:{port}/3\"\npassword = \"secret\"\n");
        self.counted(&section, "redis", more)
    }
}

fn store(folder: &Path) -> String {
    format!("[store]\npath = \"{}\"\n", folder.join("turnpike.db").display())
}

/// Consumers with a plan of so many requests a month.
fn subscribers(quota: u32, database: &str, more: &str) -> String {
    let consumer = |name: &str| {
        let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[consumer]]\nname = \"{name}\"\nplan = \"sold\"\nkeys = [{{ sha256 = \"{hash}\" }}]\n")
    };
    format!(
        "[policy.keys.api_key]\nheader = \"x-key\"\n[policy.all]\nplan = {{ counted_in = \"{database}\", {more} }}\n\
         [plan.sold]\nlimits = [{{ count = {quota}, per = \"month\" }}]\n{}{}",
        consumer("k"),
        consumer("other")
    )
}

/// Asks once; the status.
fn ask(client: &mut Client, key: &str) -> u16 {
    client.ask(format!("GET /limited HTTP/1.1\r\nHost: a.test\r\nX-Key: {key}\r\n\r\n")).status
}

/// Asks on several connections until `most` were let through or one was refused. Returns how many were let through, and
/// the statuses of refusals that were not 429.
fn use_up(here: SocketAddr, connections: usize, key: &str, most: u32) -> (u32, Vec<u16>) {
    let (admitted, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let odd = thread::scope(|scope| {
        let one = || {
            let mut client = Client::to(here);
            let mut odd = Vec::new();
            let mut refused = 0;
            while !over.load(Ordering::Relaxed) && refused < 5 {
                match ask(&mut client, key) {
                    200 => {
                        refused = 0;
                        if admitted.fetch_add(1, Ordering::Relaxed) + 1 >= most {
                            over.store(true, Ordering::Relaxed);
                        }
                    }
                    429 => {
                        // What another thread gives back comes within a moment.
                        refused += 1;
                        thread::sleep(Duration::from_millis(100));
                    }
                    other => {
                        odd.push(other);
                        refused += 1;
                    }
                }
            }
            odd
        };
        let all: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        all.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    });
    (admitted.into_inner(), odd)
}

#[test]
fn a_quota_in_the_store_outlives_any_number_of_kills() {
    is_killed(Of::Limit);
}

#[test]
fn the_quota_of_a_plan_outlives_any_number_of_kills() {
    is_killed(Of::Plan);
}

fn is_killed(of: Of) {
    let folder = TempDir::new().expect("a folder");
    let mut total = 0;
    let kills = 5;
    for round in 1..=kills {
        let mut gateway = of.in_store(folder.path());
        // The kill comes at a count, not at a time, while a request is on its way: a fast machine would have used the
        // quota up before a time.
        let enough = 350 + 100 * round;
        let mut admitted = 0;
        let mut client = Client::to(gateway.here());
        while client.try_send("GET /limited HTTP/1.1\r\nHost: a.test\r\nX-Key: k\r\n\r\n").is_ok() {
            if admitted == enough {
                gateway.signal("KILL");
            }
            match client.read("GET") {
                Ok(response) => assert_eq!(response.status, 200, "after {admitted} in round {round}"),
                // It may have been counted; nobody was told.
                Err(_) => break,
            }
            admitted += 1;
        }
        assert!(admitted >= enough, "only {admitted} of {enough} requests passed");
        gateway.wait(Duration::from_secs(5));
        total += admitted;
    }
    let gateway = of.in_store(folder.path());
    let (got, odd) = use_up(gateway.here(), 3, "k", QUOTA * 2);
    let all = total + got;
    println!("{total} before the last start, {got} after it, of {QUOTA}");
    assert!(odd.is_empty(), "{odd:?}");
    assert!(got > 0, "the kills left nothing to prove");
    assert!(all <= QUOTA, "{all} of {QUOTA}");
    // One percent for each kill, and one that lies on threads at the end.
    let least = QUOTA - QUOTA / 100 * (kills + 1);
    assert!(all >= least, "{all} of {QUOTA}, of which {least} should be usable");
}

#[test]
fn a_clean_stop_gives_back_what_was_leased() {
    is_stopped(Of::Limit);
}

#[test]
fn a_clean_stop_gives_back_what_was_leased_of_a_plan() {
    is_stopped(Of::Plan);
}

fn is_stopped(of: Of) {
    let folder = TempDir::new().expect("a folder");
    let mut total = 0;
    for _ in 0..4 {
        let mut gateway = of.in_store(folder.path());
        total += use_up(gateway.here(), 2, "k", 500).0;
        gateway.signal("TERM");
        assert!(gateway.wait(Duration::from_secs(20)).success());
    }
    let gateway = of.in_store(folder.path());
    let all = total + use_up(gateway.here(), 3, "k", QUOTA * 2).0;
    assert!((QUOTA - QUOTA / 100..=QUOTA).contains(&all), "{all} of {QUOTA}");
    assert_eq!(use_up(gateway.here(), 1, "other", 10).0, 10, "another key has a quota of its own");
}

/// A Redis of our own.
struct Redis {
    address: SocketAddr,
    _reserved: Reserved,
    folder: TempDir,
    process: Option<Child>,
    /// It speaks TLS with `server.pem` in its folder.
    tls: bool,
}

impl Redis {
    fn start() -> Redis {
        Redis::with(None)
    }

    fn start_tls(certificate: &Pair) -> Redis {
        Redis::with(Some(certificate))
    }

    fn with(certificate: Option<&Pair>) -> Redis {
        let reserved = tool::reserved();
        let (address, folder) = (reserved.address(), TempDir::new().expect("a folder"));
        let mut redis = Redis { address, _reserved: reserved, folder, process: None, tls: certificate.is_some() };
        if let Some(certificate) = certificate {
            certificate.write(redis.folder.path(), "server");
        }
        redis.begin();
        redis
    }

    fn begin(&mut self) {
        let port = self.address.port().to_string();
        let mut command = Command::new("redis-server");
        command.args(if self.tls {
            ["--port", "0", "--tls-port", &port]
        } else {
            ["--port", &port, "--tls-port", "0"]
        });
        if self.tls {
            let file = |name: &str| self.folder.path().join(name);
            command.arg("--tls-cert-file").arg(file("server.pem")).arg("--tls-key-file").arg(file("server.key"));
            command.args(["--tls-auth-clients", "no"]);
        }
        command.args(["--bind", "127.0.0.1", "--save", "", "--requirepass", "secret", "--dir"]);
        command.arg(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().expect("redis-server starts"));
        let address = self.address;
        wait_for("Redis", || std::net::TcpStream::connect(address).ok());
    }

    /// Ends it, with all that it knows.
    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it runs");
            process.wait().expect("it ends");
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn two_gateways_share_a_quota_in_redis_on_an_uneven_load() {
    are_two(Of::Limit);
}

#[test]
fn two_gateways_share_the_quota_of_a_plan_in_redis() {
    are_two(Of::Plan);
}

fn are_two(of: Of) {
    let redis = Redis::start();
    let (first, second) = (of.in_redis(&redis, ""), of.in_redis(&redis, ""));
    let (of_second, of_first) =
        (use_up(second.here(), 1, "k", QUOTA / 10 - 200).0, use_up(first.here(), 3, "k", QUOTA * 2));
    let (of_first, odd) = of_first;
    let of_second = of_second + use_up(second.here(), 2, "k", QUOTA).0;
    let all = of_first + of_second;
    println!("{of_first} and {of_second} of {QUOTA}");
    assert!(odd.is_empty(), "{odd:?}");
    assert!(all <= QUOTA, "{all} of {QUOTA}");
    assert!(all >= QUOTA * 97 / 100, "only {all} of {QUOTA}");
}

#[test]
fn while_redis_is_away_each_gateway_does_as_it_was_told_and_no_burst_follows() {
    is_away(Of::Limit);
}

#[test]
fn while_redis_is_away_plans_hold_as_they_were_told() {
    is_away(Of::Plan);
}

fn is_away(of: Of) {
    let mut redis = Redis::start();
    let closed = of.in_redis(&redis, "");
    let open = of.in_redis(&redis, "on_outage = \"open\"");
    let shared = of.in_redis(&redis, "on_outage = \"local_share\", gateways = 3");
    let before: u32 = [&closed, &open, &shared].iter().map(|gateway| use_up(gateway.here(), 1, "k", 1_000).0).sum();
    assert_eq!(before, 3_000);
    redis.end();
    // What is leased already is used first.
    let (rest, odd) = use_up(closed.here(), 1, "k", QUOTA);
    assert!(rest <= QUOTA / 100 && !odd.is_empty() && odd.iter().all(|status| *status == 503), "{rest} {odd:?}");
    assert_eq!(use_up(open.here(), 1, "k", 300).0, 300);
    let (local, odd) = use_up(shared.here(), 2, "k", QUOTA);
    assert!(odd.is_empty(), "{odd:?}");
    assert!((900..=1_000).contains(&local), "{local} of its third of what was left");
    redis.begin();
    thread::sleep(Duration::from_millis(1_500));
    // The server has forgotten everything, and learns it again from those that know it.
    let mut after = 0;
    for gateway in [&shared, &closed, &open] {
        after += use_up(gateway.here(), 1, "k", 30).0;
    }
    thread::sleep(Duration::from_millis(1_000));
    for gateway in [&closed, &shared] {
        after += use_up(gateway.here(), 2, "k", QUOTA * 2).0;
    }
    let all = before + rest + local + after;
    println!("{before}, {rest}, {local}, {after}");
    // What the first of them leased before the others told what they have had.
    assert!(all <= QUOTA + QUOTA / 100, "{all} of {QUOTA}");
}

/// A gateway that counts in a Redis over TLS, under this name, and trusts this authority.
fn over_tls(redis: &Redis, host: &str, authority: &Authority) -> Gateway {
    let port = redis.address.port();
    let section = format!("[redis]\nurl = \"rediss://{host}:{port}\"\npassword = \"secret\"\nca = \"ca.pem\"\n");
    Setup::new(format!(
        "{WEB}\n{section}\n[policy.all]\nrate_limit = {{ windows = [\"100/month\"], key = \"header:X-Key\", \
         counted_in = \"redis\" }}\n[[route]]\nanswer = {{ body = \"in\" }}\npolicies = [\"all\"]\n"
    ))
    .file("ca.pem", &authority.pem)
    .shards(2)
    .log("")
    .start()
}

#[test]
fn over_tls_a_redis_is_believed_by_its_authority_and_its_name_alone() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let redis = Redis::start_tls(&authority.sign(&["localhost"]));
    let good = over_tls(&redis, "localhost", &authority);
    assert_eq!(use_up(good.here(), 2, "k", 1_000), (100, Vec::new()));
    assert_eq!(good.admin_get("/readyz").expect("it lives").text(), "ready\n");
    assert!(good.metrics().contains("turnpike_quota_database_up{database=\"redis\"} 1"), "{}", good.metrics());
    for (host, trusted, words) in
        [("localhost", &stranger, "UnknownIssuer"), ("127.0.0.1", &authority, "not valid for name")]
    {
        let gateway = over_tls(&redis, host, trusted);
        assert_eq!(ask(&mut gateway.client(), "k"), 503, "{host}");
        let ready = gateway.admin_get("/readyz").expect("it lives");
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains("the database of quotas cannot be reached"), "{}", ready.text());
        let said = gateway.said();
        let line = said.lines().find(|line| line.contains("nothing can be leased")).expect("the log says it");
        println!("{host}: {line}");
        assert!(line.contains("certificate") && line.contains(words), "{host}: {line}");
        assert!(gateway.metrics().contains("turnpike_quota_outages_total{database=\"redis\"} 1"), "{host}");
    }
    // A server without TLS, or one to which nobody speaks TLS.
    let plain = Redis::start();
    let gateway = over_tls(&plain, "localhost", &authority);
    assert_eq!(ask(&mut gateway.client(), "k"), 503);
    assert!(gateway.said().contains("nothing can be leased"), "{}", gateway.said());
}

#[test]
fn what_quotas_lease_and_grant_is_counted_by_limit() {
    let folder = TempDir::new().expect("a folder");
    let gateway = Of::Limit.in_store(folder.path());
    // The last ones may be under way on both connections.
    let used = u64::from(use_up(gateway.here(), 2, "k", 500).0);
    let value = |name: &str| -> u64 {
        let labels = "{policy=\"all\",window=\"month\",database=\"store\"} ";
        let start = format!("turnpike_quota_{name}{labels}");
        let metrics = gateway.metrics();
        let found = metrics.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{metrics}"));
        found.parse().expect("a number")
    };
    let (leased, granted) = (value("leased_total"), value("granted_total"));
    let percent = u64::from(QUOTA) / 100;
    assert!((used..=used + percent).contains(&leased), "{leased} leased");
    assert!((used..=leased).contains(&granted), "{granted} granted of {leased}");
    let metrics = gateway.metrics();
    assert!(metrics.contains("turnpike_quota_database_up{database=\"store\"} 1"), "{metrics}");
    assert!(metrics.contains("turnpike_quota_outages_total{database=\"store\"} 0"), "{metrics}");
    // Between two looks at it, more may be leased or come back.
    wait_for("the status to say the same", || {
        let status = gateway.status();
        let lease = &status["limits"][0]["leases"][0];
        let shown = (lease["window"].as_str(), lease["leased"].as_u64());
        (shown == (Some("month"), Some(value("leased_total")))).then_some(())
    });
    // What is not used comes back when the key is idle.
    let is_back = || value("returned_total") > 0 && value("leased_total") - value("given_back_total") == used;
    wait_for("it to come back", || is_back().then_some(()));
}

/// The plan allows another number from one process to the next: what was used stays used.
#[test]
fn another_number_of_a_plan_counts_from_what_was_used() {
    let folder = TempDir::new().expect("a folder");
    let start = |quota: u32| {
        // Where there is a store, plans are counted in it without a word.
        let objects = subscribers(quota, "store", "").replace("counted_in = \"store\", ", "");
        Setup::new(format!(
            "{WEB}\n{}\n{objects}[[route]]\npath = \"/limited\"\nanswer = {{ body = \"in\" }}\n\
             policies = [\"keys\", \"all\"]\n",
            store(folder.path())
        ))
        .shards(2)
        .log("")
        .start()
    };
    // Small numbers are leased one by one, so that a kill loses nothing.
    for (quota, least, most) in [(60, 60, 60), (90, 30, 30), (40, 0, 0), (100, 10, 10)] {
        let mut gateway = start(quota);
        let (got, odd) = use_up(gateway.here(), 2, "k", 1_000);
        assert!((least..=most).contains(&got) && odd.is_empty(), "{quota}: {got} {odd:?}");
        gateway.signal("KILL");
        gateway.wait(Duration::from_secs(5));
    }
}

#[test]
fn a_binary_upgrade_gives_nobody_a_fresh_quota() {
    for of in [Of::Limit, Of::Plan] {
        let folder = TempDir::new().expect("a folder");
        let port = tool::reserved();
        let listener = format!("[[listener]]\nname = \"web\"\nbind = \"{}\"\n", port.address());
        let mut gateway = of.counted_at(&listener, &store(folder.path()), ("store", ""));
        let here = gateway.here();
        let mut total = use_up(here, 2, "k", 1_000).0;
        for _ in 0..2 {
            let before = gateway.pid();
            gateway.signal("USR2");
            let after = wait_for("the successor", || {
                let status = gateway.admin_get("/status").filter(|answer| answer.status == 200)?;
                u32::try_from(status.json()["pid"].as_u64()?).ok().filter(|pid| *pid != before)
            });
            gateway.adopt(after);
            total += use_up(here, 2, "k", 500).0;
        }
        total += use_up(here, 3, "k", QUOTA * 2).0;
        println!("{of:?}: {total} of {QUOTA}");
        assert!((QUOTA * 97 / 100..=QUOTA).contains(&total), "{of:?}: {total} of {QUOTA}");
    }
}
