// SPDX-License-Identifier: Apache-2.0
//! The store under what happens to it: crashes of the gateway and of the server, a disk that is full, a file that is
//! damaged, several gateways on one database.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::certificates::Authority;
use crate::harness::gateway::{SOON, WEB, binary};
use crate::harness::postgres::Postgres;
use crate::harness::{Client, Gateway, Setup, run, wait_for};

const TOKEN: &str = "admin-0123456789";

fn config(store: &str) -> String {
    format!(
        "[[admin.tokens]]\nname = \"ada\"\nrole = \"admin\"\ntoken = \"{TOKEN}\"\n{WEB}[store]\n{store}\n\
         [[consumer]]\nname = \"filed\"\nkeys = {{ key = \"filed-key-0123456789\" }}\n\
         [policy.keys]\napi_key = {{}}\n[[route]]\npolicies = \"keys\"\nanswer = {{ body = \"in\" }}\n"
    )
}

const FILE: &str = "path = \"{dir}/turnpike.db\"";

fn setup(store: &str) -> Setup {
    Setup::new(config(store)).log("").shards(2).server("watch = false")
}

fn over(postgres: &Postgres) -> Setup {
    setup(&format!("url = \"{}\"", postgres.url("${PASSWORD}"))).variable("PASSWORD", "p%40ss-0123456789")
}

fn admin(gateway: &Gateway) -> SocketAddr {
    gateway.status()["admin"].as_str().expect("an address").parse().expect("an address")
}

/// The status and the document; `None` where the gateway ended meanwhile.
fn try_send(admin: SocketAddr, (method, path): (&str, &str), body: &Value, more: &str) -> Option<(u16, Value)> {
    let mut client = Client::try_to(admin).ok()?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    );
    client.try_send(request).ok()?;
    let response = client.read(method).ok()?;
    let document = serde_json::from_str(&response.text()).unwrap_or_default();
    Some((response.status, document))
}

fn send(gateway: &Gateway, method: &str, path: &str, body: &Value) -> (u16, Value) {
    try_send(admin(gateway), (method, path), body, "").expect("an answer")
}

fn with_key(gateway: &Gateway, key: &str) -> u16 {
    gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n")).status
}

fn new_key(gateway: &Gateway, consumer: &str) -> Value {
    let (status, key) = send(gateway, "POST", "/credentials", &json!({ "kind": "key", "consumer": consumer }));
    assert_eq!(status, 201, "{key}");
    key
}

fn text<'a>(document: &'a Value, member: &str) -> &'a str {
    document[member].as_str().unwrap_or_else(|| panic!("no `{member}` in {document}"))
}

/// Makes keys until the gateway ends; those that were acknowledged.
fn make_keys(admin: SocketAddr, stop: &AtomicBool) -> Vec<String> {
    let body = json!({ "kind": "key", "consumer": "acme" });
    let mut keys = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match try_send(admin, ("POST", "/credentials"), &body, "") {
            Some((201, key)) => keys.push(text(&key, "key").to_owned()),
            Some((status, problem)) => panic!("{status}: {problem}"),
            None => break,
        }
    }
    keys
}

fn loses_no_key(mut gateway: Gateway) {
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({})).0, 201);
    let mut keys = Vec::new();
    for round in 0..6_u64 {
        let (admin, stop) = (admin(&gateway), AtomicBool::new(false));
        let made = thread::scope(|scope| {
            let makers: Vec<_> = (0..3).map(|_| scope.spawn(|| make_keys(admin, &stop))).collect();
            // Each round breaks off somewhere else.
            thread::sleep(Duration::from_millis(150 + 37 * round));
            gateway.kill();
            stop.store(true, Ordering::Relaxed);
            makers.into_iter().flat_map(|maker| maker.join().expect("it makes keys")).collect::<Vec<String>>()
        });
        assert!(!made.is_empty(), "round {round} made none");
        keys.extend(made);
        gateway.start_again();
        for key in &keys {
            assert_eq!(with_key(&gateway, key), 200, "round {round}: an acknowledged key is lost");
        }
    }
}

#[test]
fn no_acknowledged_key_is_lost_to_kill_9_with_a_file() {
    let gateway = setup(FILE).start();
    let path = gateway.path("turnpike.db");
    loses_no_key(gateway);
    assert!(!path.exists(), "the folder is gone with the gateway");
}

#[test]
fn no_acknowledged_key_is_lost_to_kill_9_with_a_database() {
    let postgres = Postgres::start();
    loses_no_key(over(&postgres).start());
    let sound = run(binary(), &["store", "check", &postgres.url("p%40ss-0123456789")]);
    assert_eq!(sound.code, 0, "{}", sound.all());
}

