// SPDX-License-Identifier: Apache-2.0
//! Handshakes: who shows what to whom, and what comes of it.

use super::*;
use crate::base::Wall;
use crate::net::uring::tests::receive as receive_plain;

#[test]
fn a_session_says_what_was_agreed() {
    let authority = Authority::new();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        for (versions, version) in
            [(Versions::Both, session::Version::Tls13), (Versions::Tls12, session::Version::Tls12)]
        {
            let mut server = server_of(vec![authority.server(&["localhost"])]);
            server.versions = versions;
            let configs = Configs::of(&server, &client_of(&authority));
            let (client, server) = configs.pair(&net, &listener).await;
            let expected = Session {
                alpn: Some(b"http/1.1"[..].into()),
                server_name: Some("localhost".into()),
                version,
                peer_subject: None,
                client_certificate: None,
                peer_not_after: None,
                resumed: false,
            };
            assert_eq!(server.session(), &expected);
            assert_eq!(client.session().version, version);
            assert_eq!(client.session().peer_subject.as_deref(), Some("CN=server"));
            send(&net, &client, b"hello").await;
            assert_eq!(receive(&net, &server, 5).await, b"hello");
        }
    });
}

#[test]
fn the_name_chooses_the_certificate() {
    let authority = Authority::new();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let named =
            |subject: &str, names: &[&str]| authority.certificate(names, subject, ExtendedKeyUsagePurpose::ServerAuth);
        let mut renamed = named("given", &["*.given.example"]);
        renamed.names = vec!["Only.Given.Example".to_owned()];
        let certificates = vec![
            named("default", &["default.example"]),
            named("exact", &["a.wild.example"]),
            named("wild", &["*.wild.example", "wild.example"]),
            renamed,
        ];
        let mut material = server_of(certificates);
        let mut client = client_of(&authority);
        client.verify = Verify::Off;
        let configs = Configs::of(&material, &client);
        let expectations = [
            ("a.wild.example", "exact"),
            ("A.Wild.Example", "exact"),
            ("b.wild.example", "wild"),
            ("wild.example", "wild"),
            ("c.b.wild.example", "default"),
            ("only.given.example", "given"),
            ("other.given.example", "default"),
            ("nobody.example", "default"),
            ("127.0.0.1", "default"),
        ];
        for (name, subject) in expectations {
            let ends = pair(&net, &listener).await;
            let (client, _server) = configs.over(&net, name, ends).await;
            let shown = client.unwrap().session().peer_subject.clone();
            assert_eq!(shown.as_deref(), Some(format!("CN={subject}").as_str()), "for {name}");
        }
        material.default = None;
        let configs = Configs::of(&material, &client);
        let (client, server) = configs.over(&net, "nobody.example", pair(&net, &listener).await).await;
        assert!(client.is_err() && server.is_err());
    });
}

#[test]
fn servers_are_verified() {
    let (authority, other) = (Authority::new(), Authority::new());
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let server = server_of(vec![authority.server(&["localhost"])]);
        for (name, trusted, fine) in
            [("localhost", &authority, true), ("elsewhere", &authority, false), ("localhost", &other, false)]
        {
            let configs = Configs::of(&server, &client_of(trusted));
            let (client, server) = configs.over(&net, name, pair(&net, &listener).await).await;
            assert_eq!((client.is_ok(), server.is_ok()), (fine, fine), "{name}");
        }
    });
}

