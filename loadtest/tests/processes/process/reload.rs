// SPDX-License-Identifier: Apache-2.0
//! New configurations in a running process: nobody notices but by the new behaviour.

use std::fs;

use crate::harness::gateway::{WEB, binary};
use crate::harness::load::{Load, Use};
use crate::harness::origin::ok;
use crate::harness::{Gateway, Origin, Setup, noise, run, wait_for};

/// A plan that says its number in each answer.
fn plan(origin: &Origin, number: usize) -> String {
    format!(
        "{WEB}\n[upstream.o]\nendpoints = \"{}\"\n[[route]]\nname = \"all\"\nto = \"o\"\n\
         response_headers = {{ set = {{ x-plan = \"{number}\" }} }}\n",
        origin.address
    )
}

/// Waits until answers come from the plan of that number.
fn wait_plan(gateway: &Gateway, number: usize) {
    let number = number.to_string();
    wait_for("the new plan", || (gateway.get("/").field("x-plan") == number).then_some(()));
}

fn under_load(shards: usize, server: &str, mut reload: impl FnMut(&Gateway)) {
    let origin = Origin::saying("here");
    let mut gateway = Setup::new(plan(&origin, 0)).shards(shards).server(server).start();
    let kept = Load::start(gateway.here(), "/", 3, Use::Kept);
    let once = Load::start(gateway.here(), "/", 1, Use::Once);
    kept.wait_more(50);
    for number in 1..=4 {
        gateway.rewrite(plan(&origin, number));
        reload(&gateway);
        wait_plan(&gateway, number);
        kept.wait_more(50);
        once.wait_more(10);
    }
    let (_, again) = kept.stop();
    assert_eq!(again, 0, "a reload closes no connection");
    once.stop();
}

#[test]
fn hangup_reloads_without_a_failed_request() {
    under_load(2, "watch = false", |gateway| gateway.signal("HUP"));
}

#[test]
fn the_command_reloads_without_a_failed_request() {
    under_load(1, "watch = false", |gateway| {
        let config = gateway.config_path();
        let out = run(binary(), &["reload", "-c", config.to_str().expect("a path")]);
        assert_eq!(out.code, 0, "{}", out.all());
        assert!(out.text().contains("all"), "it says what changed: {}", out.text());
    });
}

#[test]
fn a_changed_file_reloads_without_a_failed_request() {
    under_load(2, "watch = true", |_| {});
}

#[test]
fn included_and_secret_files_are_watched() {
    let gateway = Setup::web("[[route]]\nanswer = { body = \"none\" }\n").file("secret", "one").start();
    fs::create_dir(gateway.path("more")).expect("a folder");
    let route = "[[route]]\npath = \"/a\"\nanswer = { body = \"${file:../secret}\" }\n";
    fs::write(gateway.path("more/a.toml"), route).expect("written");
    let whole = fs::read_to_string(gateway.config_path()).expect("read");
    fs::write(gateway.config_path(), format!("include = [\"more/*.toml\"]\n{whole}")).expect("written");
    wait_for("the include", || (gateway.get("/a").text() == "one").then_some(()));
    fs::write(gateway.path("secret"), "two").expect("written");
    wait_for("the secret", || (gateway.get("/a").text() == "two").then_some(()));
    fs::write(gateway.path("more/b.toml"), "[[route]]\npath = \"/b\"\nanswer = { body = \"b\" }\n").expect("written");
    wait_for("the new file", || (gateway.get("/b").text() == "b").then_some(()));
}

