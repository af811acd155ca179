// SPDX-License-Identifier: Apache-2.0
//! TLS on both sides: versions, names, client certificates, resumption, files that change.

use std::fs;
use std::time::Duration;

use crate::harness::certificates::Authority;
use crate::harness::tool::{Nginx, Output, run_with};
use crate::harness::{Client, Gateway, Origin, Setup, curl, wait_for};

/// A gateway with three certificates; its folder holds the authority as `ca.pem`.
fn with_names(listener: &str) -> (Gateway, Authority) {
    let authority = Authority::new("test authority");
    let mut setup = Setup::new(format!(
        "[[listener]]\nname = \"tls\"\nbind = \"127.0.0.1:0\"\n[listener.tls]\n{listener}\n\
         certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}, {{ cert = \"b.pem\", key = \"b.key\" }}, \
         {{ cert = \"w.pem\", key = \"w.key\", names = [\"*.wild.example\"] }}]\n\
         [[route]]\nanswer = {{ body = \"{{tls.version}} {{tls.sni}} {{scheme}} {{tls.client.subject}}\" }}\n"
    ))
    .file("ca.pem", &authority.pem);
    for (name, names) in
        [("a", ["a.example", "localhost"]), ("b", ["b.example", "c.example"]), ("w", ["*.wild.example"; 2])]
    {
        let pair = authority.sign(&names);
        setup = setup.file(&format!("{name}.pem"), &pair.certificate).file(&format!("{name}.key"), &pair.key);
    }
    (setup.start(), authority)
}

fn path(gateway: &Gateway, name: &str) -> String {
    gateway.path(name).to_str().expect("a path").to_owned()
}

/// curl with our authority, to the listener by whatever name.
fn get(gateway: &Gateway, host: &str, more: &[&str]) -> Output {
    let address = gateway.address("tls");
    let resolve = format!("{host}:{}:127.0.0.1", address.port());
    let (ca, url) = (path(gateway, "ca.pem"), format!("https://{host}:{}/", address.port()));
    curl(&[&["--cacert", &ca, "--resolve", &resolve, &url], more].concat())
}

/// openssl's client, which sends one request and shows everything.
fn s_client(gateway: &Gateway, more: &[&str]) -> Output {
    let address = gateway.address("tls").to_string();
    let (ca, fixed) = (path(gateway, "ca.pem"), ["s_client", "-connect", &address, "-CAfile"]);
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    run_with("openssl", &[&fixed[..], &[&ca, "-ign_eof"], more].concat(), request)
}

#[test]
fn both_versions_are_spoken_and_no_older() {
    let (gateway, _) = with_names("");
    for (flag, version) in [("--tlsv1.2", "TLSv1.2"), ("--tlsv1.3", "TLSv1.3")] {
        let max = format!("--tls-max={}", &flag[6..]);
        let max = max.split('=').collect::<Vec<_>>();
        let out = get(&gateway, "a.example", &[flag, max[0], max[1]]);
        assert_eq!(out.text(), format!("{version} a.example https "), "{}", out.stderr);
    }
    let old = s_client(&gateway, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(!old.text().contains("HTTP/1.1 200"), "{}", old.all());
    let (strict, _) = with_names("min_version = \"1.3\"");
    assert_ne!(get(&strict, "a.example", &["--tls-max", "1.2"]).code, 0);
    assert!(get(&strict, "a.example", &[]).text().starts_with("TLSv1.3"));
}

#[test]
fn the_name_picks_the_certificate() {
    let (gateway, _) = with_names("");
    for host in ["a.example", "b.example", "c.example", "x.wild.example", "y.wild.example"] {
        let out = get(&gateway, host, &[]);
        assert!(out.text().contains(host), "{host}: {}", out.stderr);
    }
    assert_eq!(get(&gateway, "other.example", &[]).code, 60, "the first certificate is not for that name");
    let without_name = s_client(&gateway, &["-noservername"]);
    assert!(without_name.text().contains("CN = a.example"), "{}", without_name.text());
    assert_eq!(get(&gateway, "a.b.wild.example", &[]).code, 60, "a star stands for one label");
}

#[test]
fn a_request_for_a_host_with_another_certificate_is_misdirected() {
    let (gateway, _) = with_names("");
    let named = |server_name: &str, host: &str, version: &str| {
        let host = format!("Host: {host}");
        let more = ["-k", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "-H", &host, version];
        get(&gateway, server_name, &more).text()
    };
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for (server_name, host, status) in [
            ("a.example", "a.example", 200),
            ("a.example", "A.EXAMPLE", 200),
            ("a.example", "localhost:1234", 200),
            ("a.example", "b.example", 421),
            ("b.example", "c.example", 200),
            ("b.example", "a.example", 421),
            ("x.wild.example", "y.wild.example", 200),
            ("x.wild.example", "b.example", 421),
            // Who has no certificate of its own is served with the first one.
            ("a.example", "other.example", 200),
            ("b.example", "other.example", 421),
        ] {
            assert_eq!(named(server_name, host, flag), format!("{status} {version}"), "{server_name} {host}");
        }
        // An address is no server name, so curl sends none.
        let url = format!("https://{}/", gateway.address("tls"));
        for (host, status) in [("a.example", 200), ("b.example", 421)] {
            let host = format!("Host: {host}");
            let out = curl(&["-k", "-o", "/dev/null", "-w", "%{http_code}", "-H", &host, flag, &url]);
            assert_eq!(out.text(), status.to_string(), "{host}: {}", out.stderr);
        }
    }
}

