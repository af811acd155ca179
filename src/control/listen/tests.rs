// SPDX-License-Identifier: Apache-2.0
//! Real sockets on the loopback, for plans compiled from texts.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::*;
use crate::config::{ConfigSource, Environment, load};

fn plan(listeners: &[(&str, &str)]) -> Arc<Plan> {
    let mut text = "[[route]]\necho = true\n".to_owned();
    for (name, bind) in listeners {
        text.push_str(&format!("[[listener]]\nname = \"{name}\"\nbind = \"{bind}\"\n"));
    }
    load(&ConfigSource::Text { name: "test".into(), text }, &Environment::sealed()).expect("compiles").plan
}

fn count(by_shard: &ByShard) -> Vec<usize> {
    by_shard.iter().map(Vec::len).collect()
}

fn opened(options: &ListenOptions) -> ListenSocket {
    listen(&Address::Inet("127.0.0.1:0".parse().expect("an address")), options).expect("listens")
}

#[test]
fn each_shard_has_its_own_and_reloads_keep_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = format!("unix:{}/web.sock", folder.path().display());
    let mut sockets = Sockets::new(3, Vec::new());
    let both = plan(&[("web", "127.0.0.1:0"), ("local", &path)]);
    let first = sockets.prepare(&both).expect("opened");
    assert_eq!(count(&first), [2, 2, 2]);
    let ports: Vec<&Address> = first.iter().map(|shard| &shard[0].socket.address).collect();
    assert!(ports.iter().all(|port| *port == ports[0]));
    sockets.commit(&both);
    assert_eq!(sockets.all().count(), 4);
    assert_eq!(count(&sockets.prepare(&both).expect("nothing to open")), [0, 0, 0]);
    sockets.commit(&plan(&[("web", "127.0.0.1:0")]));
    assert!(!folder.path().join("web.sock").exists());
    assert_eq!(sockets.all().count(), 3);
}

#[test]
fn a_plan_that_cannot_listen_changes_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let folder = tempfile::tempdir().expect("a folder");
    let path = format!("unix:{}/web.sock", folder.path().display());
    let mut sockets = Sockets::new(2, Vec::new());
    let wanted = plan(&[("local", &path), ("web", &taken.local_addr().expect("bound").to_string())]);
    let fault = sockets.prepare(&wanted).expect_err("taken");
    assert_eq!((fault.listener.as_deref(), fault.error.kind()), (Some("web"), io::ErrorKind::AddrInUse));
    assert!(fault.to_string().contains("another process listens there"), "{fault}");
    assert_eq!(sockets.all().count(), 0);
    assert!(!folder.path().join("web.sock").exists());
}

#[test]
fn another_process_of_ours_on_the_port_is_noticed() {
    let other = opened(&ListenOptions::default());
    let mut sockets = Sockets::new(1, Vec::new());
    let fault = sockets.prepare(&plan(&[("web", &other.address.to_string())])).expect_err("taken");
    assert_eq!(fault.error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn inherited_sockets_go_round_and_missing_ones_are_opened() {
    for (had, shards, expected) in [(3, 2, vec![2, 1]), (1, 3, vec![1, 1, 1]), (2, 2, vec![1, 1])] {
        let first = opened(&ListenOptions::default());
        let address = first.address.clone();
        let mut inherited = vec![Inherited { name: None, socket: first }];
        for _ in 1..had {
            let socket = listen(&address, &ListenOptions::default()).expect("listens");
            inherited.push(Inherited { name: None, socket });
        }
        let mut sockets = Sockets::new(shards, inherited);
        let wanted = plan(&[("web", &address.to_string())]);
        assert_eq!(count(&sockets.prepare(&wanted).expect("opened")), expected);
        sockets.commit(&wanted);
        assert_eq!(sockets.all().count(), had.max(shards));
    }
}

#[test]
fn a_service_managers_socket_is_found_by_name_and_shared() {
    let socket = opened(&ListenOptions { reuse_port: false, ..ListenOptions::default() });
    let address = socket.address.clone();
    let mut sockets = Sockets::new(3, vec![Inherited { name: Some("web".into()), socket }]);
    let wanted = plan(&[("web", "127.0.0.1:1")]);
    let by_shard = sockets.prepare(&wanted).expect("adopted");
    assert_eq!(count(&by_shard), [1, 1, 1]);
    assert_eq!(sockets.actual(&wanted.listeners[0].bind[0]), Some(&address));
    let Address::Inet(place) = address else { panic!("TCP") };
    TcpStream::connect(place).expect("the kernel accepts");
}

#[test]
fn what_is_handed_over_keeps_its_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.sock");
    let wanted = plan(&[("local", &format!("unix:{}", path.display()))]);
    let mut sockets = Sockets::new(2, Vec::new());
    let lent = sockets.prepare(&wanted).expect("opened");
    sockets.commit(&wanted);
    sockets.hand_over();
    UnixStream::connect(&path).expect("shards still have it");
    drop(lent);
    assert!(path.exists() && UnixStream::connect(&path).is_err());
}

#[test]
fn a_path_that_another_process_took_over_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.sock");
    let wanted = plan(&[("local", &format!("unix:{}", path.display()))]);
    let mut sockets = Sockets::new(1, Vec::new());
    sockets.prepare(&wanted).expect("opened");
    sockets.commit(&wanted);
    std::fs::remove_file(&path).expect("removed");
    let _other = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    sockets.close();
    assert!(path.exists());
}
