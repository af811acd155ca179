// SPDX-License-Identifier: Apache-2.0
//! Whole kept-alive exchanges, from a client through a shard to an origin and back, on the simulator's network.
//!
//! To read times: `cargo bench --features sim --bench exchange`; for the gate see `pieces`. It uses the simulator
//! instead of sockets, because there the shard's code runs in the same order each time and no kernel decides how many
//! polls an exchange takes, so counts repeat to the instruction. The simulator's own cost is in the times. The gate
//! takes it off: a `hop` is the same exchange between client and origin without a gateway, and a proxied one has two.
//! Where the ends speak anything but plain HTTP/1.1, a hop is two exchanges: one in what the client speaks, and one in
//! what the origin speaks.

mod ends;
mod gateway;
#[allow(dead_code, unused_imports, reason = "the load tests use the rest of it")]
#[path = "../loadtest/src/guard.rs"]
mod guard;
mod pieces;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use rustls::{ClientConfig, ServerConfig};

use ends::{Line, http2, tls};
use gateway::{Plane, Protocol, Protocols, Rules};
use guard::Guard;
use pieces::{Piece, Run};
use turnpike::bench::base::{Address, Buf, Tick, Wall};
use turnpike::bench::net::sim::{Depth, Settings, Sim, SimStream, Simulation};
use turnpike::bench::net::{Listener, Net, Stream};

// The program's own allocator, so that the counts do not depend on the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How an exchange looks on the wire.
#[derive(Clone)]
struct ExchangeShape {
    request: Rc<[u8]>,
    answer: Rc<[u8]>,
    /// The last bytes of both, which occur nowhere else in them.
    request_end: &'static [u8],
    answer_end: &'static [u8],
}

const GET: &[u8] = b"GET /shop/items/4711?sort=price HTTP/1.1\r\n\
Host: www.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

const HEAD_END: &[u8] = b"\r\n\r\n";
const BODY_END: &[u8] = b"the end of the body\n";
/// Warm-up exchanges: after them buffers, pools and the table of names have their final sizes.
const WARM_UP: u64 = 300;

fn main() {
    let get_100 = || ExchangeShape::get(100);
    let get_10k = || ExchangeShape::get(10_240);
    let post_4k = || ExchangeShape::post(4_096);
    let guarded = |guard, way| move || exchanges(ExchangeShape::guarded(guard), way);
    pieces::main(vec![
        Piece::new("hop/get_100", move || exchanges(get_100(), Topology::Direct)).not_gated(),
        Piece::new("hop/get_10k", move || exchanges(get_10k(), Topology::Direct)).not_gated(),
        Piece::new("hop/post_4k", move || exchanges(post_4k(), Topology::Direct)).not_gated(),
        Piece::new("hop/event", || events(Topology::Direct)).not_gated(),
        Piece::new("exchange/get_100", move || exchanges(get_100(), PROXIED)).without("hop/get_100", 2),
        Piece::new("exchange/get_10k", move || exchanges(get_10k(), PROXIED)).without("hop/get_10k", 2),
        Piece::new("exchange/post_4k", move || exchanges(post_4k(), PROXIED)).without("hop/post_4k", 2),
        Piece::new("exchange/event", || events(PROXIED)).without("hop/event", 2),
        // Beside the same requests through a route that uses none of it: what a key, a plan's limits, CORS and changed
        // fields cost, and what a token costs that is known.
        Piece::new("hop/gateway_key", guarded(Guard::Key, Topology::Direct)).not_gated(),
        Piece::new("hop/gateway_jwt", guarded(Guard::Es256, Topology::Direct)).not_gated(),
        Piece::new("exchange/gateway_key", guarded(Guard::Key, Topology::Proxied(Rules::Guard(Guard::Key))))
            .without("hop/gateway_key", 2),
        Piece::new("exchange/gateway_key_unused", guarded(Guard::Key, PROXIED)).without("hop/gateway_key", 2),
        Piece::new("exchange/gateway_jwt", guarded(Guard::Es256, Topology::Proxied(Rules::Guard(Guard::Es256))))
            .without("hop/gateway_jwt", 2),
        Piece::new("exchange/gateway_jwt_unused", guarded(Guard::Es256, PROXIED)).without("hop/gateway_jwt", 2),
        // Beside `exchange/get_100`: a quota that is counted in the store, of which the shard has leased enough, and an
        // expression that says who may.
        Piece::new("exchange/gateway_quota", move || exchanges(get_100(), Topology::Proxied(Rules::Quota)))
            .without("hop/get_100", 2),
        Piece::new("exchange/gateway_expression", move || exchanges(get_100(), Topology::Proxied(Rules::Expression)))
            .without("hop/get_100", 2),
        Piece::new("hop/h2_get_100", || mixed(H2_CLIENT, Topology::Direct)).not_gated(),
        Piece::new("hop/h2_upstream_get_100", || mixed(H2_UPSTREAM, Topology::Direct)).not_gated(),
        Piece::new("hop/tls_get_100", || mixed(TLS, Topology::Direct)).not_gated(),
        Piece::new("exchange/h2_get_100", || mixed(H2_CLIENT, PROXIED)).without("hop/h2_get_100", 1),
        Piece::new("exchange/h2_upstream_get_100", || mixed(H2_UPSTREAM, PROXIED))
            .without("hop/h2_upstream_get_100", 1),
        // Counted by hand: keys are random, so the handshakes do not repeat to the instruction.
        Piece::new("exchange/tls_get_100", || mixed(TLS, PROXIED)).not_gated(),
    ]);
}

