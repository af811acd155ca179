// SPDX-License-Identifier: Apache-2.0
//! Probes against a small origin on the loopback.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::task::LocalSet;

use super::*;
use crate::config::plan::{HttpVersions, ProxyVersion, UpstreamTlsPlan};

fn health(path: &str) -> HealthPlan {
    HealthPlan {
        path: path.into(),
        host: None,
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(5),
        rise: 1,
        fall: 2,
        statuses: vec![(200, 299)],
        body_contains: None,
        grpc: None,
    }
}

fn check(health: HealthPlan) -> Check {
    Check { health, dial: Dial { http: HttpVersions::Http1, tls: None, proxy_protocol: None } }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bounded = async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, bounded);
}

/// Reads a head from every connection, keeps it, and sends the answer.
async fn origin(answer: &'static [u8]) -> (Address, Rc<RefCell<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = Address::Inet(listener.local_addr().expect("bound"));
    let heads = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&heads);
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, answer, &kept).await;
        }
    });
    (address, heads)
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8], heads: &RefCell<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 256];
        match stream.read(&mut bytes).await {
            Ok(count) if count > 0 => head.extend_from_slice(&bytes[..count]),
            Ok(_) | Err(_) => break,
        }
    }
    heads.borrow_mut().push(String::from_utf8_lossy(&head).into_owned());
    let _ = stream.write_all(answer).await;
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well";

#[test]
fn status_and_text_decide() {
    run(async {
        let (address, heads) = origin(OK).await;
        let seen = ask(&check(health("/ready?x=1")), &address, "origin.test:81").await;
        assert_eq!(seen, Ok("status 200".into()));
        let head = heads.borrow()[0].to_ascii_lowercase();
        assert!(head.starts_with("get /ready?x=1 http/1.1\r\n"), "{head}");
        assert!(head.contains("host: origin.test:81\r\n") && head.contains("user-agent: turnpike-health/"), "{head}");
        let strict = HealthPlan { statuses: vec![(201, 204)], ..health("/") };
        assert_eq!(ask(&check(strict), &address, "").await, Err("status 200".into()));
        let texts =
            [("is we", Ok("status 200 with the text".to_owned())), ("ill", Err("status 200 without the text".into()))];
        for (text, expected) in texts {
            let wanted = HealthPlan { body_contains: Some(text.into()), host: Some("h".into()), ..health("/") };
            assert_eq!(ask(&check(wanted), &address, "").await, expected);
        }
    });
}

#[test]
fn a_broken_origin_fails() {
    run(async {
        for broken in [&b""[..], b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwell"] {
            let (address, _) = origin(broken).await;
            let wanted = HealthPlan { body_contains: Some("x".into()), ..health("/") };
            assert!(ask(&check(wanted), &address, "").await.is_err());
        }
        // A socket that is bound and does not listen keeps the port from everybody else.
        let silent = TcpSocket::new_v4().expect("a socket");
        silent.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let nobody = Address::Inet(silent.local_addr().expect("bound"));
        let refused = ask(&check(health("/")), &nobody, "").await;
        assert!(refused.is_err_and(|reason| reason.starts_with("connect: ")));
    });
}

#[test]
fn unix_sockets_and_proxy_headers() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path: PathBuf = folder.path().join("origin.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let heads = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&heads);
        spawn_local(async move {
            let (stream, _) = listener.accept().await.expect("accepted");
            serve(stream, OK, &kept).await;
        });
        let mut check = check(health("/"));
        check.dial.proxy_protocol = Some(ProxyVersion::V1);
        assert!(ask(&check, &Address::Unix(path.into()), "").await.is_ok());
        assert!(heads.borrow()[0].starts_with("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"));
    });
}

fn endpoint(address: &Address) -> Endpoint {
    Endpoint { address: address.clone(), name: "origin.test".into(), weight: 1, backup: false }
}

#[test]
fn verdicts_come_once_and_survive_another_check() {
    run(async {
        let (address, _) = origin(OK).await;
        let upstream: Arc<str> = "pool".into();
        let (sender, mut verdicts) = mpsc::channel(8);
        let mut probes = Probes::new(sender, 1);
        let endpoints = [endpoint(&address)];
        probes.follow(&upstream, Some(&Rc::new(check(health("/")))), &endpoints);
        let target = Target { upstream: Arc::clone(&upstream), address: address.clone() };
        let first = verdicts.recv().await.expect("a verdict");
        assert_eq!(first, HealthChange { target: target.clone(), up: true, reason: "status 200".into() });
        let other = HealthPlan { statuses: vec![(500, 500)], rise: 3, ..health("/") };
        probes.follow(&upstream, Some(&Rc::new(check(other))), &endpoints);
        assert_eq!(probes.health(&target), Health::Up);
        let second = verdicts.recv().await.expect("a verdict");
        assert_eq!((second.up, probes.known().next()), (false, Some((target.clone(), Health::Down))));
        probes.follow(&upstream, None, &endpoints);
        assert_eq!(probes.health(&target), Health::Unknown);
        drop(probes);
        assert!(verdicts.recv().await.is_none());
    });
}

#[test]
fn a_verdict_is_carried_into_a_fresh_machine() {
    let pace = ProbePlan { fall: 5, ..ProbePlan::default() };
    for verdict in [Health::Unknown, Health::Up, Health::Down] {
        assert_eq!(with_verdict(&pace, verdict, Tick::ZERO, 1).health(), verdict);
    }
}

/// A certificate of its own for `origin.test`, as a server's and a client's configuration.
fn tls() -> (tokio_rustls::TlsAcceptor, UpstreamTlsPlan) {
    let made = rcgen::generate_simple_self_signed(["origin.test".to_owned()]).expect("made");
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("fits");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let plan = UpstreamTlsPlan { config: Arc::new(client), server_name: None };
    (Arc::new(server).into(), plan)
}

#[test]
fn tls_endpoints_are_verified_by_name() {
    run(async {
        let (acceptor, plan) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = Address::Inet(listener.local_addr().expect("bound"));
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let heads = RefCell::new(Vec::new());
                    serve(&mut stream, OK, &heads).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        let mut check = check(health("/"));
        check.dial.tls = Some(plan);
        assert_eq!(ask(&check, &address, "origin.test:443").await, Ok("status 200".into()));
        let other = ask(&check, &address, "other.test:443").await;
        assert!(other.is_err_and(|reason| reason.starts_with("TLS: ")));
    });
}