#[test]
fn clients_show_certificates() {
    let (authority, other) = (Authority::new(), Authority::new());
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let roots = || vec![authority.root()];
        let cases = [
            (ClientAuth::Optional(roots()), None, Some(None)),
            (ClientAuth::Optional(roots()), Some(authority.client("alice")), Some(Some("CN=alice"))),
            (ClientAuth::Optional(roots()), Some(other.client("mallory")), None),
            (ClientAuth::Required(roots()), Some(authority.client("bob")), Some(Some("CN=bob"))),
            (ClientAuth::Required(roots()), None, None),
            (ClientAuth::Off, Some(authority.client("carol")), Some(None)),
        ];
        for (client_auth, certificate, expected) in cases {
            let case = format!("{client_auth:?}").split('(').next().map(str::to_owned);
            let mut server = server_of(vec![authority.server(&["localhost"])]);
            server.client_auth = client_auth;
            let client = ClientMaterial { certificate, ..client_of(&authority) };
            let configs = Configs::of(&server, &client);
            let (near, far) = pair(&net, &listener).await;
            let name = server_name("localhost").unwrap();
            let is_refused = expected.is_none();
            // In TLS 1.3 the client is done before the server refuses; it learns when it reads. The server waits until
            // the client has closed, so that its alert is not lost with a reset.
            let asking = async {
                let client = connect(near, configs.client.clone(), name, BufPool::new(), soon(&net)).await;
                match client {
                    Ok(client) if is_refused => read_once(&net, &client).await.map(|_| None),
                    client => client.map(Some).map_err(|failure| failure.error),
                }
            };
            let accepting = accept(far, configs.server.clone(), BufPool::new(), soon(&net), |_| None);
            let (asked, server) = both(asking, accepting).await;
            match expected {
                Some(subject) => assert_eq!(server.unwrap().session().peer_subject.as_deref(), subject, "{case:?}"),
                None => {
                    assert!(server.is_err(), "{case:?}");
                    assert_eq!(kind(&asked), Some(io::ErrorKind::InvalidData), "{case:?}");
                }
            }
        }
    });
}

#[test]
fn sessions_are_resumed_also_after_a_reload() {
    let authority = Authority::new();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        for versions in [Versions::Tls13, Versions::Tls12] {
            let certificate = || vec![authority.server(&["localhost"])];
            let mut before = server_of(certificate());
            before.versions = versions;
            let mut after = server_of(certificate());
            after.versions = versions;
            after.tickets = before.tickets.clone();
            let client: Arc<ClientConfig> = client_config(&client_of(&authority)).unwrap().into();
            let mut resumed = Vec::new();
            for material in [&before, &before, &after, &server_of(certificate())] {
                let configs = Configs { server: server_config(material).unwrap().into(), client: client.clone() };
                let (client, server) = configs.pair(&net, &listener).await;
                // Session tickets come with the first bytes of the server.
                send(&net, &server, b"x").await;
                receive(&net, &client, 1).await;
                assert_eq!(client.session().resumed, server.session().resumed);
                resumed.push(server.session().resumed);
            }
            assert_eq!(resumed, [false, true, true, false], "{versions:?}");
        }
    });
}

#[test]
fn who_speaks_no_tls_gets_an_alert() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let (near, far) = pair(&net, &listen(&net)).await;
        let talking = async {
            send(&net, &near, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            let alert = receive_plain(&net, &near, 7).await;
            assert_eq!(alert[..3], [21, 3, 3]);
            drop(near);
        };
        let accepting = accept(far, configs.server.clone(), BufPool::new(), soon(&net), |_| None);
        let ((), accepted) = both(talking, accepting).await;
        assert_eq!(accepted.err().map(|failure| failure.kind()), Some(io::ErrorKind::InvalidData));
    });
}

#[test]
fn what_is_no_handshake_gets_a_fatal_alert() {
    let configs = Configs::plain();
    let hostile = [&b"\x16\x03\x01\x00\x05hello"[..], b"\x99\x03\x01\x00\x05hello", b"\x16\x03\x01\xFF\xFFhello"];
    on_each(async |net: Uring| {
        for bytes in hostile {
            let (near, far) = pair(&net, &listen(&net)).await;
            let talking = async {
                send(&net, &near, bytes).await;
                let alert = receive_plain(&net, &near, 7).await;
                assert_eq!(alert[..6], [21, 3, 3, 0, 2, 2], "{}", bytes.escape_ascii());
                drop(near);
            };
            let accepting = accept(far, configs.server.clone(), BufPool::new(), soon(&net), |_| None);
            let ((), accepted) = both(talking, accepting).await;
            assert_eq!(accepted.err().map(|failure| failure.kind()), Some(io::ErrorKind::InvalidData));
        }
    });
}

#[test]
fn who_speaks_no_tls_may_be_answered_in_plain() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let (near, far) = pair(&net, &listen(&net)).await;
        let talking = async {
            send(&net, &near, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            assert_eq!(receive_plain(&net, &near, 5).await, b"plain");
            drop(near);
        };
        let reply = |first: &[u8]| first.starts_with(b"GET ").then_some(&b"plain"[..]);
        let accepting = accept(far, configs.server.clone(), BufPool::new(), soon(&net), reply);
        let ((), accepted) = both(talking, accepting).await;
        assert_eq!(accepted.err().map(|failure| failure.kind()), Some(io::ErrorKind::InvalidData));
    });
}