impl ExchangeShape {
    fn get(length: usize) -> ExchangeShape {
        ExchangeShape { request: GET.into(), answer: answer(length), request_end: HEAD_END, answer_end: BODY_END }
    }

    /// With what a guard asks for.
    fn guarded(guard: Guard) -> ExchangeShape {
        let head = GET.strip_suffix(b"\r\n").expect("it ends with an empty line");
        let fields = guard.fields().swap_remove(0);
        let request = [head, fields.as_bytes(), b"\r\n"].concat().into();
        ExchangeShape { request, ..ExchangeShape::get(100) }
    }

    fn post(length: usize) -> ExchangeShape {
        let mut request = format!("POST /form HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: {length}\r\n\r\n");
        request.push_str(&body(length));
        let request = request.into_bytes().into();
        ExchangeShape { request, answer: answer(100), request_end: BODY_END, answer_end: BODY_END }
    }
}

fn answer(length: usize) -> Rc<[u8]> {
    let head = "HTTP/1.1 200 OK\r\nServer: origin/1.0\r\nDate: Fri, 20 Nov 2026 08:49:37 GMT\r\n\
                Content-Type: text/html; charset=utf-8\r\nCache-Control: max-age=60\r\n";
    format!("{head}Content-Length: {length}\r\n\r\n{}", body(length)).into_bytes().into()
}

fn body(length: usize) -> String {
    "x".repeat(length - BODY_END.len()) + &String::from_utf8_lossy(BODY_END)
}

/// Is there a gateway between client and origin?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topology {
    Direct,
    /// One whose route uses this.
    Proxied(Rules),
}

/// A gateway whose route uses nothing.
const PROXIED: Topology = Topology::Proxied(Rules::Nothing);

const PLAIN: Protocols = [Protocol::Http1, Protocol::Http1];
/// Several streams of one connection, each to a connection of its own.
const H2_CLIENT: Protocols = [Protocol::Http2, Protocol::Http1];
/// One request at a time.
const H2_UPSTREAM: Protocols = [Protocol::Http1, Protocol::Http2];
/// On both sides: the two hops have four ends of TLS, as the exchange has, so rustls' own work is taken off.
const TLS: Protocols = [Protocol::Http1Tls, Protocol::Http1Tls];

/// A network, the origin in it, where the client connects to, and what tells the shard what it must know, where there
/// is one.
type Network = (Simulation, Sim, Address, Option<Plane>);

fn network(way: Topology) -> (Network, Address) {
    network_of(PLAIN, None, way)
}

/// The same for any protocols, with the keys for those that need some.
fn network_of(protocols: Protocols, keys: Option<&tls::Keys>, way: Topology) -> (Network, Address) {
    let mut settings = Settings::new(1);
    settings.checks = false;
    // Behind the time at which the tokens were issued.
    settings.start = Wall(1_800_000_000_000_000);
    // Only the network moves the time, and no trace is kept.
    settings.poll_nanos_max = 0;
    settings.trace = Depth::Last(0);
    let simulation = Simulation::new(settings);
    let origin = simulation.host("origin", [10, 0, 2, 1]);
    let origin_address = origin.address(9_000);
    let (to, plane) = match way {
        Topology::Direct => (origin_address.clone(), None),
        Topology::Proxied(rules) => {
            let listen = Address::Inet(([10, 0, 1, 1], 80).into());
            let text = gateway::configuration(protocols, keys, &listen, &origin_address);
            let plane = Plane::start(&simulation, &listen, format!("{text}{}{}", rules.route(), rules.tables()));
            (listen, Some(plane))
        }
    };
    ((simulation, origin, to, plane), origin_address)
}

