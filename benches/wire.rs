//! Heads in and out: what one request costs the codec.
//!
//! For people: `cargo bench --bench wire`; for the gate, which counts instructions, see `pieces`.
//! `httparse_request` and `httparse_response` are the floor that our strictness stands on.

mod pieces;

use std::hint::black_box;
use std::mem::MaybeUninit;

use pieces::{Piece, Run};
use turnpike::base::Span;
use turnpike::wire::h1::body::Body;
use turnpike::wire::h1::write::{self, After, HostHeader, OutgoingRequest, OutgoingResponse};
use turnpike::wire::h1::{Caps, request, response};
use turnpike::wire::head::{BodyLength, Method, Request, RequestHead, Response, ResponseHead, Version};
use turnpike::wire::patch::Patch;
use turnpike::wire::target::{self, PathRules};

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
    pieces::main([parsing(), writing(), others()].into_iter().flatten().collect());
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
        }),
        piece("parse_request", move || {
            black_box(request::parse(black_box(REQUEST), &caps, &mut head)).expect("a request");
        }),
        piece("httparse_response", || {
            let mut slots = [const { MaybeUninit::uninit() }; 128];
            let mut found = httparse::Response::new(&mut []);
            let config = httparse::ParserConfig::default();
            let parsed = config.parse_response_with_uninit_headers(&mut found, black_box(RESPONSE), &mut slots);
            black_box(parsed).expect("a response");
        }),
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
            black_box(body.advance(black_box(&large))).expect("a chunk");
        }),
        piece("chunk_of_one_event", || {
            let mut body = Body::response(BodyLength::Chunked);
            black_box(body.advance(black_box(b"1a\r\ndata: 0123456789abcdef01\r\n\r\n"))).expect("a chunk");
        }),
    ]
}
