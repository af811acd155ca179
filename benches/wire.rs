// SPDX-License-Identifier: Apache-2.0
//! The cost of one request in the HTTP/1 and HTTP/2 codecs.
//!
//! `h2_..._first` is the first message of a connection, with literals only; `h2_..._again` is one whose fields are in
//! the HPACK table, except those that never are.
//!
//! For people: `cargo bench --bench wire`; for the gate, which counts instructions, see `pieces`. `httparse_request`
//! and `httparse_response` time another parser for comparison; they are not gated.

mod pieces;

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::rc::Rc;

use pieces::{Piece, Run};
use turnpike::bench::base::{Scheme, Span, Tick};
use turnpike::bench::wire::h1::body::Body;
use turnpike::bench::wire::h1::write::{self, After, OutgoingRequest, OutgoingResponse};
use turnpike::bench::wire::h1::{Caps, request, response};
use turnpike::bench::wire::h2::connection::{self as h2_connection, Connection, Ending, Event, Input};
use turnpike::bench::wire::h2::frame::{self, Kind};
use turnpike::bench::wire::h2::hpack::{Decoder, Encoder};
use turnpike::bench::wire::h2::message::{self, Content};
use turnpike::bench::wire::h2::stream::Key;
use turnpike::bench::wire::h2::{Section, huffman, write as h2};
use turnpike::bench::wire::head::{BodyLength, Method, Request, RequestHead, Response, ResponseHead, Version};
use turnpike::bench::wire::outgoing::HostHeader;
use turnpike::bench::wire::patch::Patch;
use turnpike::bench::wire::target::{self, PathRules};

const REQUEST: &[u8] = b"GET /shop/items/4711?sort=price&page=2 HTTP/1.1\r\n\
Host: www.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://www.example.com/shop\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
Connection: keep-alive\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: origin/1.0\r\n\
Date: Fri, 20 Nov 2026 08:49:37 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Length: 100\r\n\
Connection: keep-alive\r\n\
ETag: \"0123456789abcdef\"\r\n\
Cache-Control: max-age=60\r\n\
Vary: Accept-Encoding\r\n\r\n";

const DATE: &[u8; 29] = b"Fri, 20 Nov 2026 08:49:37 GMT";

fn piece(name: &str, mut run: impl FnMut() + 'static) -> Piece {
    Piece::new(format!("wire/{name}"), || Run::many(move |times| (0..times).for_each(|_| run())))
}

fn main() {
    pieces::main([parsing(), writing(), sections(), blocks(), connections(), others()].into_iter().flatten().collect());
}

fn parsing() -> Vec<Piece> {
    let caps = Caps::default();
    let mut head = RequestHead::default();
    let mut answer = ResponseHead::default();
    vec![
        piece("httparse_request", || {
            let mut slots = [const { MaybeUninit::uninit() }; 128];
            let mut found = httparse::Request::new(&mut []);
            black_box(found.parse_with_uninit_headers(black_box(REQUEST), &mut slots)).expect("a request");
            black_box(&found);
        })
        .not_gated(),
        piece("parse_request", move || {
            black_box(request::parse(black_box(REQUEST), &caps, &mut head)).expect("a request");
        }),
        piece("httparse_response", || {
            let mut slots = [const { MaybeUninit::uninit() }; 128];
            let mut found = httparse::Response::new(&mut []);
            let config = httparse::ParserConfig::default();
            let parsed = config.parse_response_with_uninit_headers(&mut found, black_box(RESPONSE), &mut slots);
            black_box(parsed).expect("a response");
        })
        .not_gated(),
        piece("parse_response", move || {
            black_box(response::parse(black_box(RESPONSE), &caps, Method::Get, &mut answer)).expect("a response");
        }),
    ]
}

fn writing() -> Vec<Piece> {
    let caps = Caps::default();
    let mut head = RequestHead::default();
    request::parse(REQUEST, &caps, &mut head).expect("a request");
    let mut answer = ResponseHead::default();
    response::parse(RESPONSE, &caps, Method::Get, &mut answer).expect("a response");
    let (mut request_out, mut response_out) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    let (request_patch, response_patch) = (Patch::default(), Patch::default());
    vec![
        piece("write_request", move || {
            request_out.clear();
            let outgoing = OutgoingRequest {
                request: Request { bytes: black_box(REQUEST), head: &head },
                method: b"GET",
                target: head.target.of(REQUEST),
                host: HostHeader::Received,
                patch: black_box(&request_patch),
                body: head.body,
                after: After::KeepAlive,
                via: Some(b"turnpike"),
            };
            write::request(&mut request_out, &outgoing);
            black_box(&request_out);
        }),
        piece("write_response", move || {
            response_out.clear();
            let outgoing = OutgoingResponse {
                response: Response { bytes: black_box(RESPONSE), head: &answer },
                patch: black_box(&response_patch),
                body: answer.body,
                method: Method::Get,
                client: Version::H11,
                after: After::KeepAlive,
                date: DATE,
                via: None,
            };
            write::response(&mut response_out, &outgoing);
            black_box(&response_out);
        }),
    ]
}

