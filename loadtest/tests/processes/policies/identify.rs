// SPDX-License-Identifier: Apache-2.0
//! Who calls: passwords, client certificates, another service's word, and several of them as alternatives.

use std::fs;
use std::thread;
use std::time::Instant;

use crate::harness::certificates::Authority;
use crate::harness::tool::run_with;
use crate::harness::{Gateway, Origin, Setup, curl, run, wait_for};

/// A hash as `openssl passwd` makes it.
fn hash(method: &str, password: &str) -> String {
    run("openssl", &["passwd", method, password]).text().trim().to_owned()
}

/// The field of a user and a password.
fn basic(user: &str, password: &str) -> String {
    let encoded = run_with("openssl", &["base64", "-A"], format!("{user}:{password}").as_bytes()).text();
    format!("Authorization: Basic {}\r\n", encoded.trim())
}

#[test]
fn passwords_of_files_and_of_the_configuration_open() {
    let origin = Origin::echo();
    // What crypt(3) makes of `password` with the cost 4.
    let bcrypt = "$2y$04$abcdefghijklmnopqrstuughE8Ev8uGFaUgY2cNEySvxngrb/Jzdm";
    let file = format!("# people\nanna:{}\nbob:{}\n", hash("-6", "geheim"), hash("-apr1", "pass:word"));
    let setup = Setup::web(format!(
        "[[consumer]]\nname = \"anna\"\nid = \"17\"\n\
         [policy.login.basic]\nfile = \"people\"\nusers = {{ carl = '{bcrypt}' }}\nuser_header = \"x-user\"\n\
         [[route]]\nto = \"{}\"\npolicies = [\"login\"]\n",
        origin.url()
    ));
    let gateway = setup.file("people", &file).start();
    let mut client = gateway.client();
    let mut ask = |field: &str| client.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nX-User: root\r\n{field}\r\n"));
    for (user, password, status) in [
        ("anna", "geheim", 200),
        ("anna", "geheim", 200),
        ("bob", "pass:word", 200),
        ("carl", "password", 200),
        ("anna", "pass:word", 401),
        ("anna", "Geheim", 401),
        ("nobody", "geheim", 401),
        ("", "geheim", 401),
    ] {
        let answer = ask(&basic(user, password));
        assert_eq!(answer.status, status, "{user}:{password}");
        if status == 200 {
            let request = origin.last();
            assert_eq!((request.field("x-user"), request.fields.has("authorization")), (user, false));
            assert_eq!(request.field("x-consumer-id"), if user == "anna" { "17" } else { "" });
        } else {
            assert_eq!(answer.field("www-authenticate"), "Basic realm=\"api\", charset=\"UTF-8\"");
            assert_eq!(answer.field("content-type"), "application/problem+json");
        }
    }
    assert_eq!(ask("").status, 401);
    let said = curl(&["-o", "/dev/null", "-w", "%{http_code}", "-u", "bob:pass:word", &gateway.url("/")]);
    assert_eq!(said.text(), "200");
    // A file that changes acts, for those who pass and for those who do not.
    fs::write(gateway.path("people"), format!("anna:{}\n", hash("-5", "other"))).expect("written");
    wait_for("the new passwords", || (ask(&basic("anna", "other")).status == 200).then_some(()));
    assert_eq!(ask(&basic("anna", "geheim")).status, 401);
    assert_eq!(ask(&basic("bob", "pass:word")).status, 401);
    assert_eq!(ask(&basic("carl", "password")).status, 200);
}