#[test]
fn protocols_are_agreed_upon() {
    let (gateway, _) = with_names("");
    let agreed = s_client(&gateway, &["-alpn", "h3,http/1.1"]).text();
    assert!(agreed.contains("ALPN protocol: http/1.1"), "{agreed}");
    let none = s_client(&gateway, &[]).text();
    assert!(none.contains("No ALPN negotiated") && none.contains("HTTP/1.1 200"), "{none}");
}

#[test]
fn sessions_are_resumed() {
    let (gateway, _) = with_names("");
    let file = path(&gateway, "session");
    for version in ["-tls1_2", "-tls1_3"] {
        let first = s_client(&gateway, &[version, "-sess_out", &file]);
        assert!(first.text().contains("New, TLSv1"), "{}", first.text());
        let second = s_client(&gateway, &[version, "-sess_in", &file]);
        assert!(second.text().contains("Reused, TLSv1"), "{version}: {}", second.text());
    }
    wait_for("the count", || {
        let metrics = gateway.metrics();
        metrics.contains("turnpike_tls_handshakes_resumed_total 2").then_some(())
    });
}

#[test]
fn clients_show_certificates() {
    let partners = Authority::new("partners");
    let (mine, theirs) = (partners.sign(&["client.example"]), Authority::new("strangers").sign(&["client.example"]));
    for mode in ["required", "optional"] {
        let authority = Authority::new("test authority");
        let own = authority.sign(&["a.example"]);
        let gateway = Setup::new(format!(
            "[[listener]]\nname = \"tls\"\nbind = \"127.0.0.1:0\"\n[listener.tls]\n\
             certificates = {{ cert = \"a.pem\", key = \"a.key\" }}\n\
             client_auth = {{ mode = \"{mode}\", ca = \"partners.pem\" }}\n\
             [[route]]\nanswer = {{ body = \"[{{tls.client.subject}}]\" }}\n"
        ))
        .file("ca.pem", &authority.pem)
        .file("partners.pem", &partners.pem)
        .file("a.pem", &own.certificate)
        .file("a.key", &own.key)
        .start();
        mine.write(&gateway.path(""), "mine");
        theirs.write(&gateway.path(""), "theirs");
        let with = |name: &str| {
            let (certificate, key) = (path(&gateway, &format!("{name}.pem")), path(&gateway, &format!("{name}.key")));
            get(&gateway, "a.example", &["--cert", &certificate, "--key", &key])
        };
        let good = with("mine");
        assert!(good.text().contains("client.example"), "{mode}: {}", good.all());
        let logged = gateway.log(1)[0]["client_certificate"].take();
        assert_eq!(logged, good.text().trim_matches(['[', ']']), "{mode}");
        assert_ne!(with("theirs").code, 0, "{mode}: a certificate of strangers");
        let without = get(&gateway, "a.example", &[]);
        assert_eq!((without.code == 0, without.text() == "[]"), (mode == "optional", mode == "optional"), "{mode}");
    }
}

