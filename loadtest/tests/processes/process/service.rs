// SPDX-License-Identifier: Apache-2.0
//! The process as a service: under a service manager, as process 1 of a container, as an account of its own.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::gateway::{SOON, WEB, binary, signal};
use crate::harness::tool::{python, reserved, script};
use crate::harness::{Client, Gateway, Origin, PATIENCE, Setup, run, wait_for};

const ANSWER: &str = "[[route]]\nanswer = { body = \"here\" }\n";
/// What a unit says in `WatchdogSec=`.
const WATCHDOG: Duration = Duration::from_secs(2);

/// The end of `NOTIFY_SOCKET` that a service manager reads.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Manager {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Manager { socket, folder }
    }

    fn path(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).expect("a message in time");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    /// The next message with this line or beginning of a line.
    fn next_with(&self, start: &str) -> String {
        wait_for(start, || Some(self.next()).filter(|message| message.lines().any(|line| line.starts_with(start))))
    }

    /// Throws away what has come so far.
    fn clear(&self) {
        self.socket.set_nonblocking(true).expect("set");
        let mut bytes = [0; 16];
        while !self.socket.recv(&mut bytes).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {}
        self.socket.set_nonblocking(false).expect("set");
    }
}

/// Starts an upgrade of the process and waits until another one answers; gives its number as it knows it itself.
fn upgrade(gateway: &Gateway, process: u32) -> u32 {
    let before = gateway.status()["pid"].as_u64();
    signal(process, "USR2");
    let pid = wait_for("the successor", || {
        let status = gateway.admin_get("/status").filter(|answer| answer.status == 200)?.json();
        status["pid"].as_u64().filter(|pid| Some(*pid) != before)
    });
    u32::try_from(pid).expect("a number of a process")
}

