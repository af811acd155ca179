// SPDX-License-Identifier: Apache-2.0
//! The whole control plane on its own thread, with fake shards that only answer messages, asked over its control
//! socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::config::plan::Plan;
use crate::config::spec::server::LogLevel;
use crate::config::{ConfigSource, Environment, Loaded, Reports, Texts, load_over};
use crate::control::exposition::strict;
use crate::control::run::ExitReport;
use crate::control::shards::{ShardParts, links};
use crate::control::status::Status;
use crate::control::{Host, LevelChange, LevelState, Start, run};
use crate::link::{FromShard, ListeningSocket, ToShard, UpstreamReport};
use crate::net::Bell;
use crate::net::sockets::ListenSocket;

/// Longest wait for anything in these tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a fake shard behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// As it should.
    Good,
    /// Never has a plan ready.
    Idle,
    /// Panics at the second plan.
    Dies,
    /// Never reports that it is drained.
    Busy,
}

/// The messages that one shard received, and the sockets that it holds.
#[derive(Debug, Default)]
struct Received {
    words: Vec<String>,
    sockets: Vec<ListeningSocket<ListenSocket>>,
}

struct Gateway {
    folder: TempDir,
    received: Vec<Arc<Mutex<Received>>>,
    status: crossbeam_channel::Receiver<Status>,
    plane: Option<JoinHandle<ExitReport>>,
}

struct TestHost {
    file: PathBuf,
    serving: crossbeam_channel::Sender<Status>,
}

impl Host for TestHost {
    fn source(&self) -> String {
        "a test".to_owned()
    }

    fn load(&self, kept: Option<&Texts>) -> Result<Loaded, Reports> {
        load_over(
            &ConfigSource::File(self.file.clone()),
            &Environment::of_process(crate::base::Wall(1_750_000_000_000_000)),
            kept,
        )
    }

    fn control_socket(&self) -> Option<PathBuf> {
        None
    }

    fn follow(&self, _: &Plan) {}

    fn log_level(&self, _: LevelChange) -> LevelState {
        LevelState { configured: LogLevel::Info, chosen: None }
    }

    fn refused(&self, _: &Reports) {}

    fn serving(&self, status: &Status) {
        self.serving.send(status.clone()).expect("announced once");
    }

    fn messages_dropped(&self) -> u64 {
        0
    }
}