/// How long it takes until a key gets this status.
fn time_until(gateway: &Gateway, key: &str, status: u16) -> Duration {
    let began = Instant::now();
    wait_for("a change of the other gateway", || (with_key(gateway, key) == status).then_some(()));
    began.elapsed()
}

#[test]
fn what_one_gateway_writes_the_other_knows_within_a_second() {
    let postgres = Postgres::start();
    let (one, other) = (over(&postgres).start(), over(&postgres).start());
    assert_eq!(send(&one, "PUT", "/consumers/acme", &json!({})).0, 201);
    let key = new_key(&one, "acme");
    assert!(time_until(&other, text(&key, "key"), 200) < Duration::from_secs(1));
    // The other one suspends the consumer, and this one follows.
    assert_eq!(send(&other, "PUT", "/consumers/acme", &json!({ "suspended": true })).0, 200);
    assert!(time_until(&one, text(&key, "key"), 403) < Duration::from_secs(1));
    assert_eq!(send(&one, "PUT", "/consumers/acme", &json!({})).0, 200);
    assert!(time_until(&other, text(&key, "key"), 200) < Duration::from_secs(1));
    let end = format!("/credentials/{}/revoke", text(&key, "id"));
    assert_eq!(send(&other, "POST", &end, &Value::Null).0, 200);
    assert!(time_until(&one, text(&key, "key"), 401) < Duration::from_secs(1));
    // A consumer goes with its keys, everywhere.
    let last = new_key(&other, "acme");
    assert!(time_until(&one, text(&last, "key"), 200) < Duration::from_secs(1));
    assert_eq!(send(&one, "DELETE", "/consumers/acme", &Value::Null).0, 204);
    assert!(time_until(&other, text(&last, "key"), 401) < Duration::from_secs(1));
    // Of two who change one revision, one wins, whichever gateway they ask.
    let (status, gold) = send(&one, "PUT", "/groups/gold", &json!({}));
    assert_eq!(status, 201);
    let matching = format!("If-Match: \"{}\"\r\n", gold["revision"]);
    let races = thread::scope(|scope| {
        let change = |gateway: &Gateway| {
            let body = json!({ "description": "x" });
            try_send(admin(gateway), ("PUT", "/groups/gold"), &body, &matching).expect("an answer").0
        };
        let racers = [&one, &other].map(|gateway| scope.spawn(move || change(gateway)));
        let mut statuses = racers.map(|racer| racer.join().expect("an answer"));
        statuses.sort_unstable();
        statuses
    });
    assert_eq!(races, [200, 412]);
}

#[test]
fn a_database_that_is_gone_stops_nobody_who_is_known() {
    let mut postgres = Postgres::start();
    let gateway = over(&postgres).start();
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({})).0, 201);
    let key = new_key(&gateway, "acme");
    for _ in 0..2 {
        postgres.end();
        wait_for("the gateway to notice", || gateway.metrics().contains("\nturnpike_store_up 0").then_some(()));
        assert_eq!((with_key(&gateway, text(&key, "key")), with_key(&gateway, "filed-key-0123456789")), (200, 200));
        assert_eq!(send(&gateway, "PUT", "/consumers/late", &json!({})).0, 503);
        let ready = gateway.admin_get("/readyz").expect("it lives");
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains("the store cannot be read or written"), "{}", ready.text());
        wait_for("the log to say it", || gateway.said().contains("the store fails").then_some(()));
        postgres.begin();
        wait_for("the gateway to return", || gateway.metrics().contains("\nturnpike_store_up 1").then_some(()));
        new_key(&gateway, "acme");
    }
    // One that starts without its database serves what the configuration declares, and learns the rest.
    postgres.end();
    let late = over(&postgres).start();
    assert_eq!((with_key(&late, text(&key, "key")), with_key(&late, "filed-key-0123456789")), (401, 200));
    postgres.begin();
    wait_for("the store to be read", || (with_key(&late, text(&key, "key")) == 200).then_some(()));
}