#[test]
fn the_watchdog_is_served_before_and_after_an_upgrade() {
    let manager = Manager::new();
    let reserved = reserved();
    let mut gateway = Setup::new(format!("[[listener]]\nname = \"web\"\nbind = \"{}\"\n{ANSWER}", reserved.address()))
        .variable("NOTIFY_SOCKET", manager.path())
        .variable("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
        // As a service manager sets it, for the process that it has started.
        .shell("WATCHDOG_PID=$$ exec \"$@\"")
        .start();
    let ready = manager.next_with("READY=1");
    assert!(ready.contains("STATUS=1 listeners"), "{ready}");
    manager.next_with("WATCHDOG=1");
    let successor = upgrade(&gateway, gateway.pid());
    gateway.adopt(successor);
    let replaced = manager.next_with("MAINPID=");
    assert_eq!(replaced, format!("MAINPID={successor}\nWATCHDOG=1"));
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    manager.clear();
    for _ in 0..3 {
        let since = Instant::now();
        assert_eq!(manager.next(), "WATCHDOG=1");
        assert!(since.elapsed() < WATCHDOG, "{:?} without a sign of life", since.elapsed());
    }
    signal(successor, "TERM");
    let stopping = manager.next_with("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC="), "{stopping}");
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_end() {
    let manager = Manager::new();
    let gateway = Setup::web(ANSWER).variable("NOTIFY_SOCKET", manager.path()).start();
    manager.next_with("READY=1");
    gateway.signal("HUP");
    let begun = manager.next();
    assert!(begun.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{begun}");
    assert!(manager.next().starts_with("READY=1\n"));
}

#[test]
fn a_socket_of_a_service_manager_is_found_by_its_name() {
    let reserved = reserved();
    let address = reserved.address();
    let python = python().display().to_string();
    let activate = script("activate.py").display().to_string();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let gateway = Setup::new(format!("[[listener]]\nname = \"front\"\nbind = \"127.0.0.1:0\"\n{ANSWER}"))
        .starter(&[&python, &activate, &host, &port, "front"])
        .start();
    assert_eq!(gateway.address("front"), address);
    assert_eq!(Client::to(address).get("/").text(), "here");
}

#[test]
fn systemd_hands_a_socket_over() {
    if !Path::new("/usr/bin/systemd-socket-activate").exists() {
        println!("SKIPPED: systemd-socket-activate is not there");
        return;
    }
    let reserved = reserved();
    let address = reserved.address().to_string();
    let mut setup = Setup::new(format!("[[listener]]\nname = \"front\"\nbind = \"127.0.0.1:0\"\n{ANSWER}"));
    setup = setup.starter(&["/usr/bin/systemd-socket-activate", "--fdname=front", "-l", &address]);
    let gateway = setup.start_unready();
    // The first connection starts it.
    assert_eq!(wait_for("the socket", || Client::try_to(reserved.address()).ok()).get("/").text(), "here");
    gateway.wait_ready();
    assert_eq!(gateway.address("front"), reserved.address());
}

/// A service of the systemd that runs here. Its drop stops it.
struct Unit {
    name: String,
    /// `--user`, unless root asks.
    whose: Vec<&'static str>,
}

impl Unit {
    /// Starts it with these properties, once the gateway is ready. `None` where no systemd runs.
    fn start(config: &Path, properties: &[&str]) -> Option<Unit> {
        let whose = if user() == "0" { Vec::new() } else { vec!["--user"] };
        let unit = Unit { name: format!("turnpike-test-{}.service", std::process::id()), whose };
        let state = run("systemctl", &[&unit.whose[..], &["is-system-running"]].concat()).text();
        if !["running", "degraded", "starting"].contains(&state.trim()) {
            println!("SKIPPED: no systemd runs here");
            return None;
        }
        let name = format!("--unit={}", unit.name);
        let properties = properties.iter().map(|property| format!("--property={property}"));
        let mut line: Vec<String> = unit.whose.iter().map(|word| (*word).to_owned()).chain([name]).collect();
        line.extend(properties);
        line.push(binary().display().to_string());
        line.extend(["run", "-c"].map(str::to_owned));
        line.push(config.display().to_string());
        let out = run("systemd-run", &line);
        assert_eq!(out.code, 0, "{}", out.all());
        Some(unit)
    }

    fn systemctl(&self, words: &[&str]) -> String {
        run("systemctl", &[&self.whose[..], words, &[&self.name]].concat()).text().trim().to_owned()
    }

    fn property(&self, name: &str) -> String {
        self.systemctl(&["show", "--value", &format!("--property={name}")])
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.systemctl(&["stop"]);
    }
}

#[test]
fn a_real_systemd_keeps_a_service_with_a_watchdog_over_an_upgrade() {
    let folder = tempfile::tempdir().expect("a folder");
    let (reserved, config) = (reserved(), folder.path().join("t.toml"));
    let text = format!("[[listener]]\nbind = \"{}\"\n{ANSWER}", reserved.address());
    fs::write(&config, text).expect("written");
    let properties = ["Type=notify", "NotifyAccess=all", "WatchdogSec=2s"];
    let Some(unit) = Unit::start(&config, &properties) else { return };
    let before = unit.property("MainPID");
    unit.systemctl(&["kill", "--kill-whom=main", "--signal=USR2"]);
    let after = wait_for("another main process", || Some(unit.property("MainPID")).filter(|pid| *pid != before));
    let until = Instant::now() + 3 * WATCHDOG;
    while Instant::now() < until {
        assert_eq!((unit.property("ActiveState"), unit.property("MainPID")), ("active".to_owned(), after.clone()));
        assert_eq!(Client::to(reserved.address()).get("/").text(), "here");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(unit.property("NRestarts"), "0");
}

/// Runs a gateway as process 1 of a container's own numbers of processes. `None` where the machine does not let us.
fn as_process_1(text: &str) -> Option<(Gateway, u32)> {
    let unshare = ["unshare", "--kill-child", "--pid", "--fork", "--mount-proc"];
    if run(unshare[0], &[&unshare[1..], &["true"]].concat()).code != 0 {
        println!("SKIPPED: processes cannot have numbers of their own here");
        return None;
    }
    let gateway = Setup::new(text).shards(2).starter(&unshare).start();
    let children = format!("/proc/{0}/task/{0}/children", gateway.pid());
    let first = fs::read_to_string(children).expect("the kernel lists children").trim().parse();
    Some((gateway, first.expect("one child")))
}

#[test]
fn process_1_outlives_upgrades_and_ends_with_the_gateway() {
    let reserved = reserved();
    let address = reserved.address();
    let text = format!("[[listener]]\nname = \"web\"\nbind = \"{address}\"\n{ANSWER}");
    let Some((mut gateway, first)) = as_process_1(&text) else { return };
    assert_ne!(gateway.status()["pid"], 1, "process 1 only looks after the others");
    for _ in 0..3 {
        upgrade(&gateway, first);
        assert!(gateway.runs());
        assert_eq!(Client::to(address).get("/").text(), "here");
    }
    signal(first, "HUP");
    wait_for("the reload", || (gateway.status()["reloads_done"] == 2).then_some(()));
    signal(first, "TERM");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    assert!(Client::try_to(address).is_err());
}

#[test]
fn process_1_lets_older_processes_finish() {
    let (origin, release) = Origin::holding();
    let reserved = reserved();
    let text = format!(
        "[[listener]]\nname = \"web\"\nbind = \"{}\"\n[[route]]\nto = \"{}\"\n",
        reserved.address(),
        origin.url()
    );
    let Some((mut gateway, first)) = as_process_1(&text) else { return };
    let mut held = Client::to(reserved.address());
    held.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request at the origin", || (origin.count() > 0).then_some(()));
    upgrade(&gateway, first);
    signal(first, "TERM");
    wait_for("the newer process to stop", || Client::try_to(reserved.address()).is_err().then_some(()));
    assert!(gateway.runs());
    release.send(()).expect("the origin waits");
    assert_eq!(held.answer().text(), "done");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
}

#[test]
fn process_1_exits_as_the_gateway_does() {
    let Some((mut gateway, first)) = as_process_1(&format!("{WEB}{ANSWER}")) else { return };
    let serving = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).expect("listed");
    signal(serving.trim().parse().expect("one child"), "KILL");
    assert_eq!(gateway.wait(SOON).code(), Some(128 + 9));
}

/// A line of `/proc/PID/status` of each thread, without its name.
fn of_threads(pid: u32, name: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let of_one = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).expect("a thread");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":")).expect("a line");
        line.trim().to_owned()
    };
    tasks.map(|task| of_one(task.expect("listed"))).collect()
}

