// SPDX-License-Identifier: Apache-2.0
//! Proves that a kept-alive request on the plain proxy path allocates nothing after warm-up: a counting allocator
//! watches the shard's thread while a client sends requests through it to an origin. Fails where one request allocates.
//! It checks HTTP/2 frames in the same way, without a network.
//!
//! Not a timing: run it with `cargo bench --bench allocations`, or with `--profile quick` for a quicker build. With
//! `BACKTRACE=1` in its environment it shows where the first of what is counted comes from.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]
//! This measures no time. Run it with `cargo bench --bench allocations`, or with `--profile quick` for a quicker build.
//! With `BACKTRACE=1` it prints where the first counted allocations come from.

use std::alloc::{GlobalAlloc, Layout};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use turnpike::bench::base::{Address, ListenerId, Tick};
use turnpike::bench::config::Plan;
use turnpike::bench::config::{ConfigSource, Environment, directory, load};
use turnpike::bench::edge::run;
use turnpike::bench::link::{Counters, FromShard, ListeningSocket, Outbox, ShardEnd, ToShard, mesh};
use turnpike::bench::net::sockets::ListenSocket;
use turnpike::bench::net::{Bell, DriverChoice, Net, RunOptions, sockets, uring};
use turnpike::bench::wire::h2::connection::{Config, Connection, Ending, Event, Input, Role};

const WARM_UP: usize = 2_000;
const MEASURED: usize = 20_000;
/// Allocations a second that housekeeping may make; it also hands log lines over.
const HOUSEKEEPING: u64 = 20;
/// Requests per allocation with an access log: the shard hands full line buffers to the control plane.
const REQUESTS_IN_A_BUFFER: u64 = 100;
/// SHA-256 of the key of the requests that have one.
const KEY_HASH: &str = "c79a5816e6336cc6374311e91478acd0a6d4a76d6ed84343aa42c4acde14f6c4";
/// Places that are shown.
const SHOWN: u64 = 5;

struct Counting;

static ON_SHARD: AtomicU64 = AtomicU64::new(0);
/// Places still to be shown.
static TO_SHOW: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_SHARD: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if IS_SHARD.with(Cell::get) {
        ON_SHARD.fetch_add(1, Ordering::Relaxed);
        if TO_SHOW.load(Ordering::Relaxed) > 0 {
            TO_SHOW.fetch_sub(1, Ordering::Relaxed);
            // What is shown allocates, too.
            IS_SHARD.with(|is| is.set(false));
            eprintln!("{}", Backtrace::force_capture());
            IS_SHARD.with(|is| is.set(true));
        }
    }
}

// SAFETY: every call goes to mimalloc unchanged; counting touches no memory of the allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { mimalloc::MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { mimalloc::MiMalloc.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { mimalloc::MiMalloc.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    // First, while no shard's housekeeping is counted.
    let framed = frames_allocate();
    let origin = origin();
    let logged = requests_allocate(origin, "unused.log", MEASURED as u64 / REQUESTS_IN_A_BUFFER);
    let unlogged = requests_allocate(origin, "off", 0);
    if logged || unlogged || framed {
        eprintln!("test result: FAILED. a kept-alive request or a frame allocates");
        std::process::exit(1);
    }
    println!("test result: ok. 9 passed; no kept-alive request allocates, and no frame of HTTP/2");
}

/// Do DATA frames in both directions, through a client's and a server's state machine, allocate after warm-up?
fn frames_allocate() -> bool {
    IS_SHARD.with(|is| is.set(true));
    let config = Rc::new(Config::default());
    let (mut client, mut server) =
        (Connection::client(config.clone(), Tick::ZERO), Connection::server(config, Tick::ZERO));
    let (mut there, mut back) = (Vec::with_capacity(256 * 1024), Vec::with_capacity(256 * 1024));
    let mut before = 0;
    for turn in 0..WARM_UP + MEASURED {
        if turn == WARM_UP {
            before = ON_SHARD.load(Ordering::Relaxed);
        }
        let opened = client.open(Ending::More, |out, _| out.extend_from_slice(&[0x83, 0x86, 0x84]));
        let key = opened.expect("within the limit");
        client.send_data(key, &[b'x'; 40_000], Ending::Last, Tick::ZERO).expect("it is open");
        client.take_output(&mut there);
        read(&mut server, &there);
        there.clear();
        server.take_output(&mut back);
        read(&mut client, &back);
        back.clear();
    }
    let count = ON_SHARD.load(Ordering::Relaxed) - before;
    IS_SHARD.with(|is| is.set(false));
    println!("HTTP/2: {count} allocations for {MEASURED} streams with DATA of 40 000 bytes each way");
    count > 0
}

/// Reads DATA; a server sends the same amount back.
fn read(connection: &mut Connection, bytes: &[u8]) {
    let mut input = Input::new(bytes);
    while let Some(event) = connection.next(&mut input, Tick::ZERO).expect("both keep the rules") {
        let Event::Data { key, bytes, end } = event else { continue };
        connection.release(key, bytes.len());
        if !end {
            continue;
        }
        if connection.role() == Role::Server {
            connection.send_head(key, Ending::More, |out, _| out.push(0x88)).expect("it is open");
            connection.send_data(key, &[b'y'; 40_000], Ending::Last, Tick::ZERO).expect("it is open");
        }
        connection.forget(key, Tick::ZERO);
    }
}

