// SPDX-License-Identifier: Apache-2.0
//! Servers that answer well, badly, slowly and not at all.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;
use crate::base::limits::{JWKS_BYTES_MAX, JWKS_KEYS_MAX};
use crate::config::plan::{ClientAuthentication, ClientCredentials, IntrospectionPlan, KeysPlace, KeysPlan};
use crate::config::spec::shape::Secret;
use crate::policy::Ticket;
use crate::policy::question::TokenQuestion;
use crate::wire::jose::sample::Signer;
use crate::wire::jose::{Algorithm, KeySet};
use crate::wire::url::Url;

/// How a server answers.
#[derive(Clone)]
enum Manner {
    /// With these fields and this body.
    Says(u16, &'static str, String),
    /// With nothing at all.
    Hangs,
    /// It closes the connection.
    Closes,
}

/// A server, and what it was asked.
struct Server {
    port: u16,
    manner: RefCell<Manner>,
    asked: RefCell<Vec<String>>,
    connections: Cell<usize>,
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bounded = async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, bounded);
}

async fn server(manner: Manner) -> Rc<Server> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let port = listener.local_addr().expect("bound").port();
    let (manner, asked) = (RefCell::new(manner), RefCell::default());
    let server = Rc::new(Server { port, manner, asked, connections: Cell::new(0) });
    let serving = Rc::clone(&server);
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serving.connections.set(serving.connections.get() + 1);
            spawn_local(serve(stream, Rc::clone(&serving)));
        }
    });
    server
}