#[test]
fn many_requests_with_one_password_wait_for_one_check() {
    let origin = Origin::saying("here");
    let slow = "$6$rounds=200000$saltstringsaltst$";
    let hash = run("perl", &["-e", &format!("print crypt('password', '{slow}')")]).text();
    let gateway = Gateway::web(format!(
        "[policy.login.basic]\nusers = {{ anna = '{hash}', bob = '{hash}' }}\ntimeout = \"1m\"\n\
         [[route]]\nto = \"{}\"\npolicies = [\"login\"]\n[[route]]\npath_exact = \"/free\"\nto = \"{0}\"\n",
        origin.url()
    ));
    let request = |user| format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", basic(user, "password"));
    let begun = Instant::now();
    assert_eq!(gateway.client().ask(request("bob")).status, 200);
    let one = begun.elapsed();
    let request = request("anna");
    let begun = Instant::now();
    thread::scope(|scope| {
        let asked: Vec<_> = (0..32)
            .map(|_| {
                let (gateway, request) = (&gateway, &request);
                scope.spawn(move || gateway.client().ask(request).status)
            })
            .collect();
        // Meanwhile nobody else waits.
        for _ in 0..20 {
            assert_eq!(gateway.get("/free").status, 200);
        }
        assert!(asked.into_iter().all(|asked| asked.join().expect("a status") == 200));
    });
    let all = begun.elapsed();
    assert!(all < 16 * one, "32 checks one after another would take {:?}, these took {all:?}", 32 * one);
}