#[test]
fn a_database_is_told_by_a_url_that_shows_no_password() {
    let postgres = Postgres::start();
    let gateway = over(&postgres).start();
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({})).0, 201);
    let config = gateway.config_path().display().to_string();
    let explained = run(binary(), &["check", "-c", &config]).all();
    let status = gateway.status().to_string();
    for shown in [&explained, &status, &gateway.said()] {
        assert!(!shown.contains("p%40ss") && !shown.contains("p@ss"), "{shown}");
    }
    // The password may stand in the environment; nobody sees it among the arguments.
    let url = postgres.url_alone();
    let ask = |arguments: &[&str]| {
        let program = binary().display().to_string();
        run("env", &[&["PGPASSWORD=p@ss-0123456789", &program, "store"], arguments].concat())
    };
    let export = ask(&["export", &url]);
    assert!(export.code == 0 && export.text().contains("\"acme\""), "{}", export.all());
    let backup = ask(&["backup", &url, "/nowhere"]);
    assert!(backup.code == 1 && backup.all().contains("pg_dump"), "{}", backup.all());
    postgres.sql("UPDATE turnpike.store_version SET version = 99");
    let newer = ask(&["check", &url]);
    assert!(newer.code == 1 && newer.all().contains("version 99"), "{}", newer.all());
}

#[test]
fn over_tls_a_database_is_believed_by_its_authority_and_its_name_alone() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let mut postgres = Postgres::start();
    postgres.secure(&authority.sign(&["localhost"]));
    let folder = tempfile::TempDir::new().expect("a folder");
    let write = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).expect("written");
        path.display().to_string()
    };
    let (ours, theirs) = (write("ours.pem", &authority.pem), write("theirs.pem", &stranger.pem));
    let over = |host: &str, file: &str| setup(&format!("url = \"{}\"", postgres.url_with_tls(host, file))).start();
    let good = over("localhost", &ours);
    assert_eq!(send(&good, "PUT", "/consumers/acme", &json!({})).0, 201);
    let key = new_key(&good, "acme");
    assert_eq!(with_key(&good, text(&key, "key")), 200);
    let secured = "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl \
                   AND application_name = 'turnpike'";
    assert_eq!(postgres.sql(secured), "t", "the gateway's own connection is secured");
    for (host, file, words) in [("localhost", &theirs, "UnknownIssuer"), ("127.0.0.1", &ours, "not valid for name")] {
        let gateway = over(host, file);
        assert_eq!(with_key(&gateway, "filed-key-0123456789"), 200, "what the configuration declares is served");
        assert_eq!(send(&gateway, "PUT", "/consumers/late", &json!({})).0, 503);
        let ready = gateway.admin_get("/readyz").expect("it lives");
        assert!(ready.text().contains("the store cannot be read or written"), "{}", ready.text());
        wait_for("the log to say it", || gateway.said().contains("certificate").then_some(()));
        let said = gateway.said();
        let line = said.lines().find(|line| line.contains("certificate")).expect("a line");
        println!("{host}: {line}");
        assert!(line.contains(words) && !said.contains("p@ss"), "{host}: {line}");
    }
}

#[test]
fn a_response_to_a_key_of_idempotency_outlives_the_process() {
    let mut gateway = setup(FILE).start();
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({})).0, 201);
    let ask = |gateway: &Gateway, method: &str, path: &str, body: &Value| {
        let more = format!("Idempotency-Key: {method}-1\r\n");
        try_send(admin(gateway), (method, path), body, &more).expect("an answer")
    };
    let new = json!({ "kind": "key", "consumer": "acme" });
    let (status, key) = ask(&gateway, "POST", "/credentials", &new);
    assert_eq!((status, ask(&gateway, "DELETE", "/groups/none", &Value::Null).0), (201, 404));
    let (made, group) = ask(&gateway, "PUT", "/groups/gold", &json!({}));
    assert_eq!((made, send(&gateway, "DELETE", "/groups/gold", &Value::Null).0), (201, 204));
    gateway.kill();
    gateway.start_again();
    // As it was given, although the group is gone.
    assert_eq!(ask(&gateway, "PUT", "/groups/gold", &json!({})), (201, group));
    assert_eq!(ask(&gateway, "PUT", "/groups/gold", &json!({ "description": "x" })).0, 422);
    assert_eq!(send(&gateway, "GET", "/groups/gold", &Value::Null).0, 404);
    // A key is not made twice, and not shown twice: the store has its hash alone.
    let (status, again) = ask(&gateway, "POST", "/credentials", &new);
    assert_eq!((status, &again["id"], again.get("key")), (201, &key["id"], None));
    let bytes = fs::read(gateway.path("turnpike.db")).expect("the file");
    let wal = fs::read(gateway.path("turnpike.db-wal")).unwrap_or_default();
    let secret = text(&key, "key").as_bytes();
    assert!(![bytes, wal].iter().any(|bytes| bytes.windows(secret.len()).any(|window| window == secret)));
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    // The shell lets no file grow above a megabyte, and a write that would fails as on a full disk.
    let gateway = setup(FILE).shell("trap '' XFSZ; ulimit -S -f 2048; exec \"$@\"").start();
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({})).0, 201);
    let (key, mut written) = (new_key(&gateway, "acme"), Vec::new());
    let body = json!({ "description": "x".repeat(10_000) });
    let refused = (0..500).find_map(|number| {
        let path = format!("/groups/g{number}");
        let (status, problem) = send(&gateway, "PUT", &path, &body);
        written.extend((status == 201).then_some(path));
        (status != 201).then_some((status, problem))
    });
    let (status, problem) = refused.expect("it is full");
    assert_eq!((status, &problem["type"]), (503, &json!("urn:turnpike:problem:store-failed")), "{problem}");
    wait_for("the log to say it", || gateway.said().contains("the store fails").then_some(()));
    assert_eq!(with_key(&gateway, text(&key, "key")), 200);
    assert_eq!(gateway.admin_get("/readyz").expect("it lives").status, 200);
    // There is room again.
    let freed = run("prlimit", &["--fsize=unlimited:", "--pid", &gateway.pid().to_string()]);
    assert_eq!(freed.code, 0, "{}", freed.all());
    let again = || (send(&gateway, "PUT", "/groups/late", &json!({})).0 < 300).then_some(());
    wait_for("writes to be taken again", again);
    for path in written {
        assert_eq!(send(&gateway, "GET", &path, &Value::Null).0, 200, "{path} was acknowledged");
    }
    let checked = run(binary(), &["store", "check", &gateway.path("turnpike.db").display().to_string()]);
    assert_eq!(checked.code, 0, "{}", checked.all());
}