impl Gateway {
    fn start(config: &str, manners: &[Manner]) -> Gateway {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), config);
        let (ends, parts, shards) = links(manners.len(), || Ok(Bell::silent())).expect("links");
        let received: Vec<_> = manners.iter().map(|_| Arc::<Mutex<Received>>::default()).collect();
        for ((part, manner), received) in parts.into_iter().zip(manners).zip(&received) {
            let (manner, received) = (*manner, Arc::clone(received));
            std::thread::spawn(move || shard(part, manner, &received));
        }
        let (serving, status) = crossbeam_channel::bounded(1);
        let host = TestHost { file: folder.path().join("turnpike.toml"), serving };
        let loaded = host.load(None).expect("a good configuration");
        let plane = std::thread::spawn(move || {
            let start = Start {
                host: Arc::new(host),
                loaded,
                ends,
                shards,
                inherited: Vec::new(),
                program: None,
                predecessor: None,
            };
            run(start).expect("a runtime")
        });
        Gateway { folder, received, status, plane: Some(plane) }
    }

    fn announced(&self) -> Status {
        self.status.recv_timeout(PATIENCE).expect("announced")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Asks over the control socket: status code and body.
    fn ask(&self, line: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.path("control.sock")).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }

    fn status(&self) -> Status {
        serde_json::from_str(&self.ask("GET /status").1).expect("a status document")
    }

    fn words(&self, shard: usize) -> Vec<String> {
        self.received[shard].lock().expect("not poisoned").words.clone()
    }

    fn await_word(&self, shard: usize, word: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.words(shard).iter().any(|said| said == word) {
            assert!(Instant::now() < until, "no `{word}` in {:?}", self.words(shard));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn sockets(&self, shard: usize) -> usize {
        self.received[shard].lock().expect("not poisoned").sockets.len()
    }

    fn code(mut self) -> u8 {
        let plane = self.plane.take().expect("runs");
        let until = Instant::now() + PATIENCE;
        while !plane.is_finished() {
            assert!(Instant::now() < until, "the control plane does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        plane.join().expect("no panic").code
    }
}

/// A configuration with `listeners` (lines) in the folder, its control socket beside it.
fn write(folder: &Path, config: &str) {
    let text = config.replace("FOLDER", &folder.display().to_string());
    let server = format!("[server]\ncontrol_socket = \"{}\"\nwatch = false\n", folder.join("control.sock").display());
    let next = folder.join("turnpike.toml.new");
    std::fs::write(&next, format!("{server}{text}")).expect("written");
    std::fs::rename(next, folder.join("turnpike.toml")).expect("moved");
}

const ONE: &str = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n[[route]]\nname = \"all\"\necho = true\n";

fn shard(part: ShardParts, manner: Manner, received: &Mutex<Received>) {
    let ShardParts { end, bell: _, guard: _guard } = part;
    let mut plans = 0;
    let _ = end.outbox.send(FromShard::Started { driver: "fake" });
    while let Ok(message) = end.inbox.recv() {
        let mut received = received.lock().expect("not poisoned");
        let (words, answer) = match message {
            ToShard::Prepare { plan, sockets, counters, .. } => {
                plans += 1;
                assert!(manner != Manner::Dies || plans < 2, "as the test wants");
                counters.add_route(0, crate::link::RouteCounter::Status2xx, 1);
                received.sockets.extend(sockets);
                let ready = FromShard::Prepared { generation: plan.generation };
                ("prepare".to_owned(), Some(ready).filter(|_| manner != Manner::Idle))
            }
            ToShard::Commit { generation } => ("commit".to_owned(), Some(FromShard::Committed { generation })),
            ToShard::Drain => {
                received.sockets.clear();
                ("drain".to_owned(), Some(FromShard::Drained).filter(|_| manner != Manner::Busy))
            }
            ToShard::Endpoints { upstream, endpoints, .. } => {
                (format!("endpoints {upstream} {}", endpoints.len()), None)
            }
            ToShard::Transcoders { source, .. } => (format!("transcoders {}", source.upstream), None),
            ToShard::Health { upstream, up, .. } => (format!("health {upstream} {up}"), None),
            ToShard::Stop => {
                received.words.push("stop".to_owned());
                end.outbox.send(FromShard::LogLines(b"last words\n".to_vec())).expect("taken");
                return;
            }
            ToShard::Discard { .. } => ("discard".to_owned(), None),
            ToShard::Directory(snapshot) => {
                ("directory".to_owned(), Some(FromShard::Applied { revision: snapshot.revision() }))
            }
            ToShard::Change(change) => {
                let words = format!("change {}", change.items.len());
                (words, Some(FromShard::Applied { revision: change.revision }))
            }
            ToShard::Answer(..) => ("answer".to_owned(), None),
            ToShard::Lease(_) => ("lease".to_owned(), None),
            ToShard::ResetLimit { key, .. } => (format!("reset {key}"), None),
            ToShard::Keys(_) => ("keys".to_owned(), None),
            ToShard::UsageRecorded { sequence } => (format!("usage {sequence}"), None),
            ToShard::Revoked(_) => ("revoked".to_owned(), None),
            ToShard::Trace(orders) => (format!("trace {}", orders.len()), None),
            ToShard::StopAccepting => ("stop accepting".to_owned(), None),
            ToShard::ReportUpstreams => {
                end.outbox.send(FromShard::Upstreams(UpstreamReport::default())).expect("taken");
                continue;
            }
        };
        received.words.push(words);
        drop(received);
        if let Some(answer) = answer {
            end.outbox.send(answer).expect("taken");
        }
    }
}

#[test]
fn a_store_is_read_before_the_first_plan_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("turnpike.db");
    let text = format!("[store]\npath = \"{}\"\n[[consumer]]\nname = \"acme\"\n{ONE}", path.display());
    let gateway = Gateway::start(&text, &[Manner::Good]);
    let status = gateway.announced();
    assert_eq!((status.store.as_deref(), status.consumers), (Some("up"), 1));
    let words = gateway.words(0);
    let at = |word: &str| words.iter().position(|said| said == word);
    assert!(path.exists() && at("directory").is_some() && at("directory") < at("commit"), "{words:?}");
    assert_eq!(gateway.ask("GET /readyz"), (200, "ready\n".into()));
    assert!(gateway.ask("GET /metrics").1.contains("\nturnpike_store_up 1\n"));
}

#[test]
fn a_life_from_start_to_stop() {
    let gateway = Gateway::start(ONE, &[Manner::Good; 2]);
    let status = gateway.announced();
    assert_eq!((status.shards, &*status.state, &*status.driver), (2, "running", "fake"));
    let port = status.listeners[0].addresses[0].strip_prefix("127.0.0.1:").expect("an address");
    assert_ne!(port, "0");
    TcpStream::connect(&status.listeners[0].addresses[0]).expect("the kernel accepts");
    assert_eq!((gateway.sockets(0), gateway.sockets(1)), (1, 1));
    assert_eq!(gateway.ask("GET /readyz"), (200, "ready\n".into()));
    let metrics = strict::parse(&gateway.ask("GET /metrics").1).expect("well formed");
    assert_eq!(metrics.samples["turnpike_requests_total{route=\"all\",class=\"2xx\"}"], 2.0);
    assert_eq!(gateway.ask("POST /stop").0, 202);
    let words: Vec<_> = gateway.received.iter().map(Arc::clone).collect();
    let address = status.listeners[0].addresses[0].clone();
    assert_eq!(gateway.code(), 0);
    for received in words {
        assert_eq!(received.lock().expect("not poisoned").words, ["prepare", "commit", "drain", "stop"]);
    }
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_reload_changes_listeners_and_a_bad_one_changes_nothing() {
    let gateway = Gateway::start(ONE, &[Manner::Good; 2]);
    let first = gateway.announced();
    let two = format!("{ONE}[[listener]]\nname = \"local\"\nbind = \"unix:FOLDER/web.sock\"\n");
    write(gateway.folder.path(), &two);
    let (code, words) = gateway.ask("POST /reload");
    assert_eq!(code, 200, "{words}");
    let second = gateway.status();
    assert_eq!((second.reloads_done, second.listeners.len()), (2, 2));
    assert_eq!(second.listeners[0].addresses, first.listeners[0].addresses);
    assert_eq!((gateway.sockets(0), gateway.sockets(1)), (2, 2));
    UnixStream::connect(gateway.path("web.sock")).expect("listens");

    write(gateway.folder.path(), &format!("{two}[[listenre]]\n"));
    let (code, words) = gateway.ask("POST /reload");
    assert_eq!(code, 422);
    assert!(words.contains("listenre") && words.contains("turnpike.toml:"), "{words}");
    let taken = format!("{ONE}[[listener]]\nname = \"b\"\nbind = \"unix:FOLDER/missing/x.sock\"\n");
    write(gateway.folder.path(), &taken);
    let (code, words) = gateway.ask("POST /reload");
    assert!(code == 422 && words.contains("listener `b` cannot listen on"), "{code} {words}");
    let third = gateway.status();
    assert_eq!((third.generation, third.reloads_refused), (second.generation, 2));

    write(gateway.folder.path(), ONE);
    assert_eq!(gateway.ask("POST /reload").0, 200);
    assert!(!gateway.path("web.sock").exists());
    assert_eq!(gateway.status().listeners.len(), 1);
    gateway.ask("POST /stop?now");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn many_wishes_at_once_are_all_answered() {
    let gateway = Gateway::start(ONE, &[Manner::Good]);
    gateway.announced();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| gateway.ask("POST /reload").0)).collect();
        assert!(asked.into_iter().all(|asked| asked.join().expect("asked") == 200));
    });
    let status = gateway.status();
    assert!((2..=9).contains(&status.reloads_done), "{}", status.reloads_done);
    gateway.ask("POST /stop?now");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn a_shard_that_dies_ends_the_process_with_an_error() {
    let gateway = Gateway::start(ONE, &[Manner::Good, Manner::Dies]);
    gateway.announced();
    let (code, words) = gateway.ask("POST /reload");
    assert!(code == 422 && words.contains("stopping"), "{code} {words}");
    let received = Arc::clone(&gateway.received[0]);
    assert_eq!(gateway.code(), 1);
    let words = received.lock().expect("not poisoned").words.clone();
    assert_eq!(words[words.len() - 2..], ["drain", "stop"]);
}

#[test]
fn a_busy_shard_holds_up_a_stop_until_asked_again() {
    let gateway = Gateway::start(ONE, &[Manner::Busy]);
    gateway.announced();
    gateway.ask("POST /stop");
    assert_eq!(gateway.ask("GET /readyz"), (503, "draining\n".into()));
    assert_eq!(gateway.ask("POST /reload"), (422, "the process is stopping\n".into()));
    gateway.await_word(0, "drain");
    gateway.ask("POST /stop");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn a_deadline_ends_a_drain() {
    let config =
        ONE.replace("[[route]]", "[[route]]\n").replacen("[[listener]]", "drain_timeout = \"50ms\"\n[[listener]]", 1);
    let gateway = Gateway::start(&config, &[Manner::Busy]);
    gateway.announced();
    gateway.ask("POST /stop");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn names_do_not_hold_up_the_start() {
    let config = format!(
        "{ONE}[[route]]\npath = \"/x\"\nto = \"pool\"\n\
         [upstream.pool]\nendpoints = [\"name.invalid:80\", \"127.0.0.1:9\"]\n"
    );
    let began = Instant::now();
    let gateway = Gateway::start(&config, &[Manner::Good]);
    gateway.announced();
    assert!(began.elapsed() < Duration::from_secs(10));
    let status = gateway.status();
    assert_eq!(status.upstreams[0].endpoints[0].address, "127.0.0.1:9");
    assert!(gateway.words(0).contains(&"endpoints pool 1".to_owned()));
    gateway.ask("POST /stop?now");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn an_endpoint_that_fails_its_check_is_told_to_all_and_again_after_a_reload() {
    let config = format!(
        "{ONE}[[route]]\npath = \"/x\"\nto = \"pool\"\n\
         [upstream.pool]\nendpoints = [\"127.0.0.1:1\"]\n\
         [upstream.pool.health]\npath = \"/\"\ninterval = \"100ms\"\ntimeout = \"50ms\"\nfall = 1\n"
    );
    let gateway = Gateway::start(&config, &[Manner::Good; 2]);
    gateway.announced();
    let down = "health pool false".to_owned();
    gateway.await_word(0, &down);
    gateway.await_word(1, &down);
    assert_eq!(gateway.status().upstreams[0].endpoints[0].health, "down");
    assert_eq!(gateway.ask("POST /reload").0, 200);
    let words = gateway.words(0);
    assert_eq!(words[words.len() - 3..], ["prepare".to_owned(), down, "commit".to_owned()]);
    gateway.ask("POST /stop?now");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn log_lines_reach_the_file_that_the_plan_names() {
    let config = format!("{ONE}[log.access]\npath = \"FOLDER/access.log\"\n");
    let gateway = Gateway::start(&config, &[Manner::Good]);
    gateway.announced();
    assert!(gateway.path("access.log").exists());
    write(gateway.folder.path(), &config.replace("access.log", "other.log"));
    assert_eq!(gateway.ask("POST /reload").0, 200);
    assert!(gateway.path("other.log").exists());
    write(gateway.folder.path(), &config.replace("access.log", "missing/access.log"));
    let (code, words) = gateway.ask("POST /reload");
    assert!(code == 422 && words.contains("access log"), "{code} {words}");
    gateway.ask("POST /stop?now");
    let path = gateway.path("other.log");
    // Read before the folder goes with the gateway: the log is closed before the control socket is.
    let until = Instant::now() + PATIENCE;
    while std::fs::read(&path).expect("there") != b"last words\n" {
        assert!(Instant::now() < until, "the last lines are missing");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(gateway.code(), 0);
}

#[test]
fn the_admin_listener_follows_the_plan() {
    let config = format!("{ONE}[admin]\nbind = \"unix:FOLDER/admin.sock\"\n");
    let gateway = Gateway::start(&config, &[Manner::Good]);
    assert!(gateway.announced().admin.expect("an admin listener").ends_with("/admin.sock"));
    UnixStream::connect(gateway.path("admin.sock")).expect("listens");
    write(gateway.folder.path(), ONE);
    assert_eq!(gateway.ask("POST /reload").0, 200);
    assert!(UnixStream::connect(gateway.path("admin.sock")).is_err());
    gateway.ask("POST /stop?now");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn a_start_that_cannot_listen_ends_with_an_error() {
    let config = ONE.replace("127.0.0.1:0", "unix:FOLDER/missing/x.sock");
    assert_eq!(Gateway::start(&config, &[Manner::Good]).code(), 1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let config = ONE.replace("127.0.0.1:0", &taken.local_addr().expect("bound").to_string());
    assert_eq!(Gateway::start(&config, &[Manner::Good]).code(), 1);
}

#[test]
fn a_shard_that_is_never_ready_is_waited_for_until_somebody_stops_it() {
    let gateway = Gateway::start(ONE, &[Manner::Good, Manner::Idle]);
    assert!(gateway.status.recv_timeout(Duration::from_millis(200)).is_err());
    assert_eq!(gateway.words(0), ["prepare"]);
    // Nothing can be asked yet; the process is left to end with the test.
    drop(gateway);
}

#[test]
fn readiness_fails_before_the_drain_begins() {
    let gateway = Gateway::start(&format!("drain_delay = \"1h\"\n{ONE}"), &[Manner::Good]);
    let address = gateway.announced().listeners[0].addresses[0].clone();
    assert_eq!(gateway.ask("POST /stop").0, 202);
    assert_eq!(gateway.ask("GET /readyz"), (503, "draining\n".into()));
    assert_eq!(gateway.status().state, "draining");
    TcpStream::connect(&address).expect("the kernel accepts");
    assert_eq!(gateway.words(0), ["prepare", "commit"], "nothing is told to the shards yet");
    assert_eq!(gateway.ask("POST /reload").0, 422);
    assert_eq!(gateway.ask("POST /stop").0, 202, "a second wish does not wait");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn a_delayed_drain_begins_by_itself() {
    let gateway = Gateway::start(&format!("drain_delay = \"50ms\"\n{ONE}"), &[Manner::Good]);
    gateway.announced();
    assert_eq!(gateway.ask("POST /stop").0, 202);
    gateway.await_word(0, "drain");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn a_certificate_is_renewed_while_the_configuration_is_edited() {
    // A secret stands for a certificate: both are what a configuration names.
    let gateway = Gateway::start(ONE, &[Manner::Good]);
    gateway.announced();
    std::fs::write(gateway.path("secret"), "one").expect("written");
    write(gateway.folder.path(), &ONE.replace("echo = true", "answer = { body = \"${file:secret}\" }"));
    assert_eq!(gateway.ask("POST /reload").0, 200);
    std::fs::write(gateway.path("turnpike.toml"), "half a configurat").expect("written");
    std::fs::write(gateway.path("secret"), "two").expect("written");
    let until = Instant::now() + PATIENCE;
    while gateway.status().reloads_done < 3 {
        assert!(Instant::now() < until, "the secret is not read again");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(gateway.status().reloads_refused, 0, "nobody asked for the configuration");
    assert_eq!(gateway.ask("POST /reload").0, 422, "somebody does now");
    assert_eq!(gateway.ask("POST /stop").0, 202);
    assert_eq!(gateway.code(), 0);
}
