// SPDX-License-Identifier: Apache-2.0
//! The gateway as an issuer of tokens: clients of others (requests, PyJWT, jose, curl), a `jwt` policy that finds its
//! keys, clients that come and go at run time, exchanged keys, limits, and hostile requests.

use std::time::{Duration, Instant};

use loadtest::socket::Reserved;
use serde_json::{Value, json};

use crate::harness::tool::{node, python, reserved, script};
use crate::harness::{Client, Gateway, Origin, Response, Setup, curl, run, wait_for};

const ADMIN: &str = "admin-0123456789";
const ED25519: &[&str] = &["-algorithm", "ed25519"];
const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

/// A private key in PEM, made by openssl.
fn pem(kind: &[&str]) -> String {
    let made = run("openssl", &[&["genpkey"], kind].concat());
    assert_eq!(made.code, 0, "{}", made.all());
    made.text()
}

/// An issuer at a port of its own, and an API that takes its tokens.
struct Issuer {
    gateway: Gateway,
    reserved: Reserved,
}

/// Keys are files, of which the first signs.
fn config(issuer: &str, origin: &Origin, keys: &str, more: &str) -> String {
    let bind = issuer.trim_start_matches("http://");
    format!(
        "[[admin.tokens]]\nname = \"ada\"\nrole = \"admin\"\ntoken = \"{ADMIN}\"\n\
         [store]\npath = \"{{dir}}/turnpike.db\"\n\
         [[listener]]\nname = \"web\"\nbind = \"{bind}\"\n\
         [policy.issuer.token_issuer]\nissuer = \"{issuer}\"\nkeys = [{keys}]\n\
         audience = [\"orders\", \"stock\"]\nscopes = [\"read\"]\ndefault_scopes = \"read\"\n\
         group_scopes = {{ writers = \"write\" }}\n\
         [policy.token.jwt]\naudience = \"orders\"\ntype_is = \"at+jwt\"\nwait = \"3s\"\ncool_down = \"200ms\"\n\
         consumer = {{ claim = \"consumer\", by = \"name\" }}\nclaim_headers = {{ X-Scope = \"scope\" }}\n\
         issuer = {{ name = \"{issuer}\" }}\n\
         [[consumer]]\nname = \"billing\"\ngroups = \"writers\"\nkeys = {{ key = \"billing-key-0123456789\" }}\n\
         [[consumer]]\nname = \"stock\"\n\
         basic = {{ user = \"tool\", hash = \"{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\" }}\n\
         {more}\n\
         [[route]]\nname = \"orders\"\npath_prefix = \"/orders\"\nto = \"{}\"\npolicies = \"token\"\n",
        origin.url()
    )
}

const OAUTH: &str =
    "[[route]]\nname = \"oauth\"\npath_prefix = \"/\"\npolicies = \"issuer\"\nanswer = { status = 404 }\n";

impl Issuer {
    fn start(origin: &Origin, files: &[(&str, String)], more: &str) -> Issuer {
        let reserved = reserved();
        let keys: Vec<String> = files.iter().map(|(name, _)| format!("\"${{file:{name}}}\"")).collect();
        let text = config(&format!("http://{}", reserved.address()), origin, &keys.join(", "), more);
        let setup = Setup::new(text).shards(2).server("watch = false");
        let setup = files.iter().fold(setup, |setup, (name, pem)| setup.file(name, pem));
        Issuer { gateway: setup.start(), reserved }
    }

    fn url(&self) -> String {
        format!("http://{}", self.reserved.address())
    }

    /// What the client of others gets.
    fn ask(&self, client: (&str, &str), form: &[&str]) -> Value {
        let program = script("token_client.py").display().to_string();
        let said = run(python(), &[&[&*program, &self.url(), client.0, client.1], form].concat());
        serde_json::from_str(&said.text()).unwrap_or_else(|_| panic!("{}", said.all()))
    }