/// A warm connection, and exchanges on it.
fn exchanges(talk: ExchangeShape, way: Topology) -> Run {
    let ((simulation, origin, to, mut plane), address) = network(way);
    origin.spawn(serve(origin.clone(), address, talk.clone()));
    let client = simulation.host("client", [10, 0, 3, 1]);
    let connecting = async move { client.connect(&to, Tick::NEVER).await.expect("somebody listens") };
    let stream = Rc::new(simulation.run(connecting).expect("a run without faults"));
    let mut run = move |times| {
        plane.iter_mut().for_each(Plane::answer);
        simulation.run(ask(stream.clone(), talk.clone(), times)).expect("a run without faults");
    };
    // What the first one has to ask for is there before the others.
    run(1);
    run(WARM_UP);
    Run::many(run)
}

/// A warm connection of a client, and GETs on it, whatever client and origin speak.
fn mixed(protocols: Protocols, way: Topology) -> Run {
    let keys = protocols.contains(&Protocol::Http1Tls).then(tls::Keys::new);
    let ((simulation, origin, to, mut plane), address) = network_of(protocols, keys.as_ref(), way);
    let [client, upstream] = protocols;
    let host = simulation.host("client", [10, 0, 3, 1]);
    let mut ends = Vec::new();
    // Without a gateway there is one exchange in what each side speaks.
    match way {
        Topology::Proxied(_) => {
            start_origin(&origin, upstream, &address, keys.as_ref());
            ends.push(simulation.run(asker(host, client, to, keys.as_ref().map(tls::Keys::client))));
        }
        Topology::Direct => {
            for (place, protocol) in protocols.into_iter().enumerate() {
                let address = origin.address(9_000 + place as u16);
                start_origin(&origin, protocol, &address, keys.as_ref());
                ends.push(simulation.run(asker(host.clone(), protocol, address, keys.as_ref().map(tls::Keys::client))));
            }
        }
    }
    let ends: Vec<Asker> = ends.into_iter().map(|end| end.expect("a run without faults")).collect();
    let mut run = move |times| {
        plane.iter_mut().for_each(Plane::answer);
        for end in &ends {
            simulation.run(end.clone().ask(times)).expect("a run without faults");
        }
    };
    run(WARM_UP);
    Run::many(run)
}

fn start_origin(origin: &Sim, protocol: Protocol, address: &Address, keys: Option<&tls::Keys>) {
    let (sim, address, talk) = (origin.clone(), address.clone(), ExchangeShape::get(100));
    match (protocol, keys) {
        (Protocol::Http2, _) => origin.spawn(http2::serve(sim, address, body(100).into_bytes().into())),
        (Protocol::Http1Tls, Some(keys)) => origin.spawn(serve_tls(sim, address, talk, keys.server())),
        (Protocol::Http1 | Protocol::Http1Tls, _) => origin.spawn(serve(sim, address, talk)),
    }
}

/// A client's connection.
#[derive(Clone)]
enum Asker {
    Http1(Rc<SimStream>),
    Http1Tls(Rc<tls::TlsLine>),
    Http2(http2::Client),
}

async fn asker(host: Sim, protocol: Protocol, to: Address, config: Option<Arc<ClientConfig>>) -> Asker {
    let stream = host.connect(&to, Tick::NEVER).await.expect("somebody listens");
    match (protocol, config) {
        (Protocol::Http2, _) => Asker::Http2(http2::connect(stream).await),
        (Protocol::Http1Tls, Some(config)) => Asker::Http1Tls(Rc::new(tls::connect(stream, config).await)),
        (Protocol::Http1 | Protocol::Http1Tls, _) => Asker::Http1(Rc::new(stream)),
    }
}

impl Asker {
    async fn ask(self, times: u64) {
        match self {
            Asker::Http1(stream) => ask(stream, ExchangeShape::get(100), times).await,
            Asker::Http1Tls(line) => ask(line, ExchangeShape::get(100), times).await,
            Asker::Http2(client) => http2::ask(client, times).await,
        }
    }
}