/// Do requests through a shard with this access log allocate more than log buffers and housekeeping may?
fn requests_allocate(origin: SocketAddr, log: &str, buffers: u64) -> bool {
    let any = Address::Inet(SocketAddr::from(([127, 0, 0, 1], 0)));
    let socket = sockets::listen(&any, &sockets::ListenOptions::default()).expect("a port of the kernel's choice");
    let Address::Inet(listen) = socket.address else { panic!("it listens on TCP") };
    let text = format!(
        "[server]\nshards = 1\n[log.access]\npath = \"{log}\"\nformat = \"json\"\n\
         [[listener]]\nbind = \"{listen}\"\n\
         [policy.gzip]\ncompression = {{ min_length = 1 }}\n\
         [[route]]\nname = \"all\"\npath_prefix = \"/\"\nto = \"http://{origin}\"\n\
         [[route]]\nname = \"coded\"\npath_prefix = \"/coded\"\nto = \"http://{origin}\"\npolicies = \"gzip\"\n\
         response_headers = {{ set = {{ content-type = \"text/plain\" }} }}\n\
         [policy.keys.api_key]\nheader = \"x-api-key\"\n\
         [policy.sold.plan]\n\
         [policy.minute]\nrate_limit = {{ rate = \"1000000000/m\", key = \"consumer\" }}\n\
         [plan.gold]\nlimits = [{{ count = 4000000000, per = \"month\" }}, {{ count = 4000000, per = \"1s\" }}]\n\
         concurrency = 10\n\
         [[consumer]]\nname = \"acme\"\nplan = \"gold\"\nkeys = [{{ sha256 = \"{KEY_HASH}\" }}]\n\
         [[route]]\nname = \"limited\"\npath_prefix = \"/limited\"\nto = \"http://{origin}\"\n\
         policies = [\"keys\", \"minute\", \"sold\"]\n"
    );
    let source = ConfigSource::Text { name: "bench".to_owned(), text };
    let loaded = load(&source, &Environment::sealed()).unwrap_or_else(|reports| panic!("{reports:?}"));
    run_shard(loaded.plan, socket);
    let mut client = connect(listen);
    let mut failed = false;
    for (name, request, ends) in [
        ("GET", &b"GET /x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"[..], &b"hello"[..]),
        ("POST", b"POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (
            "GET with key and limits",
            b"GET /limited HTTP/1.1\r\nHost: a.example\r\nX-Api-Key: loadtest-key-9c1d0f8e2b7a4c6d5e3f1a2b\r\n\r\n",
            b"hello",
        ),
        ("GET with gzip", b"GET /coded HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n", b"\r\n0\r\n\r\n"),
    ] {
        ask(&mut client, request, ends, WARM_UP);
        let before = ON_SHARD.load(Ordering::Relaxed);
        let shown = if std::env::var_os("BACKTRACE").is_some() { SHOWN } else { 0 };
        TO_SHOW.store(shown, Ordering::Relaxed);
        let start = Instant::now();
        ask(&mut client, request, ends, MEASURED);
        let beside = buffers + HOUSEKEEPING * (1 + start.elapsed().as_secs());
        TO_SHOW.store(0, Ordering::Relaxed);
        let count = ON_SHARD.load(Ordering::Relaxed) - before;
        println!(
            "{name}, log {log}: {count} allocations on the shard for {MEASURED} requests (allowed beside: {beside})"
        );
        failed |= count > beside;
    }
    failed
}

/// An origin that answers every request with the same bytes.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    let mut buffer = [0; 16_384];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 || stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").is_err() {
            break;
        }
    }
}

fn run_shard(plan: Arc<Plan>, socket: ListenSocket) {
    let address = socket.address.clone();
    let counters = Arc::new(
        Counters::new(plan.routes.len(), plan.upstreams.len(), plan.policies.len()).with_versions(plan.versions.len()),
    );
    let bell = sockets::bell().expect("an eventfd");
    let (to_shard, inbox) = crossbeam_channel::bounded(16);
    let (queue, from_shard) = crossbeam_channel::bounded(1_024);
    let (reports, reported) = crossbeam_channel::bounded(16);
    let end = ShardEnd {
        shard: 0,
        inbox,
        outbox: Outbox { queue, reports, wake: Arc::new(|| ()), shard: 0 },
        mesh: mesh(&[Bell::silent()]).remove(0),
    };
    let generation = plan.generation;
    let sockets = vec![ListeningSocket { listener: ListenerId(0), address, socket }];
    let directory = directory(&plan);
    to_shard.send(ToShard::Prepare { plan, counters, sockets, transcoders: Vec::new() }).expect("an empty queue");
    to_shard.send(directory).expect("room for it");
    to_shard.send(ToShard::Commit { generation }).expect("room for it");
    bell.ring();
    thread::spawn(move || {
        IS_SHARD.with(|is| is.set(true));
        let driver = DriverChoice::from_environment().expect("a driver's name");
        let options = RunOptions { driver, ..RunOptions::default() };
        uring::run(&options, |net| {
            let waiter = net.bell_waiter(&bell).expect("a bell can be heard");
            run(net, end, waiter, "bench")
        })
        .expect("a shard");
    });
    while let Ok(message) = reported.recv() {
        if matches!(message, FromShard::Committed { .. }) {
            break;
        }
    }
    // Reads and drops the shard's other messages, as the log writer would.
    thread::spawn(move || {
        let _keep_open = (to_shard, reported);
        while from_shard.recv().is_ok() {}
    });
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the shard listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// Asks so many times, and reads each response up to what it `ends` with.
fn ask(stream: &mut TcpStream, request: &[u8], ends: &[u8], times: usize) {
    let mut buffer = [0; 4_096];
    for _ in 0..times {
        stream.write_all(request).expect("the shard reads");
        let mut answer = Vec::with_capacity(256);
        while !answer.ends_with(ends) {
            let count = stream.read(&mut buffer).expect("the shard answers");
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..count]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    }
}