    fn connect(&self) -> Client {
        Client::to(self.reserved.address())
    }

    /// The response to a form.
    fn post(&self, form: &str, fields: &str) -> Response {
        self.connect().ask(post(form, fields))
    }

    fn token(&self, form: &str) -> Response {
        self.post(&format!("grant_type=client_credentials&{form}"), "")
    }

    fn orders(&self, token: &str) -> Response {
        let request = format!("GET /orders HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.connect().ask(request)
    }

    /// No request that is sent later than a second from now gets a token.
    fn ends_within_a_second(&self, client: &str) {
        let since = Instant::now();
        wait_for("the client to end", || {
            let sent = since.elapsed();
            let status = self.token(client).status;
            assert!(status == 401 || sent < Duration::from_secs(1), "{status} after {sent:?}");
            (status == 401).then_some(())
        });
    }

    fn admin(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let address = self.gateway.status()["admin"].as_str().expect("an address").to_owned();
        let (url, bearer) = (format!("http://{address}/api/v1{path}"), format!("Authorization: Bearer {ADMIN}"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let said = curl(&[
            "-X",
            method,
            "-H",
            &bearer,
            "-H",
            "Content-Type: application/json",
            "-d",
            &body,
            "-w",
            "\n%{http_code}",
            &url,
        ]);
        let text = said.text();
        let (document, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a number"), serde_json::from_str(document).unwrap_or_default())
    }
}

fn post(form: &str, fields: &str) -> String {
    format!(
        "POST /oauth/token HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n{fields}\r\n{form}",
        form.len()
    )
}

fn access_token(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["access_token"].as_str().expect("a token").to_owned()
}

const BILLING: &str = "client_id=billing&client_secret=billing-key-0123456789";

#[test]
fn clients_of_others_get_tokens_that_others_and_a_jwt_policy_verify() {
    for (algorithm, kind) in [("EdDSA", ED25519), ("ES256", P256), ("RS256", RSA)] {
        let origin = Origin::echo();
        let issuer = Issuer::start(&origin, &[("a.pem", pem(kind))], OAUTH);
        for (client, consumer, scope) in
            [(("billing", "billing-key-0123456789"), "billing", "read write"), (("tool", "secret"), "stock", "read")]
        {
            let got = issuer.ask(client, &[&format!("scope={scope}"), "resource=orders"]);
            assert_eq!((&got["status"], &got["header"]["alg"]), (&json!(200), &json!(algorithm)), "{got}");
            assert_eq!(got["header"]["typ"], "at+jwt");
            let claims = &got["claims"];
            assert_eq!((&claims["client_id"], &claims["sub"]), (&json!(client.0), &json!(client.0)));
            assert_eq!((&claims["consumer"], &claims["scope"]), (&json!(consumer), &json!(scope)));
            let token = got["token"].as_str().expect("a token");
            let said = node("verify_token.js", &[&issuer.url(), "orders", token]);
            let verified: Value = serde_json::from_str(&said.text()).unwrap_or_else(|_| panic!("{}", said.all()));
            assert_eq!(&verified, claims);
            assert_eq!(issuer.orders(token).status, 200, "{algorithm}");
            let request = origin.last();
            assert_eq!((request.field("x-consumer-name"), request.field("x-scope")), (consumer, scope));
        }
        let other = issuer.ask(("billing", "billing-key-0123456789"), &["audience=stock"]);
        let other = other["token"].as_str().expect("a token");
        assert_eq!(issuer.orders(other).status, 401, "another audience");
        for (client, form, status, error) in [
            (("billing", "billing-key-012345678"), "scope=read", 401, "invalid_client"),
            (("tool", "Secret"), "scope=read", 401, "invalid_client"),
            (("nobody", "secret"), "scope=read", 401, "invalid_client"),
            (("tool", "secret"), "scope=write", 400, "invalid_scope"),
            (("tool", "secret"), "resource=http://evil.test", 400, "invalid_target"),
        ] {
            assert_eq!(issuer.ask(client, &[form]), json!({"status": status, "error": error}), "{client:?} {form}");
        }
    }
}

#[test]
fn a_client_that_is_made_at_run_time_gets_tokens_until_it_is_revoked() {
    let origin = Origin::echo();
    let issuer = Issuer::start(&origin, &[("a.pem", pem(ED25519))], OAUTH);
    let unknown = issuer.token("client_id=acme&client_secret=x");
    assert_eq!((unknown.status, &unknown.json()["error"]), (401, &json!("invalid_client")));
    assert_eq!(issuer.admin("PUT", "/consumers/acme", &json!({})).0, 201);
    let new = || {
        let (status, key) = issuer.admin("POST", "/credentials", &json!({"kind": "key", "consumer": "acme"}));
        assert_eq!(status, 201, "{key}");
        let text = |member: &str| key[member].as_str().expect("a text").to_owned();
        (text("id"), format!("client_id=acme&client_secret={}", text("key")))
    };
    let (id, first) = new();
    let (_, second) = new();
    let token = access_token(&issuer.token(&first));
    assert_eq!((issuer.orders(&token).status, origin.last().field("x-consumer-name")), (200, "acme"));

    let (status, said) = issuer.admin("POST", &format!("/credentials/{id}/revoke"), &Value::Null);
    assert!(status < 300, "{said}");
    issuer.ends_within_a_second(&first);
    // The consumer is still one, and has another key.
    assert_eq!((issuer.orders(&token).status, issuer.token(&second).status), (200, 200));

    let (status, said) = issuer.admin("PATCH", "/consumers/acme", &json!({"suspended": true}));
    assert!(status < 300, "{said}");
    issuer.ends_within_a_second(&second);
    assert_eq!(issuer.orders(&token).status, 403, "the token that it holds is refused here");
}

#[test]
fn keys_are_exchanged_without_refusing_a_token() {
    let origin = Origin::echo();
    let files = [("a.pem", pem(ED25519)), ("b.pem", pem(RSA))];
    let mut issuer = Issuer::start(&origin, &files, OAUTH);
    let old = access_token(&issuer.token(BILLING));
    assert_eq!(issuer.orders(&old).status, 200);
    let url = issuer.url();
    issuer.gateway.rewrite(config(&url, &origin, "\"${file:b.pem}\", \"${file:a.pem}\"", OAUTH));
    let (status, said) = issuer.gateway.reload();
    assert_eq!(status, 200, "{said}");
    let new = access_token(&issuer.token(BILLING));
    assert_ne!(old.split('.').next(), new.split('.').next(), "another key signs");
    assert_eq!((issuer.orders(&old).status, issuer.orders(&new).status), (200, 200));
    // A key that was never announced: it is asked for when a token names it.
    std::fs::write(issuer.gateway.path("c.pem"), pem(P256)).expect("written");
    issuer.gateway.rewrite(config(&url, &origin, "\"${file:c.pem}\"", OAUTH));
    let (status, said) = issuer.gateway.reload();
    assert_eq!(status, 200, "{said}");
    let newest = access_token(&issuer.token(BILLING));
    wait_for("the new key", || (issuer.orders(&newest).status == 200).then_some(()));
    assert_eq!(issuer.orders(&new).status, 401, "its key is gone");
}

#[test]
fn tokens_are_limited_for_each_client() {
    let more = "[policy.limit.rate_limit]\nrate = \"2/m\"\nkey = \"consumer\"\n\
                [[route]]\nname = \"oauth\"\npath_prefix = \"/\"\npolicies = [\"limit\", \"issuer\"]\n\
                answer = { status = 404 }\n";
    let issuer = Issuer::start(&Origin::echo(), &[("a.pem", pem(ED25519))], more);
    let statuses = |form: &str| (0..3).map(|_| issuer.token(form).status).collect::<Vec<_>>();
    assert_eq!(statuses(BILLING), [200, 200, 429]);
    assert_eq!(statuses("client_id=tool&client_secret=secret"), [200, 200, 429]);
    let wrong = issuer.token("client_id=billing&client_secret=x");
    assert_eq!(wrong.status, 401, "whoever guesses uses up nothing");
    assert_eq!(issuer.connect().get("/oauth/jwks").status, 200);
}

#[test]
fn hostile_requests_for_tokens_get_exact_errors() {
    let origin = Origin::echo();
    let issuer = Issuer::start(&origin, &[("a.pem", pem(ED25519))], OAUTH);
    let grant = "grant_type=client_credentials";
    let client = format!("{grant}&{BILLING}");
    // `billing:billing-key-0123456789`
    let basic = "Authorization: Basic YmlsbGluZzpiaWxsaW5nLWtleS0wMTIzNDU2Nzg5\r\n";
    let other = "POST /oauth/token HTTP/1.1\r\nHost: test\r\n";
    for (name, request, status, error) in [
        ("both ways", post(&client, basic), 400, "invalid_request"),
        ("a parameter twice", post(&format!("{client}&{grant}"), ""), 400, "invalid_request"),
        ("another type", post(&client, "").replacen("x-www-form-urlencoded", "json", 1), 400, "invalid_request"),
        ("no type", format!("{other}Content-Length: {}\r\n\r\n{client}", client.len()), 400, "invalid_request"),
        ("no body", format!("{other}Content-Type: application/x-www-form-urlencoded\r\n\r\n"), 401, "invalid_client"),
        ("a scheme of others", post(grant, "Authorization: Bearer x\r\n"), 401, "invalid_client"),
        ("nobody", post(grant, ""), 401, "invalid_client"),
        ("another grant", post(&format!("grant_type=password&{BILLING}"), ""), 400, "unsupported_grant_type"),
        ("another scope", post(&format!("{client}&scope=admin"), ""), 400, "invalid_scope"),
        (
            "a secret in the URL",
            post(grant, "").replacen("token", &format!("token?{BILLING}"), 1),
            400,
            "invalid_request",
        ),
        ("a zero byte", post(&format!("{grant}&client_id=%00&client_secret=%00"), ""), 401, "invalid_client"),
        ("GET", "GET /oauth/token HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(), 405, "invalid_request"),
        ("a document", post(&client, "").replacen("token", "jwks", 1), 405, "invalid_request"),
    ] {
        let response = issuer.connect().ask(request);
        assert_eq!((response.status, &response.json()["error"]), (status, &json!(error)), "{name}");
        assert_eq!(response.field("cache-control"), "no-store", "{name}");
        assert_eq!(response.field("content-type"), "application/json", "{name}");
        assert_eq!(response.field("www-authenticate").starts_with("Basic "), status == 401, "{name}");
    }
    for twice in [format!("{basic}{basic}"), "Content-Type: text/plain\r\n".to_owned()] {
        assert_eq!(issuer.post(grant, &twice).status, 400, "a header twice is no request at all: {twice}");
    }
    let large = issuer.post(&format!("{client}&x={}", "x".repeat(17_000)), "");
    assert_eq!(large.status, 413);
    let mut connection = issuer.connect();
    connection.send("HEAD /oauth/token HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = connection.read("HEAD").expect("a response");
    assert_eq!((head.status, head.field("allow"), &*head.text()), (405, "POST", ""));
    connection.send("HEAD /oauth/jwks HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(connection.read("HEAD").expect("a response").status, 200);
    // The connection is as good as before, and its next request is a good one, in chunks.
    let chunks = format!(
        "{other}Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n{basic}\r\n\
         {:x}\r\n{grant}\r\n0\r\n\r\n",
        grant.len()
    );
    let token = access_token(&connection.ask(chunks));
    assert_eq!(issuer.orders(&token).status, 200);
    assert_eq!(connection.get("/elsewhere").status, 404);
}