/// A folder and its files that nobody can write as long as this lives.
struct Frozen<'p>(&'p Path);

impl Frozen<'_> {
    fn new(folder: &Path) -> Frozen<'_> {
        Frozen::change(folder, "a-w", "+i");
        Frozen(folder)
    }

    /// Modes do not bind root, and the attribute does; others may not set it, and need not.
    fn change(folder: &Path, mode: &str, attribute: &str) {
        let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
        let paths: Vec<String> = files.chain([folder.to_owned()]).map(|path| path.display().to_string()).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let root = run("id", &["-u"]).text().trim() == "0";
        let attributes = || assert_eq!(run("chattr", &[&[attribute], &*paths].concat()).code, 0, "{paths:?}");
        if root && attribute == "-i" {
            attributes();
        }
        assert_eq!(run("chmod", &[&[mode], &*paths].concat()).code, 0, "{paths:?}");
        if root && attribute == "+i" {
            attributes();
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        Frozen::change(self.0, "u+w", "-i");
    }
}

fn is_refused(gateway: &Gateway, path: &str) {
    let (status, problem) = send(gateway, "PUT", path, &json!({}));
    assert_eq!((status, &problem["type"]), (503, &json!("urn:turnpike:problem:store-failed")), "{problem}");
}

fn says_that_it_is_down(gateway: &Gateway) {
    wait_for("it to be said", || gateway.metrics().contains("\nturnpike_store_up 0").then_some(()));
    let ready = gateway.admin_get("/readyz").expect("it lives");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("the store cannot be read or written"), "{}", ready.text());
}

fn takes_writes_again(gateway: &Gateway, path: &str) {
    wait_for("writes to be taken", || (send(gateway, "PUT", path, &json!({})).0 < 300).then_some(()));
    wait_for("it to be said", || gateway.metrics().contains("\nturnpike_store_up 1").then_some(()));
}

#[test]
fn a_file_that_can_only_be_read_is_read_at_the_start_and_said() {
    let mut gateway = setup("path = \"{dir}/kept/turnpike.db\"").start();
    let folder = gateway.path("kept");
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({})).0, 201);
    let key = new_key(&gateway, "acme");
    // Once with the log of a process that was killed, and once without.
    for end in ["KILL", "TERM"] {
        gateway.signal(end);
        gateway.wait(SOON);
        let frozen = Frozen::new(&folder);
        gateway.start_again();
        assert_eq!((with_key(&gateway, text(&key, "key")), with_key(&gateway, "filed-key-0123456789")), (200, 200));
        says_that_it_is_down(&gateway);
        is_refused(&gateway, "/groups/gold");
        wait_for("it to be read", || (send(&gateway, "GET", "/consumers/acme", &Value::Null).0 == 200).then_some(()));
        assert!(gateway.said().contains("the store can be read, but not written"), "{}", gateway.said());
        drop(frozen);
        takes_writes_again(&gateway, "/groups/late");
    }
}