/// The block of `REQUEST` as a client would write it, after `before` others.
fn request_block(before: usize) -> Vec<Vec<u8>> {
    let mut head = RequestHead::default();
    request::parse(REQUEST, &Caps::default(), &mut head).expect("a request");
    let (patch, mut encoder) = (Patch::default(), Encoder::new());
    let write = |_| {
        let mut block = Vec::new();
        h2::request(&mut block, &mut encoder, Scheme::Https, &outgoing_request(&head, &patch));
        block
    };
    (0..=before).map(write).collect()
}

/// The blocks of `RESPONSE`, likewise.
fn response_block(before: usize) -> Vec<Vec<u8>> {
    let mut head = ResponseHead::default();
    response::parse(RESPONSE, &Caps::default(), Method::Get, &mut head).expect("a response");
    let (patch, mut encoder) = (Patch::default(), Encoder::new());
    let write = |_| {
        let mut block = Vec::new();
        h2::response(&mut block, &mut encoder, &outgoing_response(&head, &patch));
        block
    };
    (0..=before).map(write).collect()
}

fn outgoing_request<'a>(head: &'a RequestHead, patch: &'a Patch) -> OutgoingRequest<'a> {
    OutgoingRequest {
        request: Request { bytes: black_box(REQUEST), head },
        method: b"GET",
        target: head.target.of(REQUEST),
        host: HostHeader::Received,
        patch: black_box(patch),
        body: head.body,
        after: After::KeepAlive,
        via: Some(b"turnpike"),
    }
}

fn outgoing_response<'a>(head: &'a ResponseHead, patch: &'a Patch) -> OutgoingResponse<'a> {
    OutgoingResponse {
        response: Response { bytes: black_box(RESPONSE), head },
        patch: black_box(patch),
        body: head.body,
        method: Method::Get,
        client: Version::H2,
        after: After::KeepAlive,
        date: DATE,
        via: None,
    }
}

/// Reads the last of `blocks` again and again.
fn reading(name: &str, blocks: Vec<Vec<u8>>, mut understand: impl FnMut(&mut Section) + 'static) -> Piece {
    let (mut decoder, mut section) = (Decoder::new(4096), Section::default());
    let last = blocks.len() - 1;
    for block in &blocks[..last] {
        decoder.decode(block, &mut section, 16 * 1024).expect("a block");
    }
    piece(name, move || {
        decoder.decode(black_box(&blocks[last]), &mut section, 16 * 1024).expect("a block");
        understand(&mut section);
        black_box(&section);
    })
}

fn sections() -> Vec<Piece> {
    let (mut first, mut again, mut head) = (RequestHead::default(), RequestHead::default(), ResponseHead::default());
    vec![
        reading("h2_parse_request_first", request_block(0), move |section| {
            message::request(section, Content::Ended, &mut first).expect("a request");
        }),
        reading("h2_parse_request_again", request_block(3), move |section| {
            message::request(section, Content::Ended, &mut again).expect("a request");
        }),
        reading("h2_parse_response_again", response_block(3), move |section| {
            message::response(section, Content::Follows, Method::Get, &mut head).expect("a response");
        }),
    ]
}

fn blocks() -> Vec<Piece> {
    let mut head = RequestHead::default();
    request::parse(REQUEST, &Caps::default(), &mut head).expect("a request");
    let mut answer = ResponseHead::default();
    response::parse(RESPONSE, &Caps::default(), Method::Get, &mut answer).expect("a response");
    let first = answer.clone();
    let (mut request_out, mut response_out, mut first_out) = (Vec::new(), Vec::new(), Vec::new());
    let (mut coded, mut decoded) = (Vec::new(), Vec::new());
    let patch = Patch::default();
    let (request_patch, response_patch, first_patch) = (patch.clone(), patch.clone(), patch);
    let (mut request_encoder, mut response_encoder) = (Encoder::new(), Encoder::new());
    let fresh = Encoder::new();
    assert!(huffman::encode(COOKIE, &mut coded));
    vec![
        piece("h2_write_request_again", move || {
            request_out.clear();
            let outgoing = outgoing_request(&head, &request_patch);
            h2::request(&mut request_out, &mut request_encoder, Scheme::Https, &outgoing);
            black_box(&request_out);
        }),
        piece("h2_write_response_first", move || {
            first_out.clear();
            h2::response(&mut first_out, &mut fresh.clone(), &outgoing_response(&first, &first_patch));
            black_box(&first_out);
        }),
        piece("h2_write_response_again", move || {
            response_out.clear();
            h2::response(&mut response_out, &mut response_encoder, &outgoing_response(&answer, &response_patch));
            black_box(&response_out);
        }),
        piece("huffman_encode_52", || {
            let mut out = Vec::with_capacity(64);
            assert!(huffman::encode(black_box(COOKIE), &mut out));
            black_box(&out);
        }),
        piece("huffman_decode_52", move || {
            decoded.clear();
            assert!(huffman::decode(black_box(&coded), &mut decoded));
            black_box(&decoded);
        }),
    ]
}

