// SPDX-License-Identifier: Apache-2.0
//! The control plane waits for nobody: not for a FIFO that nobody reads, not for whoever should read standard error,
//! not for shards that have much to say.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::harness::gateway::{SOON, WEB};
use crate::harness::{Client, Gateway, Setup, run, wait_for};

const ANSWER: &str = "[[route]]\nanswer = { body = \"here\" }\n";

/// Reloads before a test gives up waiting for what they must lead to.
const RELOADS_MAX: usize = 5_000;

fn fifo(folder: &TempDir) -> String {
    let path = folder.path().join("fifo").display().to_string();
    assert_eq!(run("mkfifo", &[&path]).code, 0);
    path
}

/// A configuration that writes its access log there.
fn logging_to(path: &str) -> String {
    format!("[log.access]\npath = \"{path}\"\n{WEB}\n{ANSWER}")
}

fn serves(gateway: &Gateway) {
    assert_eq!(gateway.get("/").text(), "here");
    assert_eq!(gateway.admin_get("/readyz").expect("the control socket answers").status, 200);
}

fn stops(mut gateway: Gateway) {
    gateway.signal("TERM");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
}

fn metric(gateway: &Gateway, name: &str) -> u64 {
    let page = gateway.metrics();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {page}"))
}

#[test]
fn a_log_that_is_a_fifo_without_reader_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = fifo(&folder);
    let mut gateway = Setup::new(logging_to(&path)).log("").start_unready();
    assert_eq!(gateway.wait(SOON).code(), Some(1));
    assert!(gateway.said().contains(&format!("{path}: nobody reads this FIFO")), "{}", gateway.said());
}

#[test]
fn a_log_that_is_a_fifo_without_reader_is_refused_by_a_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = fifo(&folder);
    let mut gateway = Setup::web(ANSWER).log("").server("watch = false").start();
    gateway.rewrite(logging_to(&path));
    let (status, words) = gateway.reload();
    assert!(status == 422 && words.contains(&format!("{path}: nobody reads this FIFO")), "{status} {words}");
    serves(&gateway);
    stops(gateway);
}

#[test]
fn a_reader_of_a_fifo_that_reads_nothing_holds_up_neither_reload_nor_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = fifo(&folder);
    let mut gateway = Setup::web(ANSWER).log("").server("watch = false").start();
    gateway.rewrite(logging_to(&path));
    // Opening it for both is the one way to open a FIFO that waits for nobody.
    let mut reader = File::options().read(true).write(true).open(&path).expect("our FIFO");
    let (status, words) = gateway.reload();
    assert_eq!(status, 200, "{words}");
    // From here on the writer's thread hangs in its first write.
    let (filled, stop) = (&AtomicUsize::new(0), &AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(move || {
            let line = [b'x'; 512];
            while !stop.load(Ordering::Relaxed) && reader.write_all(&line).is_ok() {
                filled.fetch_add(1, Ordering::Relaxed);
            }
        });
        wait_for("the FIFO to be full", || {
            let before = filled.load(Ordering::Relaxed);
            thread::sleep(std::time::Duration::from_millis(100));
            (before > 0 && filled.load(Ordering::Relaxed) == before).then_some(())
        });
        gateway.signal("USR1");
        serves(&gateway);
        gateway.rewrite(format!("{WEB}\n{ANSWER}"));
        assert_eq!(gateway.reload().0, 200);
        serves(&gateway);
        stops(gateway);
        stop.store(true, Ordering::Relaxed);
        // What hangs in the test's own write goes on once somebody reads.
        let mut drain = File::open(&path).expect("our FIFO");
        io::copy(&mut drain, &mut io::sink()).expect("read");
    });
}

#[test]
fn nobody_waits_for_a_reader_of_standard_error_and_what_it_misses_is_counted() {
    let (reader, mut full) = io::pipe().expect("a pipe");
    let stderr = full.try_clone().expect("a descriptor");
    // The pipe is full and stays so until its reader is closed.
    let filling = thread::spawn(move || while full.write_all(&[b'x'; 4096]).is_ok() {});
    let setup = Setup::web(ANSWER).server("watch = false").stderr(File::from(OwnedFd::from(stderr)));
    let gateway = setup.start();
    let mut reloads = 0;
    while metric(&gateway, "turnpike_message_lines_dropped_total") == 0 {
        assert!(reloads < RELOADS_MAX, "no message was dropped");
        for _ in 0..50 {
            assert_eq!(gateway.reload().0, 200);
        }
        reloads += 50;
    }
    serves(&gateway);
    stops(gateway);
    drop(reader);
    filling.join().expect("it ends with the pipe");
}

#[test]
fn reloads_get_through_while_shards_have_much_to_say() {
    let limit = "[policy.l]\nrate_limit = { rate = \"100/s\", key = \"header:x-key\" }\n";
    let text =
        |number: usize| format!("{limit}{WEB}\n[[route]]\nanswer = {{ body = \"{number}\" }}\npolicies = \"l\"\n");
    let mut gateway = Setup::new(text(0)).server("watch = false").shards(2).start();
    let (here, stop) = (gateway.here(), AtomicBool::new(false));
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (stop, answered) = (&stop, &answered);
            scope.spawn(move || {
                let mut client = Client::to(here);
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // A key that never came before: the shard has to ask about it.
                    client.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Key: {thread}-{number}\r\n\r\n"));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 1..=20 {
            let before = answered.load(Ordering::Relaxed);
            wait_for("requests", || (answered.load(Ordering::Relaxed) > before + 20).then_some(()));
            gateway.rewrite(text(number));
            let (status, words) = gateway.reload();
            assert_eq!(status, 200, "{words}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(metric(&gateway, "turnpike_link_messages_dropped_total"), 0);
    stops(gateway);
}