#[test]
fn new_certificates_are_taken_up_and_nobody_is_cut_off() {
    let (gateway, authority) = with_names("");
    let serial = || {
        let shown = s_client(&gateway, &["-servername", "a.example"]).text();
        let begin = shown.find("-----BEGIN CERTIFICATE").expect("a certificate");
        shown[begin..].split("-----END").next().expect("a certificate").to_owned()
    };
    let before = serial();
    // One connection that stays open over the change: curl waits for a slow upload's end.
    let address = gateway.address("tls");
    let ca = path(&gateway, "ca.pem");
    let open = std::thread::spawn(move || {
        let slow = format!("https://a.example:{}/", address.port());
        let resolve = format!("a.example:{}:127.0.0.1", address.port());
        let limit = ["--limit-rate", "20k", "--data-binary"];
        let data = "x".repeat(60_000);
        curl(&[&["--cacert", &ca, "--resolve", &resolve], &limit[..], &[&data, &slow]].concat())
    });
    std::thread::sleep(Duration::from_millis(300));
    authority.sign(&["a.example", "localhost"]).write(&gateway.path(""), "a");
    wait_for("the new certificate", || (serial() != before).then_some(()));
    let out = open.join().expect("no panic");
    assert!(out.code == 0 && out.text().contains("a.example"), "{}", out.all());
    // A pair that does not fit changes nothing.
    let now = serial();
    fs::write(gateway.path("a.pem"), authority.sign(&["a.example"]).certificate).expect("written");
    wait_for("the report", || gateway.said().contains("does not match").then_some(()));
    assert_eq!(serial(), now);
}

#[test]
fn plain_http_to_tls_and_tls_to_plain() {
    let (gateway, _) = with_names("");
    let address = gateway.address("tls");
    let mut client = crate::harness::Client::to(address);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(!matches!(client.read("GET"), Ok(answer) if answer.status == 200));
    let plain = Gateway::web("[[route]]\nanswer = { body = \"x\" }\n");
    let out = curl(&["-k", &format!("https://{}/", plain.here())]);
    assert_eq!(out.code, 35, "{}", out.stderr);
    assert!(get(&gateway, "a.example", &[]).code == 0, "it goes on");
}

/// nginx with TLS, which asks for a certificate of this authority.
fn tls_origin(authority: &Authority, folder: &std::path::Path) -> Nginx {
    authority.sign(&["origin.internal"]).write(folder, "origin");
    fs::write(folder.join("own-ca.pem"), &authority.pem).expect("written");
    let at = folder.display();
    Nginx::start_tls(&format!(
        "ssl_certificate {at}/origin.pem; ssl_certificate_key {at}/origin.key;\n\
         ssl_client_certificate {at}/own-ca.pem; ssl_verify_client optional;\n\
         location / {{ return 200 \"$ssl_server_name $ssl_client_verify $ssl_client_s_dn $ssl_session_reused\"; }}"
    ))
}

