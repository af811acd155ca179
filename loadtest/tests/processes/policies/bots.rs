// SPDX-License-Identifier: Apache-2.0
//! Bots that are verified by DNS, with a real name server: the gateway finds it as a system's resolver does.

use std::fs::{self, File};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::gateway::{WEB, signal};
use crate::harness::tool::{python, script};
use crate::harness::{Gateway, Response, Setup, run, wait_for};

/// A name server on an address of its own, on the port that systems ask.
struct Dns {
    folder: TempDir,
    child: Child,
}

impl Dns {
    fn start() -> Dns {
        let folder = tempfile::tempdir().expect("a folder");
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = format!("127.53.{high}.{}", low.max(1));
        fs::write(folder.path().join("resolv.conf"), format!("nameserver {address}\n")).expect("a file");
        let said = File::create(folder.path().join("said")).expect("a file");
        let mut command = Command::new(python());
        command.arg(script("dns_server.py")).arg(&address).stdout(said);
        let dns = Dns { folder, child: command.spawn().expect("python") };
        wait_for("the name server", || dns.said().starts_with("ready").then_some(()));
        dns
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    /// How often the name of an address was asked for.
    fn asked(&self, reversed: &str) -> usize {
        self.said().matches(&format!("PTR {reversed}.in-addr.arpa.")).count()
    }

    /// A gateway with this server in its `resolv.conf`.
    fn serve(&self, config: &str) -> Gateway {
        let own = self.folder.path().join("resolv.conf");
        let mount = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", own.display());
        Setup::new(config).starter(&["unshare", "-m", "sh", "-c", &mount, "sh"]).start()
    }

    fn end(&mut self) {
        signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.end();
    }
}

const GOOGLE: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn ask(gateway: &Gateway, path: &str, from: &str, agent: &str) -> Response {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {from}\r\nUser-Agent: {agent}\r\n\r\n");
    gateway.client().ask(request)
}

#[test]
fn a_bot_passes_where_dns_says_both_ways_that_it_is_one() {
    if run("unshare", &["-m", "true"]).code != 0 {
        println!("SKIPPED: this account may not mount a `resolv.conf`");
        return;
    }
    let mut dns = Dns::start();
    let gateway = dns.serve(&format!(
        "{WEB}trusted_proxies = [\"127.0.0.0/8\"]\n\
         [policy.strict.bots]\nverify = \"google\"\nwait = \"1s\"\n\
         [policy.lenient.bots]\nverify = \"google\"\nwait = \"100ms\"\nunknown = \"judge\"\n\
         [[route]]\npath = \"/lenient\"\npolicies = \"lenient\"\nanswer = {{ body = \"in\" }}\n\
         [[route]]\npolicies = \"strict\"\nanswer = {{ body = \"in\" }}\n"
    ));
    assert_eq!(ask(&gateway, "/", "192.0.2.1", "curl/8").status, 200);
    assert_eq!(dns.said(), "ready\n", "nobody asks for the names of others");
    // Many at once, from one address: one question, and then it is known.
    thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&gateway, "/", "66.249.79.1", GOOGLE).status)).collect();
        all.into_iter().for_each(|one| assert_eq!(one.join().expect("an answer"), 200));
    });
    assert_eq!(ask(&gateway, "/", "66.249.79.1", GOOGLE).status, 200);
    assert_eq!(dns.asked("1.79.249.66"), 1, "{}", dns.said());
    // A name whose address is another; one that only looks like one of the owner's; none.
    for (from, reversed) in
        [("66.249.79.2", "2.79.249.66"), ("66.249.79.3", "3.79.249.66"), ("198.51.100.7", "7.100.51.198")]
    {
        for _ in 0..2 {
            let refused = ask(&gateway, "/", from, GOOGLE);
            assert_eq!(refused.status, 403, "{from}");
            assert!(refused.text().contains("bots_impostor") || !refused.text().is_empty());
        }
        assert_eq!(dns.asked(reversed), 1, "{from}: {}", dns.said());
    }
    assert!(!dns.said().contains("A crawl.googlebot.com.impostor"), "a name of others is not looked up");
    // While nobody answers, who is known passes, others wait and are told to come again, and the thread serves on.
    dns.end();
    let began = Instant::now();
    thread::scope(|scope| {
        let waits = scope.spawn(|| ask(&gateway, "/", "66.249.79.4", GOOGLE));
        thread::sleep(Duration::from_millis(100));
        assert_eq!(ask(&gateway, "/", "192.0.2.1", "curl/8").status, 200);
        assert_eq!(ask(&gateway, "/", "66.249.79.1", GOOGLE).status, 200);
        assert!(!waits.is_finished() && began.elapsed() < Duration::from_secs(1), "they did not wait for DNS");
        let late = waits.join().expect("an answer");
        assert_eq!(late.status, 503);
        assert!(!late.field("retry-after").is_empty());
    });
    assert_eq!(ask(&gateway, "/lenient", "66.249.79.5", GOOGLE).status, 200);
}