#[test]
fn a_wrong_configuration_changes_nothing_and_says_so() {
    let origin = Origin::saying("here");
    let mut gateway = Setup::new(plan(&origin, 1)).server("watch = false").start();
    let load = Load::start(gateway.here(), "/", 2, Use::Kept);
    gateway.rewrite(plan(&origin, 2).replace("to = \"o\"", "to = \"p\""));
    let config = gateway.config_path();
    let out = run(binary(), &["reload", "-c", config.to_str().expect("a path")]);
    // The file does not say which socket is meant, and no other process is reloaded in its place.
    assert_eq!(out.code, 1);
    assert!(out.all().contains("`p`") && out.all().contains("--control-socket"), "{}", out.all());
    let socket = gateway.path("control.sock");
    let out = run(binary(), &["reload", "--control-socket", socket.to_str().expect("a path")]);
    assert_ne!(out.code, 0);
    assert!(out.all().contains("turnpike.toml:") && out.all().contains('p'), "{}", out.all());
    gateway.signal("HUP");
    wait_for("the report", || gateway.said().contains("turnpike.toml:").then_some(()));
    load.wait_more(20);
    load.stop();
    assert_eq!(gateway.get("/").field("x-plan"), "1");
    let refused = gateway.status()["reloads_refused"].as_u64();
    assert!(refused >= Some(2), "{refused:?}");
    gateway.rewrite(plan(&origin, 3));
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(gateway.get("/").field("x-plan"), "3");
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let origin = Origin::saying("here");
    let mut gateway = Setup::new(plan(&origin, 1)).server("watch = false").start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    gateway.rewrite(format!("{}\n[[listener]]\nbind = \"{address}\"\n", plan(&origin, 2)));
    let (status, words) = gateway.reload();
    assert_eq!(status, 422);
    assert!(words.contains(&address.to_string()), "{words}");
    assert_eq!(gateway.get("/").field("x-plan"), "1");
}

#[test]
fn listeners_come_and_go() {
    let text = |more: &str| format!("{WEB}\n{more}\n[[route]]\nanswer = {{ body = \"here\" }}\n");
    let mut gateway = Setup::new(text("")).server("watch = false").shards(2).start();
    let here = gateway.here();
    gateway.rewrite(text("[[listener]]\nname = \"more\"\nbind = \"127.0.0.2:0\"\n"));
    assert_eq!(gateway.reload().0, 200);
    let more = gateway.address("more");
    for _ in 0..4 {
        assert_eq!(crate::harness::Client::to(more).get("/").text(), "here");
    }
    assert_eq!(gateway.here(), here, "the address that stays is not bound anew");
    let mut open = crate::harness::Client::to(more);
    assert_eq!(open.get("/").status, 200);
    gateway.rewrite(text(""));
    assert_eq!(gateway.reload().0, 200);
    wait_for("the listener to close", || crate::harness::Client::try_to(more).is_err().then_some(()));
    assert_eq!(gateway.get("/").text(), "here");
}

#[test]
fn running_exchanges_end_under_the_plan_they_began_with() {
    let body = noise(3 << 20);
    let sent = body.clone();
    let origin = Origin::with(move |peer| {
        let request = peer.request()?;
        if request.target == "/" {
            peer.send(ok("here"));
            return Ok(());
        }
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len()));
        for piece in sent.chunks(256 * 1024) {
            peer.send(piece);
            peer.pause(50);
        }
        Ok(())
    });
    let mut gateway = Setup::new(plan(&origin, 1)).server("watch = false").start();
    let mut download = gateway.client();
    download.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(download.head().field("x-plan"), "1");
    let mut upload = gateway.client();
    upload.send("POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
    // Another address of the origin: the old upstream is gone from the new plan.
    gateway.rewrite(format!("{WEB}\n[[route]]\nanswer = {{ body = \"new\" }}\n"));
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(gateway.get("/").text(), "new");
    assert!(download.exactly(body.len()) == body, "the download went on untouched");
    upload.send("world");
    assert_eq!(upload.head().field("x-plan"), "1");
    // The same connection sees the new plan with its next request.
    assert_eq!(download.get("/").text(), "new");
}

#[test]
fn the_log_can_move() {
    let text = |name: &str| format!("{WEB}\n[[route]]\nanswer = {{ body = \"{name}\" }}\n");
    let mut gateway = Setup::new(text("one")).log("").server("watch = false").start();
    gateway.get("/nowhere");
    gateway.rewrite(format!(
        "[log.access]\npath = \"{{dir}}/access.log\"\nformat = \"{{method}} {{path}}\"\n{}",
        text("two")
    ));
    assert_eq!(gateway.reload().0, 200);
    gateway.get("/logged");
    let lines = wait_for("the line", || Some(gateway.log_lines()).filter(|lines| !lines.is_empty()));
    assert_eq!(lines, ["GET /logged"]);
}