async fn serve(mut stream: TcpStream, server: Rc<Server>) {
    let mut read = Vec::new();
    while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        server.asked.borrow_mut().push(text.clone());
        read.clear();
        let manner = server.manner.borrow().clone();
        match manner {
            Manner::Hangs => std::future::pending().await,
            Manner::Closes => return,
            Manner::Says(status, fields, body) => {
                let head = format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
                if stream.write_all((head + &body).as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Server {
    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}{path}", self.port)).expect("a URL")
    }

    fn says(&self, manner: Manner) {
        self.manner.replace(manner);
    }

    fn asked(&self) -> usize {
        self.asked.borrow().len()
    }
}

fn good(body: impl ToString) -> Manner {
    Manner::Says(200, "", body.to_string())
}

fn set(signer: &Signer) -> Manner {
    good(String::from_utf8(signer.set("k")).expect("JSON"))
}

const ID: SourceId = SourceId(7);

fn keys_plan(place: KeysPlace) -> SourcePlan {
    let plan = KeysPlan {
        place,
        refresh: Duration::from_millis(40),
        stale: Duration::from_millis(150),
        cool_down: Duration::from_millis(20),
    };
    let timeout = Duration::from_millis(200);
    SourcePlan { id: ID, policy: "login".into(), tls: None, timeout, asked_for: AskedFor::Keys(plan) }
}

fn start(plan: &SourcePlan) -> (Sources, mpsc::Receiver<Told>) {
    let (told, heard) = mpsc::channel(64);
    let mut sources = Sources::new(told, 1);
    sources.start(ID, plan);
    (sources, heard)
}

fn asker(key: u64) -> Asker {
    (3, Ticket { owner: 1, key })
}

async fn keys(heard: &mut mpsc::Receiver<Told>) -> Option<Arc<KeySet>> {
    match heard.recv().await.expect("told") {
        Told::Keys(Keys { source: ID, set }) => set,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_told_when_they_change_and_withdrawn_when_they_are_too_old() {
    run(async {
        let (first, second) = (Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::Es256));
        let server = server(set(&first)).await;
        let (sources, mut heard) = start(&keys_plan(KeysPlace::Url(server.url("/keys"))));
        assert_eq!(sources.open(), 1);
        let known = keys(&mut heard).await.expect("keys");
        assert_eq!((known.keys.len(), sources.open()), (1, 0));
        assert!(server.asked.borrow()[0].starts_with("GET /keys HTTP/1.1\r\n"));
        // Asked again and again, told once.
        while server.asked() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(heard.try_recv().is_err());
        server.says(set(&second));
        assert_ne!(keys(&mut heard).await.expect("keys"), known);
        // What is wrong leaves the last keys in use, for a while.
        server.says(good("<html>"));
        let before = std::time::Instant::now();
        assert_eq!(keys(&mut heard).await, None);
        assert!(before.elapsed() >= Duration::from_millis(100), "{:?}", before.elapsed());
        assert_eq!(sources.known().count(), 0);
        server.says(set(&second));
        assert!(keys(&mut heard).await.is_some());
    });
}

#[test]
fn what_is_no_set_of_keys_is_none() {
    let many = |count: usize| {
        let key = Signer::new(Algorithm::EdDsa).jwk("k");
        json!({ "keys": vec![key; count] }).to_string()
    };
    for manner in [
        Manner::Closes,
        Manner::Hangs,
        good(""),
        good("{}"),
        good(r#"{"keys":[]}"#),
        good(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}"#),
        good(many(JWKS_KEYS_MAX + 1)),
        good(format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(JWKS_BYTES_MAX))),
        Manner::Says(500, "", many(1)),
        Manner::Says(302, "Location: /other\r\n", String::new()),
    ] {
        run(async {
            let server = server(manner).await;
            let (sources, mut heard) = start(&keys_plan(KeysPlace::Url(server.url("/"))));
            assert_eq!(sources.ask(asker(1), Question::Keys(ID)), None);
            let Some(Told::Answer(askers, Answer::Unavailable)) = heard.recv().await else { panic!("no keys") };
            assert_eq!(askers, [asker(1)]);
            assert_eq!((sources.open(), sources.known().count()), (0, 0));
        });
    }
}

#[test]
fn questions_of_one_moment_cost_one_request_and_then_there_is_a_pause() {
    run(async {
        let server = server(set(&Signer::new(Algorithm::EdDsa))).await;
        let mut plan = keys_plan(KeysPlace::Url(server.url("/")));
        if let AskedFor::Keys(keys) = &mut plan.asked_for {
            (keys.refresh, keys.cool_down) = (Duration::from_secs(60), Duration::from_millis(100));
        }
        let (sources, mut heard) = start(&plan);
        for key in 0..50 {
            assert_eq!(sources.ask(asker(key), Question::Keys(ID)), None);
        }
        assert!(keys(&mut heard).await.is_some());
        let Some(Told::Answer(askers, Answer::Keys)) = heard.recv().await else { panic!("an answer") };
        assert_eq!((askers.len(), server.asked()), (50, 1));
        // The issuer exchanges its keys right after the gateway's start.
        server.says(set(&Signer::new(Algorithm::EdDsa)));
        assert_eq!(sources.ask(asker(0), Question::Keys(ID)), None);
        assert!(keys(&mut heard).await.is_some(), "the request at the start begins no pause");
        assert!(matches!(heard.recv().await, Some(Told::Answer(askers, Answer::Keys)) if askers == [asker(0)]));
        assert_eq!(server.asked(), 2);
        for key in 0..50 {
            assert_eq!(sources.ask(asker(key), Question::Keys(ID)), None);
            assert!(matches!(heard.recv().await, Some(Told::Answer(askers, Answer::Keys)) if askers == [asker(key)]));
        }
        assert_eq!(server.asked(), 2);
        tokio::time::sleep(Duration::from_millis(110)).await;
        assert_eq!(sources.ask(asker(1), Question::Keys(ID)), None);
        assert!(matches!(heard.recv().await, Some(Told::Answer(_, Answer::Keys))));
        assert_eq!(server.asked(), 3);
        let full = (0..=QUESTIONS_MAX as u64).filter_map(|key| sources.ask(asker(key), Question::Keys(ID)));
        assert_eq!(full.collect::<Vec<_>>(), [Answer::Unavailable]);
        assert_eq!(sources.ask(asker(1), Question::Keys(SourceId(8))), Some(Answer::Unavailable), "nobody's source");
    });
}

#[test]
fn an_issuer_says_where_its_keys_are() {
    run(async {
        let signer = Signer::new(Algorithm::EdDsa);
        let keys_server = server(set(&signer)).await;
        let place = keys_server.url("/k").to_string();
        let cases = [
            (json!({"issuer": "https://a.test", "jwks_uri": place}), true),
            (json!({"issuer": "https://b.test", "jwks_uri": place}), false),
            (json!({"issuer": "https://a.test/", "jwks_uri": place}), false),
            (json!({"issuer": "https://a.test"}), false),
            (json!({"issuer": "https://a.test", "jwks_uri": "file:///etc/passwd"}), false),
            (json!({"jwks_uri": place}), false),
            (json!([]), false),
        ];
        for (metadata, is_good) in cases {
            let issuer = server(good(&metadata)).await;
            let place = KeysPlace::Issuer { name: "https://a.test".into(), metadata: issuer.url("/m") };
            let (sources, mut heard) = start(&keys_plan(place));
            assert_eq!(sources.ask(asker(1), Question::Keys(ID)), None);
            let told = heard.recv().await.expect("told");
            assert_eq!(matches!(told, Told::Keys(_)), is_good, "{metadata}: {told:?}");
        }
    });
}

fn tokens_plan(server: &Server, authentication: ClientAuthentication) -> SourcePlan {
    let plan = IntrospectionPlan {
        url: server.url("/introspect"),
        client: ClientCredentials { id: "me & co".into(), secret: Secret("s:ä".to_owned()), authentication },
    };
    let timeout = Duration::from_millis(200);
    SourcePlan { id: ID, policy: "login".into(), tls: None, timeout, asked_for: AskedFor::Tokens(plan) }
}

fn about(token: &str) -> Question {
    Question::Token(TokenQuestion { source: ID, token: token.into() })
}

async fn answered(heard: &mut mpsc::Receiver<Told>) -> (usize, Answer) {
    match heard.recv().await.expect("told") {
        Told::Answer(askers, answer) => (askers.len(), answer),
        other @ (Told::Keys(_) | Told::Ended(_) | Told::Remembered(_) | Told::Session(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_server_is_asked_about_tokens_on_a_connection_that_stays() {
    run(async {
        for (authentication, field, form) in [
            (
                ClientAuthentication::Basic,
                "authorization: Basic bWUrJTI2K2NvOnMlM0ElQzMlQTQ=",
                "token=t%2B%2F%3D&token_type_hint=access_token",
            ),
            (
                ClientAuthentication::Post,
                "content-type: application/x-www-form-urlencoded",
                "token=t%2B%2F%3D&token_type_hint=access_token&client_id=me+%26+co&client_secret=s%3A%C3%A4",
            ),
        ] {
            let server = server(good(r#"{"active":true,"sub":"anna"}"#)).await;
            let (sources, mut heard) = start(&tokens_plan(&server, authentication));
            assert_eq!(sources.open(), 0);
            for _ in 0..3 {
                assert_eq!(sources.ask(asker(1), about("t+/=")), None);
                let (1, Answer::Token(Some(said))) = answered(&mut heard).await else { panic!("active") };
                assert_eq!(said["sub"], "anna");
            }
            let asked = server.asked.borrow()[2].clone();
            assert!(asked.starts_with("POST /introspect HTTP/1.1\r\n") && asked.contains(field), "{asked}");
            assert!(asked.ends_with(form), "{asked}");
            assert_eq!((server.asked(), server.connections.get()), (3, 1));
        }
    });
}

#[test]
fn only_a_clear_word_counts() {
    run(async {
        let server = server(good(r#"{"active":false}"#)).await;
        let (sources, mut heard) = start(&tokens_plan(&server, ClientAuthentication::Basic));
        assert_eq!(sources.ask(asker(1), about("t")), None);
        assert_eq!(answered(&mut heard).await, (1, Answer::Token(None)));
        for manner in [
            good("{}"),
            good(r#"{"active":"true"}"#),
            good(r#"{"active":true,"active":false}"#),
            good("[]"),
            Manner::Says(401, "", r#"{"active":true}"#.to_owned()),
            Manner::Says(204, "", String::new()),
        ] {
            server.says(manner);
            assert_eq!(sources.ask(asker(1), about("t")), None);
            assert_eq!(answered(&mut heard).await, (1, Answer::Unavailable));
            server.says(good(r#"{"active":false}"#));
            assert_eq!(sources.ask(asker(1), about("t")), None);
            assert_eq!(answered(&mut heard).await, (1, Answer::Token(None)));
        }
    });
}

#[test]
fn a_token_is_asked_for_once_and_a_server_that_is_down_is_left_alone() {
    run(async {
        let server = server(Manner::Hangs).await;
        let (sources, mut heard) = start(&tokens_plan(&server, ClientAuthentication::Basic));
        for key in 0..20 {
            assert_eq!(sources.ask(asker(key), about("t")), None);
        }
        assert_eq!(answered(&mut heard).await, (20, Answer::Unavailable));
        assert_eq!(server.asked(), 1);
        server.says(Manner::Closes);
        for _ in 0..4 {
            assert_eq!(sources.ask(asker(1), about("t")), None);
            assert_eq!(answered(&mut heard).await, (1, Answer::Unavailable));
        }
        let asked = server.asked();
        assert_eq!(sources.ask(asker(1), about("t")), None);
        assert_eq!(answered(&mut heard).await, (1, Answer::Unavailable));
        assert_eq!(server.asked(), asked, "it is left alone");
        server.says(good(r#"{"active":false}"#));
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        assert_eq!(sources.ask(asker(1), about("t")), None);
        assert_eq!(answered(&mut heard).await, (1, Answer::Token(None)));
    });
}
