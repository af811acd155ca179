// SPDX-License-Identifier: Apache-2.0
//! Where connections come from and go to: Unix sockets, IPv6, PROXY headers, several listeners.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::harness::gateway::{WEB, binary, signal};
use crate::harness::origin::ok;
use crate::harness::tool::{python, reserved, script};
use crate::harness::{Client, Gateway, Origin, Setup, curl, wait_for};

#[test]
fn unix_sockets_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("origin.sock");
    let seen = Origin::on_unix(&path, |peer| {
        loop {
            let request = peer.request()?;
            peer.send(ok(request.field("host")));
        }
    });
    let gateway = Setup::new(format!(
        "[[listener]]\nname = \"local\"\nbind = \"unix:{{dir}}/in.sock\"\nunix_mode = \"0600\"\n\n\
         [upstream.local]\nendpoints = \"unix:{}\"\n\n[[route]]\nto = \"local\"\n",
        path.display()
    ))
    .shards(2)
    .start();
    let socket = gateway.path("in.sock");
    for _ in 0..8 {
        let answer = Client::to_unix(&socket).expect("it listens").get("/");
        assert_eq!((answer.status, answer.text()), (200, "test".to_owned()));
    }
    let socket = socket.to_str().expect("a path").to_owned();
    assert_eq!(curl(&["--unix-socket", &socket, "http://name/x"]).text(), "name");
    assert_eq!(seen.requests.lock().expect("a lock").len(), 9);
    let mode = std::fs::metadata(&socket).expect("it is there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
}