#[test]
fn handshakes_have_a_deadline() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (near, far) = pair(&net, &listener).await;
        let silent = accept(far, configs.server.clone(), BufPool::new(), within(&net, 10), |_| None).await;
        assert_eq!(silent.err().map(|failure| failure.kind()), Some(io::ErrorKind::TimedOut));
        drop(near);
        let (near, _far) = pair(&net, &listener).await;
        let name = server_name("localhost").unwrap();
        let silent = connect(near, configs.client.clone(), name, BufPool::new(), within(&net, 10)).await;
        assert_eq!(silent.err().map(|failure| failure.kind()), Some(io::ErrorKind::TimedOut));
        let (near, far) = pair(&net, &listener).await;
        drop(near);
        let gone = accept(far, configs.server.clone(), BufPool::new(), soon(&net), |_| None).await;
        assert_eq!(gone.err().map(|failure| failure.kind()), Some(io::ErrorKind::UnexpectedEof));
    });
}

#[test]
fn handshakes_dropped_at_any_moment_do_no_harm() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        for round in 0..200_u64 {
            let (near, far) = pair(&net, &listener).await;
            let moment = net.now().after(std::time::Duration::from_micros(round * 17 % 2_000));
            let shaking = configs.over(&net, "localhost", (near, far));
            drop(unless(shaking, net.sleep_until(moment)).await);
        }
        let (client, server) = configs.pair(&net, &listener).await;
        send(&net, &client, b"fine").await;
        assert_eq!(receive(&net, &server, 4).await, b"fine");
    });
}

/// A certificate that signed itself, as `openssl req -x509` makes them.
fn self_signed(names: &[&str], is_ca: IsCa) -> Certificate {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = is_ca;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let pair = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&pair).unwrap();
    Certificate { names: vec!["localhost".to_owned()], chain: vec![certificate.der().clone()], key: der_of(&pair) }
}

#[test]
fn a_servers_own_certificate_is_trusted_for_exactly_itself() {
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::NoCa, IsCa::ExplicitNoCa] {
        for names in [&["localhost"][..], &[]] {
            let (own, other) = (self_signed(names, is_ca), self_signed(names, is_ca));
            let chosen = own.chain[0].clone();
            let trusts = |root: CertificateDer<'static>, server: Certificate, name: &'static str| {
                let client = ClientMaterial { roots: Roots::Custom(vec![root]), ..client_of(&Authority::new()) };
                let configs = Configs::of(&server_of(vec![server]), &client);
                let trusted = Rc::new(std::cell::Cell::new(false));
                let said = trusted.clone();
                on_each(async |net: Uring| {
                    let ends = pair(&net, &listen(&net)).await;
                    said.set(configs.over(&net, name, ends).await.0.is_ok());
                });
                trusted.get()
            };
            let copy = |own: &Certificate| Certificate {
                names: own.names.clone(),
                chain: own.chain.clone(),
                key: own.key.clone_key(),
            };
            assert!(trusts(chosen.clone(), copy(&own), "localhost"), "{names:?} {is_ca:?}");
            assert!(!trusts(chosen.clone(), copy(&own), "elsewhere"), "{names:?} {is_ca:?}");
            assert!(!trusts(chosen, copy(&other), "localhost"), "{names:?} {is_ca:?}");
        }
    }
}

#[test]
fn a_session_ends_with_the_certificate_of_its_client() {
    let with = |peer_not_after| Session { peer_not_after, ..Session::default() };
    assert!(!with(None).has_expired(Wall(9)), "no certificate was shown");
    assert!(!with(Some(Wall(9))).has_expired(Wall(9)), "its last moment");
    assert!(with(Some(Wall(8))).has_expired(Wall(9)));
    let failure = Failure::expired(Some("a.example".into()));
    assert_eq!(
        (failure.cause(), failure.server_name.as_deref()),
        (crate::base::Cause::CertificateExpired, Some("a.example"))
    );
}
