// SPDX-License-Identifier: Apache-2.0
//! Both roles against another implementation, the `h2` crate, over a pipe in memory.

use std::collections::HashMap;
use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request as TheirRequest, Response as TheirResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::base::Side;
use crate::wire::field::Known;
use crate::wire::h2::hpack::Mark;
use crate::wire::h2::message::{self, Content};
use crate::wire::head::{Method, RequestHead, ResponseHead};

/// Our side of the pipe: the machine, and bodies on their way out.
struct Ours {
    connection: Connection,
    io: DuplexStream,
    bodies: HashMap<u32, Body>,
    now: Tick,
}

struct Body {
    key: Key,
    bytes: Vec<u8>,
    at: usize,
    complete: bool,
    trailers: bool,
}

/// What came of one stream.
#[derive(Debug, Default, PartialEq)]
struct Got {
    interims: usize,
    status: u16,
    content: Vec<u8>,
    trailers: usize,
    ended: bool,
    reset: Option<ErrorCode>,
}

impl Ours {
    fn new(connection: Connection, io: DuplexStream) -> Ours {
        Ours { connection, io, bodies: HashMap::new(), now: Tick::ZERO.after_ms(1_000) }
    }

    fn send(&mut self, key: Key, bytes: &[u8], complete: bool, trailers: bool) {
        let fresh = Body { key, bytes: Vec::new(), at: 0, complete: false, trailers };
        let body = self.bodies.entry(key.id()).or_insert(fresh);
        body.bytes.extend_from_slice(bytes);
        body.complete |= complete;
        self.connection.offer(key);
    }

    /// Writes what is queued and what has its turn.
    async fn flush(&mut self) {
        let mut out = Vec::new();
        loop {
            self.connection.take_output(&mut out);
            let Some(key) = self.connection.pick() else { break };
            let Some(body) = self.bodies.get_mut(&key.id()) else { continue };
            let wanted = body.bytes.len() - body.at;
            let ending = if body.complete && !body.trailers { Ending::Last } else { Ending::More };
            if wanted > 0 || ending == Ending::Last {
                let Grant::Frame { header, len, .. } = self.connection.grant(key, wanted, ending, self.now) else {
                    continue;
                };
                out.extend_from_slice(&header);
                out.extend_from_slice(&body.bytes[body.at..body.at + len]);
                body.at += len;
            }
            if body.at < body.bytes.len() {
                self.connection.offer(key);
            } else if body.complete && body.trailers {
                let len = body.bytes.len();
                let sent = self.connection.send_trailers(key, |out, encoder| {
                    encoder.begin(out);
                    encoder.field(out, Known::Other, b"x-len", len.to_string().as_bytes(), Mark::Ordinary);
                });
                assert_eq!(sent, Ok(()));
            }
        }
        // The other side may be gone already.
        let _ = self.io.write_all(&out).await;
    }