#[test]
fn a_unix_socket_that_was_left_behind_is_replaced() {
    let text = "[[listener]]\nbind = \"unix:{dir}/in.sock\"\n\n[[route]]\nanswer = { body = \"here\" }\n";
    let mut setup = Setup::new(text);
    let left = tempfile::tempdir().expect("a folder");
    let path = left.path().join("in.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    setup.text = text.replace("{dir}", &left.path().display().to_string());
    let _gateway = setup.start();
    assert_eq!(Client::to_unix(&path).expect("it listens").get("/").text(), "here");
}

#[test]
fn of_two_listeners_with_one_port_the_narrower_gets_its_address() {
    let reserved = reserved();
    let port = reserved.address().port();
    let gateway = Setup::new(format!(
        "[[listener]]\nname = \"all\"\nbind = \"0.0.0.0:{port}\"\n\
         [[listener]]\nname = \"one\"\nbind = \"127.0.0.1:{port}\"\n\
         [[route]]\nlisteners = \"all\"\nanswer = {{ body = \"all\" }}\n\
         [[route]]\nlisteners = \"one\"\nanswer = {{ body = \"one\" }}\n"
    ))
    .shards(2)
    .start();
    let ask = |ip: [u8; 4]| Client::to((ip, port).into()).get("/").text();
    for _ in 0..8 {
        assert_eq!((ask([127, 0, 0, 1]), ask([127, 0, 0, 2])), ("one".to_owned(), "all".to_owned()));
    }
    assert!(gateway.said().contains("includes `127.0.0.1:"), "{}", gateway.said());
}

#[test]
fn ipv6_on_both_sides() {
    let origin = Origin::at("[::1]:0".parse().expect("an address"), |peer| {
        loop {
            let request = peer.request()?;
            peer.send(ok(request.field("x-forwarded-for")));
        }
    });
    let gateway = Setup::new(format!(
        "[[listener]]\nname = \"six\"\nbind = \"[::1]:0\"\n\n[[route]]\nto = \"http://{}\"\n",
        origin.address
    ))
    .start();
    let address = gateway.address("six");
    assert!(address.is_ipv6());
    assert_eq!(Client::to(address).get("/").text(), "::1");
    assert_eq!(curl(&["-g", &format!("http://{address}/")]).text(), "::1");
    assert_eq!(gateway.log(2)[0]["client"], "::1");
}

#[test]
fn several_listeners_have_their_own_routes() {
    let gateway = Setup::new(
        "[[listener]]\nname = \"a\"\nbind = [\"127.0.0.1:0\"]\n[[listener]]\nname = \"b\"\nbind = \"127.0.0.2:0\"\n\
         [[route]]\nlisteners = [\"a\"]\nanswer = { body = \"a\" }\n\
         [[route]]\nlisteners = \"b\"\nanswer = { body = \"b\" }\n",
    )
    .shards(2)
    .start();
    for name in ["a", "b"] {
        for _ in 0..4 {
            assert_eq!(Client::to(gateway.address(name)).get("/").text(), name);
        }
    }
}

#[test]
fn proxy_headers_say_who_the_client_is() {
    let origin = Origin::answering(|request| ok(request.field("x-real-ip")));
    let gateway = Setup::new(format!(
        "{WEB}proxy_protocol = {{ from = \"127.0.0.0/8\" }}\n\n[[route]]\nto = \"{}\"\n",
        origin.url()
    ))
    .start();
    let mut text = gateway.client();
    text.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n");
    assert_eq!(text.get("/").text(), "192.0.2.7");
    assert_eq!(text.get("/again").text(), "192.0.2.7");
    let mut binary = gateway.client();
    binary.send(version_2([192, 0, 2, 8]));
    assert_eq!(binary.get("/").text(), "192.0.2.8");
    let mut split = gateway.client();
    for byte in b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n" {
        split.send([*byte]);
    }
    assert_eq!(split.get("/").text(), "2001:db8::1");
    let mut local = gateway.client();
    local.send(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00");
    assert_eq!(local.get("/").text(), "127.0.0.1");
    let log = gateway.log(5);
    assert_eq!(log[0]["client"], "192.0.2.7");
}

#[test]
fn connections_without_their_proxy_header_end() {
    let origin = Origin::saying("x");
    let gateway = Setup::new(format!(
        "{WEB}proxy_protocol = {{ from = \"127.0.0.1/32\" }}\n\n[[route]]\nto = \"{}\"\n",
        origin.url()
    ))
    .start();
    for wrong in ["GET / HTTP/1.1\r\nHost: test\r\n\r\n", "PROXY TCP4 1.2.3.4\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n"] {
        let mut client = gateway.client();
        client.send(wrong);
        assert!(!matches!(client.read("GET"), Ok(answer) if answer.status == 200), "{wrong}");
    }
    assert_eq!(origin.count(), 0);
    // Who is not in the list must not say who he is.
    let strange = Setup::new(format!(
        "{WEB}proxy_protocol = {{ from = \"10.0.0.0/8\" }}\n\n[[route]]\nto = \"{}\"\n",
        origin.url()
    ))
    .start();
    assert_eq!(strange.get("/").status, 200);
    let mut client = strange.client();
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n");
    assert_eq!(client.get("/").status, 400);
}

#[test]
fn proxy_headers_are_sent_to_origins() {
    let origin = Origin::with(|peer| {
        let mut came = Vec::new();
        while !came.windows(4).any(|window| window == b"\r\n\r\n") || !came.ends_with(b"\r\n\r\n") {
            let piece = peer.read_some().unwrap_or_default();
            assert!(!piece.is_empty());
            came.extend(piece);
        }
        peer.send(ok(came));
        Ok(())
    });
    for version in ["v1", "v2"] {
        let gateway = Gateway::web(format!(
            "[upstream.o]\nendpoints = \"{}\"\nproxy_protocol = \"{version}\"\n\n[[route]]\nto = \"o\"\n",
            origin.address
        ));
        let mut client = gateway.client();
        let came = client.get("/").body;
        let (ours, there) = (client.local(), gateway.here());
        let expected = match version {
            "v1" => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", ours.port(), there.port()).into_bytes(),
            _ => version_2_of(ours, there),
        };
        assert!(came.starts_with(&expected), "{version}: {:?}", String::from_utf8_lossy(&came));
        assert!(came[expected.len()..].starts_with(b"GET / HTTP/1.1\r\n"));
    }
}

fn version_2(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend(source);
    header.extend([198, 51, 100, 1, 0x12, 0x34, 0, 80]);
    header
}

fn version_2_of(source: SocketAddr, target: SocketAddr) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01".to_vec();
    header.extend(source.port().to_be_bytes());
    header.extend(target.port().to_be_bytes());
    header
}

#[test]
fn sockets_can_come_from_a_service_manager() {
    let folder = tempfile::tempdir().expect("a folder");
    let reserved = reserved();
    let address = reserved.address();
    let path = folder.path().join("t.toml");
    let socket = folder.path().join("control.sock");
    let text = format!(
        "[server]\nshards = 2\ncontrol_socket = \"{}\"\n[[listener]]\nbind = \"{address}\"\n\
         [[route]]\nanswer = {{ body = \"handed over\" }}\n",
        socket.display()
    );
    std::fs::write(&path, text).expect("written");
    let mut command = Command::new(python());
    command.arg(script("activate.py")).arg(address.ip().to_string()).arg(address.port().to_string());
    command.arg("unknown").arg(binary()).args(["run", "-c"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("python runs");
    // The socket listens before the gateway runs: nobody is refused in between.
    wait_for("the socket", || Client::try_to(address).ok());
    let answers: Vec<String> = (0..6).map(|_| Client::to(address).get("/").text()).collect();
    signal(child.id(), "TERM");
    let ended = child.wait().expect("our child");
    assert_eq!(answers, vec!["handed over"; 6]);
    assert_eq!(ended.code(), Some(0));
}
