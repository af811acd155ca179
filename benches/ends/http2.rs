// SPDX-License-Identifier: Apache-2.0
//! Both ends of HTTP/2 (RFC 9113), for requests and responses that are the same each time but for the stream. Heads
//! are written as HPACK makes them: the first of a connection puts its fields into the table, and all others refer to
//! them. What the gateway sends is not decoded; of its frames only what has to be known is looked at.

use std::cell::Cell;
use std::rc::Rc;

use turnpike::bench::base::{Address, Buf, Tick};
use turnpike::bench::net::sim::{Sim, SimStream};
use turnpike::bench::net::{Listener, Net, Stream};

/// Streams that a client opens at once.
pub(crate) const STREAMS: u64 = 8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER: usize = 9;
const BUF: usize = 64 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The field `:status: 200` (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;

/// A head: what is written in full each time, and the fields that the table takes up, by the static index of the name.
type Head = (&'static [u8], &'static [(u8, &'static str)]);

/// `GET http`, and a path that is not taken up.
const REQUEST: Head = (
    b"\x82\x86\x04\x1b/shop/items/4711?sort=price",
    &[
        (1, "www.example.com"),
        (58, "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"),
        (19, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        (16, "gzip, deflate, br, zstd"),
        (32, "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ],
);

const RESPONSE: Head = (
    &[STATUS_200],
    &[
        (54, "origin/1.0"),
        (33, "Fri, 20 Nov 2026 08:49:37 GMT"),
        (31, "text/html; charset=utf-8"),
        (24, "max-age=60"),
        (28, "100"),
    ],
);

/// A client's end of a connection.
#[derive(Clone)]
pub(crate) struct Client {
    stream: Rc<SimStream>,
    next: Rc<Cell<u32>>,
}

/// Connects, and says hello.
pub(crate) async fn connect(stream: SimStream) -> Client {
    let mut hello = Buf::with_capacity(BUF);
    push(&mut hello, PREFACE);
    frame(&mut hello, (SETTINGS, 0), 0, &[&[]]);
    // The connection's window is never shut.
    frame(&mut hello, (WINDOW_UPDATE, 0), 0, &[&0x7FFF_0000_u32.to_be_bytes()]);
    stream.write(hello, Tick::NEVER).await.0.expect("the other end reads");
    Client { stream: Rc::new(stream), next: Rc::new(Cell::new(1)) }
}

/// Asks at least so many times, on several streams at once, and reads all responses before it asks again.
pub(crate) async fn ask(client: Client, times: u64) {
    let Client { stream, next } = client;
    let (mut out, mut input) = (Buf::with_capacity(BUF), Buf::with_capacity(BUF));
    let mut frames = Frames::default();
    for _ in 0..times.div_ceil(STREAMS) {
        out.reset(0);
        for _ in 0..STREAMS {
            let id = next.get();
            next.set(id + 2);
            head(&mut out, id, (REQUEST, END_STREAM));
        }
        let mut ended = 0;
        while ended < STREAMS || !out.is_empty() {
            if !out.is_empty() {
                let written;
                (written, out) = stream.write(out, Tick::NEVER).await;
                written.expect("the other end reads");
                out.reset(0);
            }
            if ended == STREAMS {
                break;
            }
            input.reset(0);
            let read;
            (read, input) = stream.read(input, Tick::NEVER).await;
            assert!(read.expect("the other end answers") > 0, "closed within an answer");
            frames.read(input.filled(), |kind, flags, _, first| match kind {
                HEADERS => {
                    assert_eq!(first, STATUS_200, "a response of another status");
                    ended += u64::from(flags & END_STREAM);
                }
                DATA => ended += u64::from(flags & END_STREAM),
                SETTINGS if flags & ACK == 0 => frame(&mut out, (SETTINGS, ACK), 0, &[&[]]),
                SETTINGS | WINDOW_UPDATE => {}
                other => panic!("a frame of type {other} came"),
            });
        }
    }
}

/// The origin: the same answer to every request.
pub(crate) async fn serve(sim: Sim, address: Address, body: Rc<[u8]>) {
    let listener = sim.listen(&address);
    loop {
        let stream = listener.accept().await.expect("a network without faults");
        sim.spawn(serve_one(stream, body.clone()));
    }
}

async fn serve_one(stream: SimStream, body: Rc<[u8]>) {
    let (mut out, mut input) = (Buf::with_capacity(BUF), Buf::with_capacity(BUF));
    frame(&mut out, (SETTINGS, 0), 0, &[&[]]);
    let mut frames = Frames { skipped: PREFACE.len(), ..Frames::default() };
    loop {
        if !out.is_empty() {
            let written;
            (written, out) = stream.write(out, Tick::NEVER).await;
            if written.is_err() {
                return;
            }
        }
        out.reset(0);
        input.reset(0);
        let read;
        (read, input) = stream.read(input, Tick::NEVER).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        frames.read(input.filled(), |kind, flags, id, _| match kind {
            HEADERS => {
                assert!(flags & END_STREAM != 0, "a request with content");
                head(&mut out, id, (RESPONSE, 0));
                frame(&mut out, (DATA, END_STREAM), id, &[&body]);
            }
            SETTINGS if flags & ACK == 0 => frame(&mut out, (SETTINGS, ACK), 0, &[&[]]),
            SETTINGS | WINDOW_UPDATE => {}
            PING => panic!("the run takes longer than a peer may be silent"),
            other => panic!("a frame of type {other} came"),
        });
    }
}

/// Cuts received bytes into frames.
#[derive(Default)]
struct Frames {
    /// Bytes that still belong to what is not looked at.
    skipped: usize,
    header: [u8; HEADER + 1],
    filled: usize,
}

impl Frames {
    /// Hands on the type, the flags, the stream and the payload's first byte of each frame.
    fn read(&mut self, mut bytes: &[u8], mut came: impl FnMut(u8, u8, u32, u8)) {
        loop {
            let skipped = self.skipped.min(bytes.len());
            self.skipped -= skipped;
            bytes = &bytes[skipped..];
            // An empty payload has no first byte.
            let wanted = if self.filled >= HEADER && self.length() == 0 { HEADER } else { HEADER + 1 };
            let taken = (wanted - self.filled).min(bytes.len()).min(HEADER.saturating_sub(self.filled).max(1));
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            let length = self.length();
            if self.filled == HEADER + 1 || (self.filled == HEADER && length == 0) {
                let id = u32::from_be_bytes([self.header[5], self.header[6], self.header[7], self.header[8]]);
                came(self.header[3], self.header[4], id, self.header[9]);
                self.filled = 0;
                self.skipped = length.saturating_sub(1);
            } else if bytes.is_empty() {
                return;
            }
        }
    }

    fn length(&self) -> usize {
        u32::from_be_bytes([0, self.header[0], self.header[1], self.header[2]]) as usize
    }
}

/// Writes HEADERS. The first stream of a connection is the one with which the fields are taken up.
fn head(out: &mut Buf, id: u32, ((full, fields), flags): (Head, u8)) {
    let mut block = [0; 512];
    block[..full.len()].copy_from_slice(full);
    let mut length = full.len();
    let mut put = |bytes: &[u8]| {
        block[length..length + bytes.len()].copy_from_slice(bytes);
        length += bytes.len();
    };
    for (place, (name, value)) in fields.iter().enumerate() {
        if id == 1 {
            put(&[0x40 | name, value.len() as u8]);
            put(value.as_bytes());
        } else {
            put(&[0x80 | (62 + fields.len() - 1 - place) as u8]);
        }
    }
    frame(out, (HEADERS, flags | END_HEADERS), id, &[&block[..length]]);
}

fn frame(out: &mut Buf, (kind, flags): (u8, u8), id: u32, payload: &[&[u8]]) {
    let length = payload.iter().map(|part| part.len()).sum::<usize>() as u32;
    push(out, &length.to_be_bytes()[1..]);
    push(out, &[kind, flags]);
    push(out, &id.to_be_bytes());
    payload.iter().for_each(|part| push(out, part));
}

fn push(out: &mut Buf, bytes: &[u8]) {
    assert!(out.append(bytes), "it is made large enough");
}