    /// Reads once and hands out what happened. False at the end.
    async fn turn(&mut self, mut on: impl FnMut(&mut Ours, Event, &[u8])) -> bool {
        self.flush().await;
        let mut piece = vec![0; 5_000];
        let Ok(count @ 1..) = self.io.read(&mut piece).await else { return false };
        let mut input = Input::new(&piece[..count]);
        loop {
            match self.connection.next(&mut input, self.now) {
                Ok(Some(event)) => on(self, event, &piece),
                Ok(None) => return true,
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// Echoes, or does what the path says. Which streams the client reset.
async fn serve(mut ours: Ours) -> Vec<(u32, ErrorCode)> {
    let mut resets = Vec::new();
    while ours.turn(|ours, event, piece| echo(ours, event, piece, &mut resets)).await {}
    resets
}

fn echo(ours: &mut Ours, event: Event, piece: &[u8], resets: &mut Vec<(u32, ErrorCode)>) {
    match event {
        Event::Head { key, end } => {
            let mut head = RequestHead::default();
            let content = if end { Content::Ended } else { Content::Follows };
            message::request(ours.connection.section(), content, &mut head).expect("a request");
            ours.connection.expect(key, head.content());
            let path = head.path.of(&ours.connection.section().bytes).to_vec();
            if path == b"/reset" {
                ours.connection.reset(key, ErrorCode::Http11Required, ours.now);
                return ours.connection.forget(key, ours.now);
            }
            if path == b"/going" {
                ours.connection.announce_going();
                ours.connection.go_away(ErrorCode::NoError);
            }
            let value = vec![b'v'; if path == b"/large" { 40_000 } else { 3 }];
            let early = |out: &mut Vec<u8>, encoder: &mut Encoder| {
                encoder.begin(out);
                encoder.status(out, 103);
            };
            ours.connection.send_interim(key, early).unwrap();
            let written = ours.connection.send_head(key, Ending::More, |out, encoder| {
                encoder.begin(out);
                encoder.status(out, 200);
                encoder.field(out, Known::Other, b"x-value", &value, Mark::Ordinary);
            });
            assert_eq!(written, Ok(()));
            ours.send(key, b"", end, head.accepts_trailers);
        }
        Event::Data { key, bytes, end } => {
            let count = bytes.len();
            ours.send(key, &piece[bytes], end, false);
            ours.connection.release(key, count);
        }
        Event::Trailers { key } => {
            message::trailers(ours.connection.section(), Side::Client).expect("trailers");
            ours.send(key, b"", true, false);
        }
        Event::Reset { key, code, .. } => {
            resets.push((key.id(), code));
            ours.bodies.remove(&key.id());
            ours.connection.forget(key, ours.now);
        }
        Event::StreamWindow { key } => ours.connection.offer(key),
        Event::AnyWindow | Event::Settings => {
            let keys: Vec<Key> = ours.bodies.values().map(|body| body.key).collect();
            keys.into_iter().for_each(|key| ours.connection.offer(key));
        }
        Event::SettingsAcked | Event::GoAway { .. } | Event::PingAck { .. } | Event::Interim { .. } => {}
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(test)
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + seed) as u8).collect()
}

fn server(config: Config) -> (Ours, DuplexStream) {
    let (near, far) = tokio::io::duplex(64 * 1024 * 1024);
    (Ours::new(Connection::server(Rc::new(config), Tick::ZERO), near), far)
}

/// Sends one request with `h2` and reads the whole answer.
async fn exchange(
    client: h2::client::SendRequest<Bytes>,
    path: &str,
    body: Vec<u8>,
    trailers: bool,
) -> Result<(TheirResponse<()>, Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut request = TheirRequest::builder().method("POST").uri(format!("http://a.example{path}"));
    if trailers {
        request = request.header("te", "trailers");
    }
    let (answer, mut stream) = client.ready().await?.send_request(request.body(()).unwrap(), false)?;
    stream.send_data(Bytes::from(body), !trailers)?;
    if trailers {
        stream.send_trailers(HeaderMap::from_iter([(http::HeaderName::from_static("x-t"), HeaderValue::from(1))]))?;
    }
    let (head, mut body) = answer.await?.into_parts();
    let mut content = Vec::new();
    while let Some(bytes) = body.data().await {
        let bytes = bytes?;
        body.flow_control().release_capacity(bytes.len())?;
        content.extend_from_slice(&bytes);
    }
    let trailers = body.trailers().await?;
    Ok((TheirResponse::from_parts(head, ()), content, trailers))
}

/// Requests, bodies, trailers, interim heads and small windows, with settings of all kinds on their side.
#[test]
fn our_server_echoes_to_their_client() {
    for (window, table, frame, ours) in
        [(65_535, 4_096, 16_384, 256 * 1024), (1, 0, 1 << 20, 1_000), (70_000, 100, 20_000, 70_000)]
    {
        let config = Config { stream_window: ours, connection_window: 70_000, ..Config::default() };
        let (ours, far) = server(config);
        run(async {
            let theirs = async {
                let mut builder = h2::client::Builder::new();
                builder.initial_window_size(window).header_table_size(table).max_frame_size(frame);
                let (client, connection) = builder.handshake::<_, Bytes>(far).await.unwrap();
                let driver = tokio::spawn(connection);
                let lens = [0, 1, 20, 16_384, 16_385, 70_000, 300_000];
                let lens = if window == 1 { &lens[..3] } else { &lens[..] };
                let mut tasks = Vec::new();
                for (at, len) in lens.iter().cycle().take(40).enumerate() {
                    let (client, body, trailers) = (client.clone(), pattern(at, *len), at % 3 == 0);
                    tasks.push(tokio::spawn(async move {
                        let (head, content, end) = exchange(client, "/echo", body.clone(), trailers).await.unwrap();
                        assert_eq!((head.status().as_u16(), head.headers()["x-value"].len()), (200, 3));
                        assert!(content == body, "{} of {} bytes", content.len(), body.len());
                        let expected = trailers.then(|| body.len().to_string());
                        assert_eq!(end.map(|end| end["x-len"].to_str().unwrap().to_owned()), expected);
                    }));
                }
                for task in tasks {
                    task.await.unwrap();
                }
                drop(client);
                driver.await.unwrap().unwrap();
            };
            let (resets, ()) = tokio::join!(serve(ours), theirs);
            assert_eq!(resets, []);
        });
    }
}

/// Resets from both sides, PING, and heads of several frames.
#[test]
fn our_server_with_their_resets() {
    let (ours, far) = server(Config { header_list_max: 48 * 1024, ..Config::default() });
    run(async {
        let theirs = async {
            let (client, mut connection) = h2::client::handshake(far).await.unwrap();
            let mut pings = connection.ping_pong().unwrap();
            let driver = tokio::spawn(connection);
            pings.ping(h2::Ping::opaque()).await.unwrap();
            let error = exchange(client.clone(), "/reset", Vec::new(), false).await.unwrap_err();
            assert_eq!(error.reason(), Some(h2::Reason::HTTP_1_1_REQUIRED));
            let (head, ..) = exchange(client.clone(), "/large", vec![1; 9], false).await.unwrap();
            assert_eq!(head.headers()["x-value"].len(), 40_000);
            // One that is given up in the middle.
            let request = TheirRequest::post("http://a.example/echo").header("x-long", "y".repeat(30_000));
            let mut ready = client.clone().ready().await.unwrap();
            let (answer, mut stream) = ready.send_request(request.body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"begun"), false).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
            stream.send_reset(h2::Reason::CANCEL);
            let (_, content, _) = exchange(client.clone(), "/echo", pattern(1, 5_000), false).await.unwrap();
            assert!(content == pattern(1, 5_000));
            drop((client, ready, stream, pings));
            driver.await.unwrap().unwrap();
        };
        let (resets, ()) = tokio::join!(serve(ours), theirs);
        assert_eq!(resets, [(5, ErrorCode::Cancel)]);
    });
}

/// GOAWAY: what is under way is completed, and nothing new is sent.
#[test]
fn our_server_goes() {
    let (ours, far) = server(Config::default());
    run(async {
        let theirs = async {
            let (client, connection) = h2::client::handshake(far).await.unwrap();
            let driver = tokio::spawn(connection);
            let (_, content, _) = exchange(client.clone(), "/going", pattern(3, 100_000), false).await.unwrap();
            assert!(content == pattern(3, 100_000));
            assert!(exchange(client.clone(), "/echo", Vec::new(), false).await.is_err());
            drop(client);
            driver.await.unwrap().unwrap();
        };
        tokio::join!(serve(ours), theirs);
    });
}

/// RFC 8441.
#[test]
fn our_server_takes_extended_connect() {
    let (ours, far) = server(Config { connect_protocol: true, ..Config::default() });
    run(async {
        let theirs = async {
            let (client, connection) = h2::client::handshake(far).await.unwrap();
            let driver = tokio::spawn(connection);
            let mut client = client.ready().await.unwrap();
            exchange(client.clone(), "/echo", Vec::new(), false).await.unwrap();
            assert!(client.is_extended_connect_protocol_enabled());
            let request = TheirRequest::connect("http://a.example/chat");
            let request = request.extension(h2::ext::Protocol::from_static("websocket")).body(()).unwrap();
            let (answer, mut stream) = client.send_request(request, false).unwrap();
            let mut body = answer.await.unwrap().into_body();
            stream.send_data(Bytes::from_static(b"frame"), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), "frame");
            stream.send_data(Bytes::new(), true).unwrap();
            drop((client, body, stream));
            driver.await.unwrap().unwrap();
        };
        tokio::join!(serve(ours), theirs);
    });
}

/// Their server: echoes with an interim head and trailers, until it has had `most` requests.
async fn their_server(io: DuplexStream, builder: h2::server::Builder, most: usize) {
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    let mut count = 0;
    while let Some(accepted) = connection.accept().await {
        let Ok((request, mut respond)) = accepted else { break };
        count += 1;
        if count == most {
            connection.graceful_shutdown();
        }
        tokio::spawn(async move {
            if request.uri().path() == "/reset" {
                return respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
            respond.send_informational(TheirResponse::builder().status(103).body(()).unwrap()).unwrap();
            let mut stream = respond.send_response(TheirResponse::new(()), false).unwrap();
            let mut body = request.into_body();
            while let Some(bytes) = body.data().await {
                let bytes = bytes.unwrap();
                body.flow_control().release_capacity(bytes.len()).unwrap();
                stream.send_data(bytes, false).unwrap();
            }
            let end = [(http::HeaderName::from_static("x-end"), HeaderValue::from(1))];
            stream.send_trailers(HeaderMap::from_iter(end)).unwrap();
        });
    }
}

/// Opens as many streams as it may of `lens`, until all are over; what came of each.
async fn ask(ours: &mut Ours, path: &str, lens: &[usize]) -> Vec<Got> {
    let mut got: HashMap<u32, Got> = HashMap::new();
    let mut order = Vec::new();
    let mut on = |ours: &mut Ours, event: Event, piece: &[u8]| match event {
        Event::Interim { key } => got.entry(key.id()).or_default().interims += 1,
        Event::Head { key, end } => {
            let mut head = ResponseHead::default();
            let content = if end { Content::Ended } else { Content::Follows };
            message::response(ours.connection.section(), content, Method::Post, &mut head).expect("a response");
            ours.connection.expect(key, head.body);
            got.entry(key.id()).or_default().status = head.status;
        }
        Event::Data { key, bytes, end } => {
            ours.connection.release(key, bytes.len());
            let got = got.entry(key.id()).or_default();
            got.content.extend_from_slice(&piece[bytes]);
            got.ended |= end;
        }
        Event::Trailers { key } => {
            message::trailers(ours.connection.section(), Side::Upstream).expect("trailers");
            let got = got.entry(key.id()).or_default();
            (got.trailers, got.ended) = (ours.connection.section().fields.list.len(), true);
        }
        Event::Reset { key, code, .. } => {
            ours.bodies.remove(&key.id());
            ours.connection.forget(key, ours.now);
            got.entry(key.id()).or_default().reset = Some(code);
        }
        Event::StreamWindow { key } => ours.connection.offer(key),
        Event::AnyWindow | Event::Settings => {
            let keys: Vec<Key> = ours.bodies.values().map(|body| body.key).collect();
            keys.into_iter().for_each(|key| ours.connection.offer(key));
        }
        Event::SettingsAcked | Event::GoAway { .. } | Event::PingAck { .. } => {}
    };
    let mut waiting = lens.iter().enumerate();
    loop {
        while ours.connection.openable() > 0 && ours.connection.peer_settled {
            let Some((at, len)) = waiting.next() else { break };
            let opened = ours.connection.open(Ending::More, |out, encoder| {
                encoder.begin(out);
                encoder.method(out, b"POST");
                encoder.scheme(out, b"http");
                encoder.authority(out, b"a.example");
                encoder.path(out, path.as_bytes());
            });
            let Ok(key) = opened else { break };
            order.push(key);
            ours.send(key, &pattern(at, *len), true, at % 3 == 0);
        }
        if !ours.turn(&mut on).await {
            break;
        }
        let mut open = 0;
        for key in &order {
            if ours.connection.is_open(*key) {
                open += 1;
                continue;
            }
            ours.bodies.remove(&key.id());
            ours.connection.forget(*key, ours.now);
        }
        if order.len() == lens.len() && open == 0 {
            break;
        }
    }
    order.iter().map(|key| got.remove(&key.id()).unwrap_or_default()).collect()
}

fn client(config: Config) -> (Ours, DuplexStream) {
    let (near, far) = tokio::io::duplex(64 * 1024 * 1024);
    (Ours::new(Connection::client(Rc::new(config), Tick::ZERO), near), far)
}

#[test]
fn our_client_asks_their_server() {
    for (window, concurrent, frame) in [(65_535, 100, 16_384), (1_000, 3, 1 << 20), (300_000, 1, 30_000)] {
        let (mut ours, far) = client(Config { stream_window: 70_000, ..Config::default() });
        run(async {
            let mut builder = h2::server::Builder::new();
            builder.initial_window_size(window).max_concurrent_streams(concurrent).max_frame_size(frame);
            let lens: Vec<usize> = [0, 1, 100, 16_384, 70_000, 200_000].into_iter().cycle().take(30).collect();
            let ours = async {
                let got = ask(&mut ours, "/echo", &lens).await;
                for (at, (got, len)) in got.iter().zip(&lens).enumerate() {
                    assert!(got.content == pattern(at, *len), "{at}: {} of {len} bytes", got.content.len());
                    let rest = (got.interims, got.status, got.trailers, got.ended, got.reset);
                    assert_eq!(rest, (1, 200, 1, true, None));
                }
                let refused = ask(&mut ours, "/reset", &[5]).await;
                assert_eq!(refused[0].reset, Some(ErrorCode::RefusedStream));
                assert_eq!(ours.connection.held_streams(), 0);
                drop(ours);
            };
            tokio::join!(ours, their_server(far, builder, usize::MAX));
        });
    }
}

/// Their graceful GOAWAY: what was taken is answered, what was not comes back as refused, and no stream opens.
#[test]
fn our_client_sees_their_server_go() {
    let (mut ours, far) = client(Config::default());
    run(async {
        let ours = async {
            let got = ask(&mut ours, "/echo", &[100_000; 8]).await;
            assert!(got.len() >= 3 && got.len() <= 8);
            for (at, got) in got.iter().enumerate() {
                let answered = got.ended && got.content == pattern(at, 100_000);
                assert!(answered || got.reset == Some(ErrorCode::RefusedStream), "{at}");
            }
            assert!(got[..3].iter().all(|got| got.ended));
            assert!(ours.connection.is_going());
            drop(ours);
        };
        let builder = h2::server::Builder::new();
        tokio::join!(ours, their_server(far, builder, 3));
    });
}