const COOKIE: &[u8] = b"session=0123456789abcdef0123456789abcdef; theme=dark";

/// A server after the exchange of SETTINGS, and a client's bytes: `REQUEST` repeatedly.
struct Served {
    connection: Connection,
    frame: Vec<u8>,
    stream: u32,
    out: Vec<u8>,
}

const NOW: Tick = Tick::ZERO;

impl Served {
    fn new() -> Served {
        let mut connection = Connection::server(Rc::new(h2_connection::Config::default()), NOW);
        let mut start = frame::PREFACE.to_vec();
        frame::header(&mut start, 0, Kind::Settings, 0, 0);
        assert_eq!(connection.next(&mut Input::new(&start), NOW), Ok(Some(Event::Settings)));
        let mut served = Served { connection, frame: Vec::new(), stream: 1, out: Vec::new() };
        for block in request_block(3) {
            served.frame.clear();
            frame::header(&mut served.frame, block.len(), Kind::Headers, frame::END_HEADERS | frame::END_STREAM, 1);
            served.frame.extend_from_slice(&block);
            let key = served.request();
            served.over(key);
        }
        served
    }

    /// Receives a request's HEADERS on a new stream.
    fn request(&mut self) -> Key {
        self.frame[5..9].copy_from_slice(&self.stream.to_be_bytes());
        self.stream += 2;
        match self.connection.next(&mut Input::new(black_box(&self.frame)), NOW) {
            Ok(Some(Event::Head { key, .. })) => key,
            other => panic!("{other:?}"),
        }
    }

    fn over(&mut self, key: Key) {
        self.connection.forget(key, NOW);
        self.out.clear();
        self.connection.take_output(&mut self.out);
        black_box(&self.out);
    }
}

fn connections() -> Vec<Piece> {
    let (mut receiving, mut answering, mut uploading) = (Served::new(), Served::new(), Served::new());
    uploading.frame[4] = frame::END_HEADERS;
    let upload = uploading.request();
    let mut data = Vec::new();
    frame::header(&mut data, 16_384, Kind::Data, 0, upload.id());
    data.resize(data.len() + 16_384, b'x');
    let mut streaming = Served::new();
    let key = streaming.request();
    streaming.connection.send_head(key, Ending::More, |out, _| out.push(0x88)).expect("a stream");
    let mut updates = Vec::new();
    frame::window_update(&mut updates, key.id(), 16_384);
    frame::window_update(&mut updates, 0, 16_384);
    vec![
        piece("h2_receive_request", move || {
            let key = receiving.request();
            receiving.over(key);
        }),
        piece("h2_request_and_answer", move || {
            let key = answering.request();
            let connection = &mut answering.connection;
            connection.send_head(key, Ending::More, |out, _| out.push(0x88)).expect("a stream");
            connection.send_data(key, black_box(&[b'x'; 100]), Ending::Last, NOW).expect("a stream");
            answering.over(key);
        }),
        piece("h2_receive_data", move || {
            let mut input = Input::new(black_box(&data));
            while let Some(event) = uploading.connection.next(&mut input, NOW).expect("within the window") {
                let Event::Data { key, bytes, .. } = event else { panic!("{event:?}") };
                uploading.connection.release(key, bytes.len());
            }
            uploading.out.clear();
            uploading.connection.take_output(&mut uploading.out);
        }),
        piece("h2_send_data", move || {
            streaming.connection.offer(key);
            let key = streaming.connection.pick().expect("it was offered");
            black_box(streaming.connection.grant(key, 16_384, Ending::More, NOW));
            let read = streaming.connection.next(&mut Input::new(black_box(&updates)), NOW);
            assert_eq!(read, Ok(None));
        }),
    ]
}

fn others() -> Vec<Piece> {
    let mut out = Vec::new();
    let mut large = b"10000\r\n".to_vec();
    large.resize(7 + 0x10000, b'x');
    let path = Span::new(4, 20);
    vec![
        piece("normal_path", move || {
            let path = path.of(black_box(REQUEST));
            black_box(target::normalise(path, &PathRules::default(), &mut out)).expect("a path");
        }),
        piece("chunk_of_64_kib", move || {
            let mut body = Body::response(BodyLength::Chunked);
            black_box(body.decode(black_box(&mut large), &mut Vec::new())).expect("a chunk");
        }),
        piece("chunk_of_one_event", || {
            let mut body = Body::response(BodyLength::Chunked);
            let mut event = *b"1a\r\ndata: 0123456789abcdef01\r\n\r\n";
            black_box(body.decode(black_box(&mut event), &mut Vec::new())).expect("a chunk");
        }),
    ]
}
