// SPDX-License-Identifier: Apache-2.0
//! What must hold of gRPC bodies for any bytes whatsoever, as `wire::check` has it of heads and chunks.

use std::sync::OnceLock;

use crate::wire::grpc::json::{Incoming, Lookup, Options, Transcoder, Unannotated, Unknown, sample};
use crate::wire::grpc::message::{Dialect, Offence, Part, Scanner};
use crate::wire::grpc::status::{Code, End};
use crate::wire::grpc::web::{Coding, Decoder, Encoder, TrailersFrame};
use crate::wire::grpc::{json, message, reflection, status, timeout};

/// Small enough that inputs reach it.
const BYTES_MAX: u32 = 64;

/// A body: splits do not matter, and what was decoded from gRPC-Web can be encoded and decoded again.
pub fn body(bytes: &[u8]) {
    for dialect in [Dialect::Grpc, Dialect::Web] {
        let whole = scanned(dialect, bytes, bytes.len().max(1));
        for step in [1, 2, 3, 7] {
            assert_eq!(scanned(dialect, bytes, step), whole);
        }
    }
    for coding in [Coding::Binary, Coding::Text] {
        let whole = decoded(coding, bytes, bytes.len().max(1));
        for step in [1, 2, 3, 5] {
            assert_eq!(decoded(coding, bytes, step), whole, "in steps of {step}");
        }
        let Ok((messages, trailers)) = whole else { continue };
        assert!(status::are_lines(&trailers));
        let _ = status::End::read_lines(&trailers);
        let mut encoder = Encoder::new(coding, BYTES_MAX);
        let mut again = Vec::new();
        messages.chunks(5).for_each(|piece| encoder.push(piece, &mut again).expect("messages that were accepted"));
        encoder.trailers(&trailers, &mut again).expect("whole messages");
        assert_eq!(decoded(coding, &again, 3), Ok((messages, trailers)));
    }
    let _ = (timeout::parse(bytes), reflection::read(bytes));
}

/// Payloads one after the other, and how many there were.
fn scanned(dialect: Dialect, bytes: &[u8], step: usize) -> Result<(Vec<u8>, u64), Offence> {
    let mut scanner = Scanner::new(dialect, BYTES_MAX);
    let mut payloads = Vec::new();
    for mut rest in bytes.chunks(step) {
        while let Some(piece) = scanner.next(rest)? {
            assert!(piece.raw > 0 && piece.raw <= rest.len());
            match piece.part {
                Part::Prefix | Part::Start(_) => assert!(piece.raw <= message::PREFIX_BYTES),
                Part::Payload => payloads.extend_from_slice(&rest[..piece.raw]),
            }
            rest = &rest[piece.raw..];
        }
    }
    scanner.finish().map(|()| (payloads, scanner.messages()))
}

fn decoded(coding: Coding, bytes: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>), Offence> {
    let mut decoder = Decoder::new(coding, TrailersFrame::Taken, BYTES_MAX);
    let mut out = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.push(piece, &mut out)?;
    }
    decoder.finish().map(|()| (out, decoder.trailers().to_vec()))
}

/// Bytes as a body in JSON, as the message of an answer, and as a path with a query: nothing panics, what is written
/// is JSON, and what one direction accepts the other shows.
pub fn transcoded(bytes: &[u8]) {
    static TRANSCODER: OnceLock<Transcoder> = OnceLock::new();
    let transcoder = TRANSCODER.get_or_init(|| {
        let options = Options { unannotated: Unannotated::Post, unknown_query: Unknown::Ignore, ..Options::default() };
        sample::transcoder(options)
    });
    let (path, query) = bytes.split_at(memchr::memchr(b'\n', bytes).unwrap_or(bytes.len()));
    let found = ["GET", "POST", "PUT"].map(|method| transcoder.find(method.as_bytes(), path));
    let target = Incoming { path, query, content_type: b"" };
    for lookup in found {
        if let Lookup::Found(route) = lookup {
            let _ = transcoder.request(&route, &target, b"", &mut Vec::new());
        }
    }
    let Lookup::Found(route) = transcoder.find(b"POST", b"/v1/everything") else { panic!("the sample has this rule") };
    let incoming = Incoming { path: b"/v1/everything", ..Incoming::default() };
    let mut request = Vec::new();
    let mut shown = Vec::new();
    if transcoder.request(&route, &incoming, bytes, &mut request).is_ok() {
        let answer = transcoder.answer(&route, &request, &End::plain(Code::Ok, ""), &mut shown);
        assert!(is_json(&shown));
        if answer.status == 200 {
            let mut again = Vec::new();
            transcoder.request(&route, &incoming, &shown, &mut again).expect("what was shown is read");
            assert_eq!(again.len(), request.len());
        }
    }
    let mut framed = Vec::new();
    message::write(bytes, &mut framed);
    shown.clear();
    transcoder.answer(&route, &framed, &End::plain(Code::Ok, ""), &mut shown);
    assert!(is_json(&shown));
    shown.clear();
    transcoder.error(&End { code: Code::Aborted, message: bytes, details: bytes }, &mut shown);
    assert!(is_json(&shown));
}

/// Bytes as a descriptor set and as a path template: they load, or are refused with words.
pub fn loaded(bytes: &[u8]) {
    let options = Options { unannotated: Unannotated::Post, ..Options::default() };
    match Transcoder::from_descriptor_set(bytes, options) {
        Ok(transcoder) => assert!(transcoder.rules().count() >= transcoder.calls().len()),
        Err(errors) => assert!(!errors.is_empty() && errors.iter().all(|error| !error.to_string().is_empty())),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        json::check_template(text);
    }
}

fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}