#[test]
fn one_of_several_authentications_is_enough() {
    let origin = Origin::echo();
    let gateway = Gateway::web(format!(
        "[[consumer]]\nname = \"acme\"\nkeys = [{{ key = \"acme-demo-key-0001\" }}]\n\
         [policy.key.api_key]\n[policy.login.basic]\nusers = {{ anna = '{}' }}\nuser_header = \"x-user\"\n\
         [[route]]\nto = \"{}\"\nauthenticate = {{ any = [\"key\", \"login\"] }}\n",
        hash("-5", "geheim"),
        origin.url()
    ));
    let mut client = gateway.client();
    let mut ask = |fields: &str| client.ask(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    let challenges = ["Key realm=\"api\"", "Basic realm=\"api\", charset=\"UTF-8\""];
    let (right, wrong) = (basic("anna", "geheim"), basic("anna", "x"));
    let cases = [
        ("X-API-Key: acme-demo-key-0001\r\n".to_owned(), 200, ""),
        (right.clone(), 200, ""),
        (format!("X-API-Key: wrong\r\n{right}"), 200, ""),
        (format!("X-API-Key: acme-demo-key-0001\r\n{wrong}"), 200, ""),
        (String::new(), 401, "Credentials of one of these kinds are required."),
        (wrong.clone(), 401, "The user name or the password is wrong."),
        ("X-API-Key: wrong\r\n".to_owned(), 401, "The key is not valid."),
        (format!("X-API-Key: wrong\r\n{wrong}"), 401, "The key is not valid."),
    ];
    for (fields, status, detail) in &cases {
        let answer = ask(fields);
        assert_eq!(answer.status, *status, "{fields}");
        let sent: Vec<&str> = answer.fields.all("www-authenticate").collect();
        if *status == 200 {
            assert!(sent.is_empty(), "{sent:?}");
        } else {
            assert_eq!((sent, answer.json()["detail"].as_str()), (challenges.to_vec(), Some(*detail)), "{fields}");
        }
    }
    assert_eq!(origin.count(), 4);
    assert_eq!(gateway.reason(8), "api_key_unknown");
}

#[test]
fn two_authentications_agree_on_who_calls() {
    let origin = Origin::echo();
    let gateway = Gateway::web(format!(
        "[[consumer]]\nname = \"anna\"\nkeys = [{{ key = \"anna-demo-key-0001\" }}]\n\
         [[consumer]]\nname = \"acme\"\nkeys = [{{ key = \"acme-demo-key-0001\" }}]\n[[consumer]]\nname = \"guest\"\n\
         [policy.key.api_key]\n[policy.login.basic]\nanonymous = \"guest\"\n\
         users = {{ anna = '{hash}', somebody = '{hash}' }}\n\
         [[route]]\nto = \"{}\"\npolicies = [\"key\", \"login\"]\n\
         request_headers = {{ set = {{ x-who = \"{{consumer}}\" }} }}\n\
         [[route]]\npath_prefix = \"/other-order\"\nto = \"{0}\"\npolicies = [\"login\", \"key\"]\n\
         request_headers = {{ set = {{ x-who = \"{{consumer}}\" }} }}\n",
        origin.url(),
        hash = hash("-5", "geheim"),
    ));
    let mut client = gateway.client();
    for path in ["/", "/other-order"] {
        for (key, user, consumer) in [
            ("anna", "anna", Some("anna")),
            ("acme", "somebody", Some("acme")),
            ("acme", "", Some("acme")),
            ("acme", "anna", None),
        ] {
            let login = if user.is_empty() { String::new() } else { basic(user, "geheim") };
            let fields = format!("X-API-Key: {key}-demo-key-0001\r\n{login}");
            let answer = client.ask(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
            let Some(consumer) = consumer else {
                assert_eq!(answer.status, 401, "{path} {key} {user}");
                assert_eq!(answer.json()["type"], "urn:turnpike:problem:consumer_conflict");
                assert!(answer.fields.has("www-authenticate"));
                continue;
            };
            assert_eq!(answer.status, 200, "{path} {key} {user}");
            let names: Vec<String> = origin.last().fields.all("x-consumer-name").map(str::to_owned).collect();
            assert_eq!((names, origin.last().field("x-who")), (vec![consumer.to_owned()], consumer), "{path} {user}");
        }
    }
}

#[test]
fn certificates_say_who_calls() {
    let origin = Origin::echo();
    let (authority, partners) = (Authority::new("ours"), Authority::new("partners"));
    let setup = Setup::new(format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n[listener.tls]\n\
         certificates = [{{ cert = \"server.pem\", key = \"server.key\" }}]\n\
         client_auth = {{ mode = \"optional\", ca = \"partners.pem\" }}\n\
         [[consumer]]\nname = \"acme\"\n\
         [[consumer]]\nname = \"stored\"\ncertificates = [{{ san = \"b.acme.example\" }}]\n\
         [policy.partner.client_certificate]\nrules = [{{ dns = \"a.acme.example\", consumer = \"acme\" }}]\n\
         send = [\"subject\", \"san\", \"certificate\"]\n\
         [[route]]\nto = \"{}\"\npolicies = [\"partner\"]\n",
        origin.url()
    ));
    let server = authority.sign(&["localhost"]);
    let setup = setup.file("server.pem", &server.certificate).file("server.key", &server.key);
    let gateway = setup.file("partners.pem", &partners.pem).file("ours.pem", &authority.pem).start();
    let url = format!("https://localhost:{}/", gateway.address("web").port());
    let path = |name: &str| gateway.path(name).to_str().expect("a path").to_owned();
    let ask = |name: &str| {
        let (certificate, key, ca) = (path(&format!("{name}.pem")), path(&format!("{name}.key")), path("ours.pem"));
        let mut words = vec!["-o", "/dev/null", "-w", "%{http_code}", "--cacert", &ca];
        words.extend(["-H", "X-Client-Cert-Subject: CN=root", "-H", "Client-Cert: :AA==:"]);
        if name != "nobody" {
            words.extend(["--cert", &certificate, "--key", &key]);
        }
        words.push(&url);
        curl(&words).text()
    };
    for (name, status) in [("a.acme.example", "200"), ("b.acme.example", "200"), ("c.acme.example", "403")] {
        partners.sign(&[name]).write(&gateway.path(""), name);
        assert_eq!(ask(name), status, "{name}");
        if status == "200" {
            let request = origin.last();
            let told: Vec<&str> = request.fields.all("x-client-cert-subject").collect();
            assert_eq!(told.len(), 1);
            assert!(told[0].starts_with(&format!("CN={name}")), "{told:?}");
            assert_eq!(request.field("x-client-cert-san"), format!("dns:{name}"));
            let whole: Vec<&str> = request.fields.all("client-cert").collect();
            assert!(whole.len() == 1 && whole[0].len() > 100 && whole[0].starts_with(':'), "{whole:?}");
            let consumer = if name.starts_with('a') { "acme" } else { "stored" };
            assert_eq!(request.field("x-consumer-name"), consumer);
        }
    }
    assert_eq!(ask("nobody"), "401");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_refusal_of_another_service_is_passed_on_whole() {
    let origin = Origin::echo();
    let auth = Origin::answering(|request| match request.field("x-token") {
        "good" => b"HTTP/1.1 200 OK\r\nX-Auth-User: bob\r\nX-Auth-Role: dev\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 429 X\r\nContent-Type: text/html\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\n<b>no</b>"
            .to_vec(),
    });
    let gateway = Gateway::web(format!(
        "[policy.login.external_auth]\nupstream = \"{}\"\npreset = \"ext_authz\"\npath = \"/auth\"\nbody = \"16B\"\n\
         to_upstream = [\"x-auth-*\"]\n[[route]]\nto = \"{}\"\npolicies = [\"login\"]\n",
        auth.url(),
        origin.url()
    ));
    let mut client = gateway.client();
    let mut ask = |token: &str, body: &str| {
        client.ask(format!(
            "PUT /x?y=z HTTP/1.1\r\nHost: test\r\nX-Token: {token}\r\nX-Auth-Admin: 1\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let passed = ask("good", "sixteen bytes ok");
    assert_eq!((passed.status, passed.text()), (200, "sixteen bytes ok".to_owned()));
    let (asked, request) = (auth.last(), origin.last());
    assert_eq!((&*asked.method, &*asked.target), ("PUT", "/auth/x?y=z"));
    assert_eq!(asked.field("host"), "test", "as Envoy tells it");
    assert_eq!(asked.body, b"sixteen bytes ok");
    assert_eq!((request.field("x-auth-user"), request.field("x-auth-role")), ("bob", "dev"));
    assert!(!request.fields.has("x-auth-admin"), "a client's own is removed");
    let refused = ask("bad", "");
    assert_eq!((refused.status, refused.text()), (429, "<b>no</b>".to_owned()));
    assert_eq!((refused.field("content-type"), refused.field("retry-after")), ("text/html", "7"));
    assert_eq!(ask("good", "seventeen bytes !").status, 413);
    assert_eq!((auth.count(), origin.count()), (2, 1));
}

#[test]
fn verdicts_of_another_service_are_remembered_where_it_says_so() {
    let origin = Origin::echo();
    let auth = Origin::answering(|request| {
        let keep = if request.field("authorization") == "a" { "max-age=60" } else { "no-store" };
        format!("HTTP/1.1 200 OK\r\nX-User: bob\r\nCache-Control: {keep}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    let setup = Setup::web(format!(
        "[policy.login.external_auth]\nupstream = \"{}\"\nto_upstream = [\"x-user\"]\n\
         cache = {{ by = [\"{{header.Authorization}}\"] }}\n[[route]]\nto = \"{}\"\npolicies = [\"login\"]\n",
        auth.url(),
        origin.url()
    ));
    let gateway = setup.shards(1).start();
    let mut client = gateway.client();
    for (token, asked) in [("a", 1), ("a", 1), ("b", 2), ("b", 3), ("a", 3)] {
        let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nAuthorization: {token}\r\n\r\n"));
        assert_eq!((answer.status, auth.count()), (200, asked), "{token}");
        assert_eq!(origin.last().field("x-user"), "bob");
    }
}
#[test]
fn signed_requests_pass_once() {
    let origin = Origin::echo();
    let gateway = Gateway::web(format!(
        "[[consumer]]\nname = \"acme\"\n\
         hmac = [{{ id = \"stored\", secret = \"a-secret-of-at-least-32-bytes-0002\" }}]\n\
         [policy.signed.http_signature]\n\
         keys = {{ id = \"k\", secret = \"a-secret-of-at-least-32-bytes-0001\", consumer = \"acme\" }}\n\
         credentials = true\nnonce = \"required\"\nrequired = [\"@method\", \"@path\"]\n\
         [[route]]\nto = \"{}\"\npolicies = [\"signed\"]\n",
        origin.url()
    ));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let mut client = gateway.client();
    let mut ask = |key: &str, secret: &str, nonce: &str, method: &str, signed: &str| {
        let input = format!("(\"@method\" \"@path\");created={now};keyid=\"{key}\";nonce=\"{nonce}\"");
        let base = format!("\"@method\": {signed}\n\"@path\": /a\n\"@signature-params\": {input}");
        let options = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", &format!("key:{secret}"), "-binary"];
        let tag = run_with("openssl", &options, base.as_bytes()).stdout;
        let tag = run_with("openssl", &["base64", "-A"], &tag).text();
        client.ask(format!(
            "{method} /a HTTP/1.1\r\nHost: test\r\nSignature-Input: s={input}\r\nSignature: s=:{}:\r\n\r\n",
            tag.trim()
        ))
    };
    let (own, stored) = ("a-secret-of-at-least-32-bytes-0001", "a-secret-of-at-least-32-bytes-0002");
    assert_eq!(ask("k", own, "n-1", "GET", "GET").status, 200);
    assert_eq!(origin.last().field("x-consumer-name"), "acme");
    let again = ask("k", own, "n-1", "GET", "GET");
    assert_eq!((again.status, again.field("www-authenticate")), (401, "Signature realm=\"api\""));
    assert_eq!(ask("k", own, "n-2", "GET", "GET").status, 200);
    assert_eq!(ask("stored", stored, "n-1", "GET", "GET").status, 200, "another key's nonce");
    assert_eq!(ask("stored", own, "n-3", "GET", "GET").status, 401);
    assert_eq!(ask("k", own, "n-4", "DELETE", "GET").status, 401);
    assert_eq!(origin.count(), 3);
}

#[test]
fn webhooks_are_verified_and_passed_on_whole() {
    let origin = Origin::echo();
    let gateway = Gateway::web(format!(
        "[policy.hooks.webhook]\nform = \"github\"\nsecrets = \"It's a Secret to Everybody\"\nbody = \"32B\"\n\
         [[route]]\nto = \"{}\"\npolicies = [\"hooks\"]\n",
        origin.url()
    ));
    let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let mut client = gateway.client();
    let mut ask = |field: &str, body: &str| {
        let length = body.len();
        client.ask(format!("POST /h HTTP/1.1\r\nHost: test\r\n{field}Content-Length: {length}\r\n\r\n{body}"))
    };
    let field = format!("X-Hub-Signature-256: {good}\r\n");
    let passed = ask(&field, "Hello, World!");
    assert_eq!((passed.status, passed.text()), (200, "Hello, World!".to_owned()));
    assert_eq!(ask(&field, "Hello, World?").status, 403);
    let passed = ask(&field, "Hello, World!");
    assert_eq!((passed.status, passed.text()), (200, "Hello, World!".to_owned()));
    let mut chunked = gateway.client();
    let answer = chunked.ask(format!(
        "POST /h HTTP/1.1\r\nHost: test\r\n{field}Transfer-Encoding: chunked\r\n\r\n\
         5\r\nHello\r\n8\r\n, World!\r\n0\r\n\r\n"
    ));
    assert_eq!((answer.status, answer.text()), (200, "Hello, World!".to_owned()));
    assert_eq!(gateway.client().ask("POST /h HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n").status, 403);
    let long = "x".repeat(33);
    assert_eq!(ask(&field, &long).status, 413);
    assert_eq!(origin.count(), 3);
}