#[test]
fn a_file_that_cannot_be_written_any_more_or_loses_its_shared_memory_stops_nobody() {
    let gateway = setup("path = \"{dir}/kept/turnpike.db\"").start();
    let folder = gateway.path("kept");
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({})).0, 201);
    let key = new_key(&gateway, "acme");
    // Who is not root cannot take a right from a file that is open.
    if run("id", &["-u"]).text().trim() == "0" {
        let frozen = Frozen::new(&folder);
        is_refused(&gateway, "/groups/gold");
        says_that_it_is_down(&gateway);
        assert_eq!(with_key(&gateway, text(&key, "key")), 200);
        drop(frozen);
        takes_writes_again(&gateway, "/groups/gold");
    }
    // Whoever touches what was mapped of it gets SIGBUS.
    let before = gateway.said().matches("the store fails").count();
    fs::OpenOptions::new().write(true).open(folder.join("turnpike.db-shm")).expect("it").set_len(0).expect("cut");
    wait_for("it to be seen", || (gateway.said().matches("the store fails").count() > before).then_some(()));
    assert_eq!(with_key(&gateway, text(&key, "key")), 200);
    takes_writes_again(&gateway, "/groups/late");
    for path in ["/consumers/acme", "/groups/late"] {
        assert_eq!(send(&gateway, "GET", path, &Value::Null).0, 200, "{path} was acknowledged");
    }
    let checked = run(binary(), &["store", "check", &folder.join("turnpike.db").display().to_string()]);
    assert_eq!(checked.code, 0, "{}", checked.all());
}

/// Turns bits over in the middle of each page of a file.
fn damage(path: &Path) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("the file");
    let length = file.metadata().expect("a length").len();
    for page in 0..length / 4_096 {
        let mut bytes = [0; 512];
        file.read_exact_at(&mut bytes, page * 4_096).expect("read");
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5A);
        file.write_all_at(&bytes, page * 4_096).expect("written");
    }
}

#[test]
fn a_damaged_file_is_said_and_a_copy_in_its_place_is_taken() {
    let mut gateway = setup(FILE).start();
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({})).0, 201);
    let key = new_key(&gateway, "acme");
    let (path, copy) = (gateway.path("turnpike.db"), gateway.path("copy.db"));
    let (path_text, copy_text) = (path.display().to_string(), copy.display().to_string());
    assert_eq!(run(binary(), &["store", "backup", &path_text, &copy_text]).code, 0);
    gateway.kill();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{path_text}{end}"));
    }
    damage(&path);
    let checked = run(binary(), &["store", "check", &path_text]);
    assert_eq!(checked.code, 1, "{}", checked.all());
    gateway.start_again();
    assert_eq!((with_key(&gateway, text(&key, "key")), with_key(&gateway, "filed-key-0123456789")), (401, 200));
    assert_eq!(send(&gateway, "PUT", "/groups/gold", &json!({})).0, 503);
    assert!(gateway.metrics().contains("\nturnpike_store_up 0"));
    assert!(gateway.said().contains("the store cannot be read"), "{}", gateway.said());
    fs::rename(&copy, &path).expect("it is put into the place");
    wait_for("the copy to be taken", || (with_key(&gateway, text(&key, "key")) == 200).then_some(()));
    assert_eq!(send(&gateway, "PUT", "/groups/gold", &json!({})).0, 201);
}

#[test]
fn what_the_configuration_declares_is_listed_and_not_changed() {
    let gateway = setup(FILE).start();
    let (status, list) = send(&gateway, "GET", "/credentials", &Value::Null);
    let held = &list["items"][0];
    assert_eq!((status, &held["source"], &held["consumer"]), (200, &json!("file"), &json!("filed")), "{list}");
    assert!(!list.to_string().contains("filed-key"));
    let path = format!("/credentials/{}", text(held, "id"));
    assert_eq!(send(&gateway, "GET", &path, &Value::Null), (200, held.clone()));
    assert_eq!(send(&gateway, "POST", &format!("{path}/revoke"), &Value::Null).0, 409);
    assert_eq!(send(&gateway, "PATCH", &path, &json!({ "expires": null })).0, 409);
    assert_eq!(send(&gateway, "POST", &format!("{path}/rotate"), &json!({})).0, 409);
    assert_eq!(with_key(&gateway, "filed-key-0123456789"), 200);
}