fn user() -> String {
    run("id", &["-u"]).text().trim().to_owned()
}

#[test]
fn root_becomes_another_account_and_still_binds_low_ports() {
    if user() != "0" {
        println!("SKIPPED: only root can become another account");
        return;
    }
    // An address of this test's own, so that a low port of it is free.
    let [.., high, low] = std::process::id().to_be_bytes();
    let listener = |port: u16| format!("[[listener]]\nname = \"p{port}\"\nbind = \"127.{high}.{low}.9:{port}\"\n");
    let mut gateway = Setup::new(listener(80) + ANSWER)
        .server("user = \"nobody\"\ndrain_timeout = \"5s\"")
        .shell("chmod 777 {dir} && exec \"$@\"")
        .shards(2)
        .start();
    let nobody = run("id", &["-u", "nobody"]).text().trim().to_owned();
    let everywhere = [nobody.as_str(); 4].join("\t");
    assert!(of_threads(gateway.pid(), "Uid").iter().all(|line| *line == everywhere));
    let groups = of_threads(gateway.pid(), "Groups");
    assert!(groups.iter().all(|line| !line.split(' ').any(|group| group == "0")), "{groups:?}");
    let rights = of_threads(gateway.pid(), "CapPrm");
    assert!(rights.iter().all(|line| u64::from_str_radix(line, 16).expect("a set") & !(1 << 10) == 0), "{rights:?}");
    assert!(gateway.metrics().contains("process_open_fds"), "it may look at itself");
    gateway.rewrite(listener(80) + &listener(81) + ANSWER);
    let (status, words) = gateway.reload();
    assert_eq!(status, 200, "{words}");
    assert_eq!(Client::to(gateway.address("p81")).get("/").text(), "here");
    let successor = upgrade(&gateway, gateway.pid());
    gateway.adopt(successor);
    assert!(of_threads(successor, "Uid").iter().all(|line| *line == everywhere));
    gateway.wait(SOON);
    gateway.rewrite(listener(80) + &listener(81) + &listener(82) + ANSWER);
    assert_eq!(gateway.reload().0, 200, "the program of an upgrade may do the same");
}

#[test]
fn an_account_that_is_not_there_is_named() {
    if user() != "0" {
        println!("SKIPPED: only root can become another account");
        return;
    }
    let mut gateway = Setup::web(ANSWER).server("user = \"no-such-user\"").start_unready();
    assert_eq!(gateway.wait(SOON).code(), Some(1));
    assert!(gateway.said().contains("no user `no-such-user`"), "{}", gateway.said());
}

#[test]
fn root_is_warned_of() {
    if user() != "0" {
        println!("SKIPPED: only root is warned of");
        return;
    }
    assert!(Gateway::web(ANSWER).said().contains("runs as root"));
}

#[test]
fn the_default_file_is_used_where_it_is_there() {
    if run("unshare", &["-m", "true"]).code != 0 {
        println!("SKIPPED: folders cannot be hidden from a process here");
        return;
    }
    let hide =
        "mount -t tmpfs none /etc && mkdir /etc/turnpike && cp {dir}/turnpike.toml /etc/turnpike/ && exec \"$1\"";
    let gateway = Setup::web(ANSWER).starter(&["unshare", "-m", "sh", "-c", hide, "sh"]).start();
    assert_eq!(gateway.status()["config"], "/etc/turnpike/turnpike.toml");
    assert_eq!(gateway.get("/").text(), "here");
}

#[test]
fn the_number_of_threads_on_the_command_line_counts() {
    let gateway = Setup::web(ANSWER).shards(1).shell("exec \"$@\" --shards 3").start();
    assert_eq!(gateway.status()["shards"], 3);
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(gateway.status()["shards"], 3);
    let out = Command::new(binary()).args(["run", "-c", "x", "--listen", "1:1"]).output();
    assert_eq!(out.expect("it starts").status.code(), Some(2));
}
