// SPDX-License-Identifier: Apache-2.0
//! Servers that send wrong descriptors, and the tasks that request them.

use std::future::Future;
use std::net::SocketAddr;

use h2::server::{SendResponse, handshake};
use hyper::body::Bytes;
use hyper::http::{HeaderMap, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;
use crate::base::Address;
use crate::config::plan::HttpVersions;
use crate::wire::grpc::json::{Options, Unannotated};
use crate::wire::grpc::message;

/// How a server answers; all of its answers begin with a good head, but for `NotFound`.
#[derive(Clone, Copy)]
enum Manner {
    /// Not found, as a server of something else says it.
    NotFound,
    /// With this body and a good end.
    Says(&'static [u8]),
    /// With the head of a message that is longer than allowed.
    Endless,
    /// With nothing at all.
    Hangs,
    /// With a code in the head.
    Refuses(&'static str),
    /// With a set of one file, in pieces of one byte, to questions of any kind.
    Sends(&'static [u8]),
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bounded = async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, bounded);
}

async fn server(manner: Rc<Cell<Manner>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("bound");
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(serve(stream, Rc::clone(&manner)));
        }
    });
    address
}

async fn serve(stream: TcpStream, manner: Rc<Cell<Manner>>) {
    let Ok(mut connection) = handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        spawn_local(answer(path, respond, manner.get()));
    }
}

async fn answer(path: String, mut respond: SendResponse<Bytes>, manner: Manner) {
    let head = Response::builder().header("content-type", "application/grpc");
    match manner {
        Manner::Hangs => std::future::pending().await,
        Manner::NotFound => {
            let head = Response::builder().status(404).body(()).expect("a head");
            let mut body = respond.send_response(head, false).expect("sent");
            let _ = body.send_data(Bytes::from_static(b"<html>"), true);
        }
        Manner::Refuses(code) => {
            let _ = respond.send_response(head_of(code), true);
        }
        // Only the older version is known here.
        Manner::Sends(_) if path == PATH => {
            let _ = respond.send_response(head_of("12"), true);
        }
        Manner::Says(bytes) | Manner::Sends(bytes) => {
            let mut body = respond.send_response(head.body(()).expect("a head"), false).expect("sent");
            for byte in bytes {
                let _ = body.send_data(Bytes::from(vec![*byte]), false);
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().expect("a value"));
            let _ = body.send_trailers(trailers);
        }
        Manner::Endless => {
            let mut body = respond.send_response(head.body(()).expect("a head"), false).expect("sent");
            let _ = body.send_data(Bytes::from_static(b"\0\x7f\xff\xff\xff endless"), false);
            std::future::pending().await
        }
    }
}

fn head_of(code: &str) -> Response<()> {
    let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", code);
    head.body(()).expect("a head")
}

fn terms(addresses: &[SocketAddr]) -> Terms {
    let endpoint =
        |address: &SocketAddr| Endpoint { address: Address::Inet(*address), name: "".into(), weight: 1, backup: false };
    Terms {
        dial: Dial { http: HttpVersions::Http2, tls: None, proxy_protocol: None },
        endpoints: addresses.iter().map(endpoint).collect(),
        refresh: Duration::from_millis(20),
        timeout: Duration::from_millis(400),
        users: Vec::new(),
    }
}

/// A service `a.B` is asked for, so that the first answer may be files.
fn source() -> Arc<ReflectionSource> {
    Arc::new(ReflectionSource { upstream: "u".into(), services: vec!["a.B".to_owned()] })
}

/// The answer with one file: `a.proto` with the service `a.B` and its method `C`, whose messages are `a.M`.
fn sent() -> &'static [u8] {
    let method = b"\x0a\x01C\x12\x04.a.M\x1a\x04.a.M";
    let service = [&b"\x0a\x01B\x12"[..], &[method.len() as u8], method].concat();
    let message = b"\x0a\x01M";
    let syntax = b"\x62\x06proto3";
    let head = b"\x0a\x07a.proto\x12\x01a";
    let tagged = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8], bytes].concat();
    let file = [&head[..], &tagged(0x22, message), &tagged(0x32, &service), syntax].concat();
    let mut framed = Vec::new();
    message::write(&tagged(0x22, &tagged(0x0a, &file)), &mut framed);
    framed.leak()
}

#[test]
fn bad_servers_are_found_out() {
    run(async {
        let manner = Rc::new(Cell::new(Manner::Hangs));
        let address = server(Rc::clone(&manner)).await;
        let table = [
            (Manner::Hangs, "no response in time"),
            (Manner::NotFound, "the server has no reflection service"),
            (Manner::Refuses("12"), "the server has no reflection service"),
            (Manner::Refuses("7"), "PERMISSION_DENIED"),
            (Manner::Endless, "the response is too large"),
            (Manner::Says(b""), "the server ended the call without a response"),
            (Manner::Says(b"\0\0\0\0\x05abc"), "the response ends inside a message"),
            (Manner::Says(b"\x01\0\0\0\x01a"), "the response is compressed although that was not requested"),
            (Manner::Says(b"\0\0\0\0\x01\xff"), "the server's answer is not one of the reflection protocol"),
            (Manner::Says(b"\0\0\0\0\0"), "the server answered what was not asked"),
        ];
        for (sent, expected) in table {
            manner.set(sent);
            let reason = ask_any(&terms(&[address]), &source()).await.expect_err(expected);
            assert_eq!(reason, format!("{address}: {expected}"));
        }
        assert_eq!(ask_any(&terms(&[]), &source()).await.expect_err("nobody"), "no endpoint is known");
    });
}

#[test]
fn another_endpoint_and_the_older_version_will_do() {
    run(async {
        let bad = server(Rc::new(Cell::new(Manner::Refuses("14")))).await;
        let good = server(Rc::new(Cell::new(Manner::Sends(sent())))).await;
        let set = ask_any(&terms(&[bad, good]), &source()).await.expect("sent");
        let options = Options { unannotated: Unannotated::Post, ..Options::default() };
        let transcoder = Transcoder::from_descriptor_set(&set, options).expect("a set");
        assert_eq!(transcoder.calls()[0].path, "/a.B/C");
    });
}

#[test]
fn news_are_reported_once_and_kept() {
    run(async {
        let manner = Rc::new(Cell::new(Manner::Refuses("14")));
        let address = server(Rc::clone(&manner)).await;
        let (reports_in, mut reports) = mpsc::channel(8);
        let mut reflections = Reflections::new(reports_in, 2, 1);
        let options = Options { unannotated: Unannotated::Post, ..Options::default() };
        let plan = ReflectionPlan { source: source(), refresh: PAUSE, timeout: PAUSE };
        let user = TranscoderPlan { route: "r".into(), descriptors: Descriptors::Asked(plan), options };
        reflections.start(source(), Terms { users: vec![user], ..terms(&[address]) });
        assert_eq!(reflections.open(), 1);
        assert!(reports.recv().await.expect("a report").transcoders.is_empty());
        assert_eq!(reflections.open(), 0);
        manner.set(Manner::Sends(sent()));
        let mut news = 0;
        for _ in 0..6 {
            let sent = reports.recv().await.expect("a report").transcoders;
            assert!(sent.is_empty() || sent.iter().map(Vec::len).eq([1, 1]));
            news += usize::from(!sent.is_empty());
            if news == 1 {
                // Whatever it says from now on is nothing new.
                manner.set(Manner::Hangs);
            }
        }
        assert_eq!((news, reflections.descriptors().len()), (1, 1));
        drop(reflections);
        while reports.recv().await.is_some() {}
    });
}