/// A warm stream of server-sent events: each is sent when the one before it has arrived, as a chunk that comes alone.
fn events(way: Topology) -> Run {
    let ((simulation, origin, to, mut plane), address) = network(way);
    let wanted = Rc::new(Wanted::default());
    origin.spawn(send_events(origin.clone(), address, wanted.clone()));
    let client = simulation.host("client", [10, 0, 3, 1]);
    let connecting = async move {
        let stream = client.connect(&to, Tick::NEVER).await.expect("somebody listens");
        stream.write(Buf::copied(GET), Tick::NEVER).await.0.expect("the other end reads");
        let (read, head) = stream.read(Buf::with_capacity(2 * EVENT.len()), Tick::NEVER).await;
        read.expect("the other end answers");
        assert!(head.filled().starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(head.filled()));
        stream
    };
    let stream = Rc::new(simulation.run(connecting).expect("a run without faults"));
    let mut run = move |times| {
        plane.iter_mut().for_each(Plane::answer);
        simulation.run(read_events(stream.clone(), wanted.clone(), times)).expect("a run without faults");
    };
    run(WARM_UP);
    Run::many(run)
}

/// Does the client want another event?
#[derive(Default)]
struct Wanted {
    more: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

async fn read_events(stream: Rc<SimStream>, wanted: Rc<Wanted>, times: u64) {
    let mut buf = Buf::with_capacity(2 * EVENT.len());
    for _ in 0..times {
        wanted.more.set(true);
        wanted.waker.take().into_iter().for_each(Waker::wake);
        buf.reset(0);
        let read;
        (read, buf) = stream.read(buf, Tick::NEVER).await;
        read.expect("the stream goes on");
        assert_eq!(buf.filled(), EVENT, "an event was held back, joined or cut");
    }
}

async fn send_events(sim: Sim, address: Address, wanted: Rc<Wanted>) {
    let stream = sim.listen(&address).accept().await.expect("a network without faults");
    let (read, _) = stream.read(Buf::with_capacity(4_096), Tick::NEVER).await;
    read.expect("a request");
    let mut buf = Buf::copied(EVENTS_HEAD);
    loop {
        let written;
        (written, buf) = stream.write(buf, Tick::NEVER).await;
        if written.is_err() {
            return;
        }
        poll_fn(|context| {
            if wanted.more.take() {
                return Poll::Ready(());
            }
            wanted.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        if buf.capacity() < EVENT.len() {
            buf = Buf::with_capacity(EVENT.len());
        }
        buf.reset(0);
        assert!(buf.append(EVENT), "it was made as large as an event");
    }
}

const EVENTS_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A chunk with an event of 100 bytes.
const EVENT: &[u8] =
    b"64\r\nevent: token\ndata: {\"index\":471,\"delta\":\"a token of that length\",\"finish_reason\":null,\
\"model\":\"m\"}\n\n\r\n";

/// The client: sends a request and reads the whole response, this many times.
async fn ask(stream: Rc<impl Line>, talk: ExchangeShape, times: u64) {
    let mut request = Buf::with_capacity(talk.request.len());
    let mut answer = Buf::with_capacity(talk.answer.len() + 1_024);
    for _ in 0..times {
        request.reset(0);
        assert!(request.append(&talk.request), "it was made as large as the request");
        let written;
        (written, request) = stream.send(request).await;
        written.expect("the other end reads");
        answer.reset(0);
        while !answer.filled().ends_with(talk.answer_end) {
            let read;
            (read, answer) = stream.receive(answer).await;
            assert!(read.expect("the other end answers") > 0, "closed within an answer");
        }
        assert!(answer.filled().starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(answer.filled()));
    }
}

/// The origin: the same answer to every request.
async fn serve(sim: Sim, address: Address, talk: ExchangeShape) {
    let listener = sim.listen(&address);
    loop {
        let stream = listener.accept().await.expect("a network without faults");
        sim.spawn(serve_one(stream, talk.clone()));
    }
}

async fn serve_tls(sim: Sim, address: Address, talk: ExchangeShape, config: Arc<ServerConfig>) {
    let listener = sim.listen(&address);
    loop {
        let stream = listener.accept().await.expect("a network without faults");
        let (talk, config) = (talk.clone(), config.clone());
        sim.spawn(async move { serve_one(tls::accept(stream, config).await, talk).await });
    }
}

async fn serve_one(stream: impl Line, talk: ExchangeShape) {
    let mut request = Buf::with_capacity(talk.request.len() + 1_024);
    let mut answer = Buf::with_capacity(talk.answer.len());
    loop {
        request.reset(0);
        while !request.filled().ends_with(talk.request_end) {
            let read;
            (read, request) = stream.receive(request).await;
            if !matches!(read, Ok(1..)) {
                return;
            }
        }
        answer.reset(0);
        assert!(answer.append(&talk.answer), "it was made as large as the answer");
        let written;
        (written, answer) = stream.send(answer).await;
        if written.is_err() {
            return;
        }
    }
}