#[test]
fn origins_are_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, stranger) = (Authority::new("own"), Authority::new("stranger"));
    let origin = tls_origin(&authority, folder.path());
    authority.sign(&["gateway.internal"]).write(folder.path(), "client");
    fs::write(folder.path().join("stranger.pem"), &stranger.pem).expect("written");
    let at = folder.path().display();
    let with = |tls: &str| {
        Gateway::web(format!("[upstream.o]\nendpoints = \"{}\"\ntls = {tls}\n[[route]]\nto = \"o\"\n", origin.address))
    };
    let good = with(&format!("{{ ca = \"{at}/own-ca.pem\", server_name = \"origin.internal\" }}"));
    let answer = good.get("/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().starts_with("origin.internal NONE"), "{}", answer.text());
    let shown = with(&format!(
        "{{ ca = \"{at}/own-ca.pem\", server_name = \"origin.internal\", client_cert = \"{at}/client.pem\", \
         client_key = \"{at}/client.key\" }}"
    ));
    assert!(shown.get("/").text().contains("SUCCESS"), "{}", shown.get("/").text());
    for tls in [
        format!("{{ ca = \"{at}/stranger.pem\", server_name = \"origin.internal\" }}"),
        format!("{{ ca = \"{at}/own-ca.pem\", server_name = \"other.internal\" }}"),
        format!("{{ ca = \"{at}/own-ca.pem\" }}"),
        "true".to_owned(),
    ] {
        let gateway = with(&tls);
        assert_eq!((gateway.get("/").status, &*gateway.reason(1)), (502, "tls_certificate"), "{tls}");
    }
    assert_eq!(with("{ verify = false }").get("/").status, 200);
    let plain = Origin::with(|peer| {
        peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        Ok(())
    });
    let wrong = Gateway::web(format!(
        "[upstream.o]\nendpoints = \"{}\"\ntls = {{ verify = false }}\nretry_budget = {{ per_second_min = 0 }}\n\
         [[route]]\nto = \"o\"\n",
        plain.address
    ));
    assert_eq!((wrong.get("/").status, &*wrong.reason(1)), (502, "not_tls"));
    let said =
        wait_for("a warning", || Some(wrong.said()).filter(|said| said.contains("requests to an endpoint fail")));
    assert!(said.contains("`tls` is set but its port speaks HTTP; remove `tls`"), "{said}");
}

#[test]
fn a_name_with_the_dot_of_the_root_finds_its_certificate() {
    let (gateway, _) = with_names("");
    for (name, subject) in [("b.example.", "CN = b.example"), ("x.wild.example.", "CN = *.wild.example")] {
        // This client sends the dot; rustls and curl remove it.
        let shown = s_client(&gateway, &["-servername", name]).all();
        assert!(shown.contains(subject) || shown.contains(&subject.replace(" = ", "=")), "{name}: {shown}");
    }
}

#[test]
fn the_operator_learns_why_handshakes_fail() {
    let (gateway, _) = with_names("");
    let address = gateway.address("tls");
    let mut plain = Client::to(address);
    plain.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let told = |what: &str| wait_for(what, || Some(gateway.said()).filter(|said| said.contains(what)));
    told("TLS handshake failed: the client sent plain HTTP to a TLS port");
    let resolve = format!("b.example:{}:127.0.0.1", address.port());
    let distrusting = curl(&["--resolve", &resolve, &format!("https://b.example:{}/", address.port())]);
    assert!(!distrusting.stderr.is_empty());
    let said = told("TLS handshake failed: the client refused with the alert UnknownCA");
    let line = said.lines().find(|line| line.contains("UnknownCA")).expect("told");
    assert!(line.contains("INFO") && line.contains("127.0.0.1") && line.contains("b.example"), "{line}");
    for _ in 0..300 {
        let mut plain = Client::to(address);
        plain.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        plain.finish();
    }
    let failed = "turnpike_tls_handshakes_failed_total 302";
    wait_for("the count", || Some(()).filter(|()| gateway.metrics().contains(failed)));
    let lines = gateway.said().matches("plain HTTP to a TLS port").count();
    assert!(lines < 100, "{lines} lines for a flood");
}

#[test]
fn plain_http_on_a_port_with_tls_is_told_so() {
    let (gateway, _) = with_names("");
    for body in [0, 20_000] {
        let mut client = Client::to(gateway.address("tls"));
        let head = format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {body}\r\n\r\n");
        client.send(head + &"x".repeat(body));
        let answer = client.answer();
        assert_eq!(answer.status, 400);
        assert_eq!(answer.text(), "The plain HTTP request was sent to an HTTPS port.\n");
    }
    let mut client = Client::to(gateway.address("tls"));
    client.send(b"\x16\x03\x01\x00\x05hello");
    let (alert, end) = client.rest();
    assert_eq!((&alert[..6], end.is_ok()), (&b"\x15\x03\x03\x00\x02\x02"[..], true));
}
