// SPDX-License-Identifier: Apache-2.0
//! Listening sockets, on ephemeral ports of 127.0.0.1 and in temporary folders.

use std::os::unix::fs::MetadataExt;

use super::*;

fn loopback() -> Address {
    Address::Inet(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn port(socket: &ListenSocket) -> SocketAddr {
    match socket.address {
        Address::Inet(address) => address,
        Address::Unix(_) => panic!("a TCP socket with a path"),
    }
}

#[test]
fn shards_share_a_port() {
    let first = listen(&loopback(), &ListenOptions::default()).unwrap();
    assert_ne!(port(&first).port(), 0);
    let second = listen(&first.address, &ListenOptions::default()).unwrap();
    assert_eq!(first.address, second.address);
    let alone = ListenOptions { reuse_port: false, ..ListenOptions::default() };
    assert_eq!(listen(&first.address, &alone).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn unix_socket_replaces_only_what_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let path: Arc<Path> = folder.path().join("listen").into();
    let address = Address::Unix(path.clone());
    let options = ListenOptions { mode: 0o600, ..ListenOptions::default() };
    let socket = listen(&address, &options).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    UnixStream::connect(&path).unwrap();
    assert_eq!(listen(&address, &options).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let duplicate = socket.duplicate().unwrap();
    drop((socket, duplicate));
    listen(&address, &options).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    assert!(listen(&address, &options).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"a file");
}

#[test]
fn a_successor_adopts_what_is_handed_over() {
    let socket = listen(&loopback(), &ListenOptions::default()).unwrap();
    let hand_over = HandOver::of([&socket]).unwrap();
    let (name, value) = hand_over.variable();
    assert_eq!(name, "TURNPIKE_SOCKETS");
    let descriptors = descriptors_handed(value).unwrap();
    assert_eq!(descriptors, [(hand_over.duplicates[0].as_raw_fd(), None)]);
    assert!(value.ends_with(&format!("={}\n", socket.address)));
    // What a successor does with its duplicate.
    let adopted = ListenSocket::adopted(hand_over.duplicates[0].try_clone().unwrap()).unwrap();
    assert_eq!(adopted.address, socket.address);
}

#[test]
fn a_started_program_inherits_the_duplicates_only() {
    let socket = listen(&loopback(), &ListenOptions::default()).unwrap();
    let hand_over = HandOver::of([&socket]).unwrap();
    let link = fs::read_link(format!("/proc/self/fd/{}", socket.fd.as_raw_fd())).unwrap();
    let listed = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let same = |line: &&str| line.ends_with(link.to_str().unwrap());
    let inherited: Vec<&str> = listed.lines().filter(same).collect();
    let duplicate = format!(" {} -> ", hand_over.duplicates[0].as_raw_fd());
    assert!(inherited.len() == 1 && inherited[0].contains(&duplicate), "inherited {inherited:?}");
}

#[test]
fn adopts_only_listening_sockets() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    assert!(ListenSocket::adopted(socket.into()).is_err());
    let file = tempfile::tempfile().unwrap();
    assert!(ListenSocket::adopted(file.into()).is_err());
}

#[test]
fn reads_the_variables_of_both_conventions() {
    let handed = descriptors_handed("3=127.0.0.1:80\n7=unix:/a=b\tweb\n").unwrap();
    assert_eq!(handed, [(3, None), (7, Some("web".to_owned()))]);
    assert!(descriptors_handed("three=127.0.0.1:80").is_err());
    let activated = descriptors_activated(10, "10", "2", "http:unknown").unwrap();
    assert_eq!(activated, [(3, Some("http".to_owned())), (4, None)]);
    assert!(descriptors_activated(10, "11", "2", "").unwrap().is_empty());
    assert!(descriptors_activated(10, "", "", "").unwrap().is_empty());
    assert!(descriptors_activated(10, "10", "many", "").is_err());
    assert!(descriptors_activated(10, "10", "99999999", "").is_err());
}
