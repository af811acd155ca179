// SPDX-License-Identifier: Apache-2.0
//! Tokens that others made (PyJWT), and issuers that exchange keys, hang, break off and talk nonsense.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::gateway::signal;
use crate::harness::tool::{node, python, script};
use crate::harness::{Gateway, Origin, Response, Setup, wait_for};

/// An issuer of its own, in Python.
struct Issuer {
    child: Child,
    port: u16,
}

impl Issuer {
    fn start() -> Issuer {
        let mut command = Command::new(python());
        let mut child = command.arg(script("issuer.py")).stdout(Stdio::piped()).spawn().expect("python runs");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a port");
        Issuer { child, port: line.trim().parse().expect("a port") }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn ask(&self, target: &str) -> String {
        Client::to(([127, 0, 0, 1], self.port).into()).get(target).text()
    }

    fn count(&self, what: &str) -> u64 {
        serde_json::from_str::<Value>(&self.ask("/count")).expect("JSON")[what].as_u64().expect("a number")
    }

    fn token(&self, algorithm: &str, claims: &Value) -> String {
        let encoded: String = claims.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.ask(&format!("/token?alg={algorithm}&claims={encoded}"))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}

fn ask(gateway: &Gateway, target: &str, token: &str) -> Response {
    gateway.client().ask(format!("GET {target} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\r\n"))
}

fn gateway(issuer: &Issuer, origin: &Origin, more: &str) -> Gateway {
    let own = issuer.url();
    Setup::web(format!(
        "[policy.login.jwt]\naudience = \"shop\"\ncool_down = \"500ms\"\nwait = \"3s\"\n\
         claim_headers = {{ X-User = \"sub\" }}\n\
         [[policy.login.jwt.issuer]]\nname = \"{own}\"\nrefresh = \"1s\"\ntimeout = \"2s\"\n{more}\n\
         [[policy.login.jwt.issuer]]\nname = \"https://secret.test\"\n\
         secret = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\n\
         [[route]]\nto = \"{}\"\npolicies = \"login\"\n\
         request_headers = {{ set = {{ x-scope = \"{{claim.scope}}\" }} }}\n",
        origin.url()
    ))
    .shards(2)
    .start()
}

#[test]
fn tokens_of_others_pass_and_those_of_nobody_do_not() {
    let (issuer, origin) = (Issuer::start(), Origin::echo());
    let gateway = gateway(&issuer, &origin, "");
    let claims = json!({"iss": issuer.url(), "aud": "shop", "sub": "anna", "scope": "read"});
    for algorithm in ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"] {
        let token = issuer.token(algorithm, &claims);
        assert_eq!(ask(&gateway, "/", &token).status, 200, "{algorithm}");
        let request = origin.last();
        assert_eq!((request.field("x-user"), request.field("x-scope")), ("anna", "read"), "{algorithm}");
        let mut forged = token.into_bytes();
        let last = forged.len() - 10;
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        let refused = ask(&gateway, "/", &String::from_utf8(forged).expect("ASCII"));
        assert_eq!(refused.status, 401, "{algorithm}");
        assert!(refused.field("www-authenticate").contains("error=\"invalid_token\""));
    }
    let secret = json!({"iss": "https://secret.test", "aud": ["shop"], "sub": "tool"});
    assert_eq!(ask(&gateway, "/", &issuer.token("HS256", &secret)).status, 200);
    assert_eq!(ask(&gateway, "/", &issuer.token("HS512", &secret)).status, 200);
    for (algorithm, claims) in [
        ("HS256", &claims),
        ("RS256", &secret),
        ("RS256", &json!({"iss": issuer.url(), "aud": "other"})),
        ("RS256", &json!({"iss": issuer.url(), "aud": "shop", "exp": 1_500_000_000})),
        ("RS256", &json!({"iss": issuer.url(), "aud": "shop", "nbf": 4_000_000_000_u64})),
        ("RS256", &json!({"aud": "shop"})),
    ] {
        assert_eq!(ask(&gateway, "/", &issuer.token(algorithm, claims)).status, 401, "{algorithm} {claims}");
    }
    let nobody = gateway.get("/");
    assert_eq!((nobody.status, nobody.field("www-authenticate")), (401, "Bearer realm=\"api\""));
    assert_eq!(nobody.field("content-type"), "application/problem+json");
    // One request for keys at start for both threads; all the rest came from what they had.
    assert!(issuer.count("jwks") <= 5, "{}", issuer.count("jwks"));
}

#[test]
fn keys_of_a_file_verify_tokens_of_jose_and_are_read_again() {
    let made = || {
        let said = node("jose_tokens.js", &[]);
        serde_json::from_str::<Value>(&said.text()).unwrap_or_else(|_| panic!("{}", said.all()))
    };
    let (first, second) = (made(), made());
    let origin = Origin::echo();
    let config = format!(
        "[policy.login.jwt]\naudience = \"shop\"\ntype_is = \"at+jwt\"\nscopes = [\"read\", \"write\"]\n\
         issuer = {{ name = \"https://jose.test\", jwks_file = \"keys.json\" }}\n\
         [[route]]\nto = \"{}\"\npolicies = \"login\"\n",
        origin.url()
    );
    let gateway = Setup::web(config).file("keys.json", first["jwks"].to_string()).start();
    let tokens = |made: &Value| {
        let all = made["tokens"].as_object().expect("tokens").iter();
        all.map(|(name, token)| (name.clone(), token.as_str().expect("a text").to_owned())).collect::<Vec<_>>()
    };
    for (algorithm, token) in tokens(&first) {
        assert_eq!(ask(&gateway, "/", &token).status, 200, "{algorithm}");
    }
    for (algorithm, token) in tokens(&second) {
        assert_eq!(ask(&gateway, "/", &token).status, 401, "{algorithm}");
    }
    std::fs::write(gateway.path("keys.json"), second["jwks"].to_string()).expect("written");
    let (_, token) = tokens(&second).remove(0);
    wait_for("the new file", || (ask(&gateway, "/", &token).status == 200).then_some(()));
    let (_, old) = tokens(&first).remove(0);
    assert_eq!(ask(&gateway, "/", &old).status, 401, "remembered tokens of old keys are forgotten");
}

#[test]
fn a_new_key_is_asked_for_once_and_the_old_one_ends() {
    let (issuer, origin) = (Issuer::start(), Origin::echo());
    let gateway = gateway(&issuer, &origin, "");
    let claims = json!({"iss": issuer.url(), "aud": "shop", "sub": "anna"});
    let old = issuer.token("ES256", &claims);
    assert_eq!(ask(&gateway, "/", &old).status, 200);
    issuer.ask("/rotate");
    let new = issuer.token("ES256", &claims);
    wait_for("the new key", || (ask(&gateway, "/", &new).status == 200).then_some(()));
    wait_for("the end of the old key", || (ask(&gateway, "/", &old).status == 401).then_some(()));
    // Tokens with keys that nobody knows cost the issuer one request in half a second.
    let before = issuer.count("jwks");
    let begun = Instant::now();
    for number in 0..300 {
        let headers: String = format!("{{\"kid\":\"{number}\"}}").bytes().map(|byte| format!("%{byte:02X}")).collect();
        let encoded: String = claims.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let token = issuer.ask(&format!("/token?alg=ES256&claims={encoded}&headers={headers}"));
        assert_eq!(ask(&gateway, "/", &token).status, 401);
    }
    let most = begun.elapsed().as_millis() as u64 / 500 + begun.elapsed().as_secs() + 4;
    assert!(issuer.count("jwks") - before <= most, "{} of {most}", issuer.count("jwks") - before);
}

#[test]
fn keys_outlast_an_issuer_that_fails_for_as_long_as_they_may() {
    let (issuer, origin) = (Issuer::start(), Origin::echo());
    let gateway = gateway(&issuer, &origin, "stale = \"6s\"");
    let claims = json!({"iss": issuer.url(), "aud": "shop", "sub": "anna"});
    let known = issuer.token("RS256", &claims);
    assert_eq!(ask(&gateway, "/", &known).status, 200);
    let begun = Instant::now();
    for manner in ["down", "garbage", "many", "empty", "slow"] {
        issuer.ask(&format!("/be/{manner}"));
        std::thread::sleep(Duration::from_millis(700));
        if begun.elapsed() < Duration::from_secs(5) {
            assert_eq!(ask(&gateway, "/", &known).status, 200, "{manner}");
        }
    }
    issuer.ask("/be/down");
    wait_for("the end of the keys", || {
        let refused = ask(&gateway, "/", &known);
        (refused.status == 503).then(|| assert!(refused.fields.has("retry-after")))
    });
    assert_eq!(gateway.get("/").status, 401, "without a token nothing has to be known");
    issuer.ask("/be/good");
    wait_for("keys again", || (ask(&gateway, "/", &known).status == 200).then_some(()));
}

#[test]
fn a_server_is_asked_about_opaque_tokens() {
    let (issuer, origin) = (Issuer::start(), Origin::echo());
    let gateway = Setup::web(format!(
        "[policy.login.introspection]\nurl = \"{}/introspect\"\nclient_id = \"gateway\"\n\
         client_secret = \"hush-hush\"\n\
         cache = \"2s\"\nstale = \"3s\"\ntimeout = \"2s\"\nscopes = \"read\"\nclaim_headers = {{ X-User = \"sub\" }}\n\
         hide = true\n[[route]]\nto = \"{}\"\npolicies = \"login\"\n",
        issuer.url(),
        origin.url()
    ))
    .start();
    assert_eq!(ask(&gateway, "/", "good-1").status, 200);
    assert_eq!(origin.last().field("x-user"), "good-1");
    assert!(!origin.last().fields.has("authorization"));
    for _ in 0..20 {
        assert_eq!(ask(&gateway, "/", "good-1").status, 200);
        assert_eq!(ask(&gateway, "/", "bad-1").status, 401);
    }
    assert!(issuer.count("introspect") <= 4, "{}", issuer.count("introspect"));
    issuer.ask("/be/down");
    assert_eq!(ask(&gateway, "/", "good-2").status, 503);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert_eq!(ask(&gateway, "/", "good-1").status, 200, "what was known holds for a while");
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_for("its end", || (ask(&gateway, "/", "good-1").status == 503).then_some(()));
    issuer.ask("/be/good");
    wait_for("the server", || (ask(&gateway, "/", "good-1").status == 200).then_some(()));
}
