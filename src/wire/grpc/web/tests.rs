// SPDX-License-Identifier: Apache-2.0
//! Frames both ways, as bytes and as text, in any split.

use proptest::prelude::*;

use super::*;
use crate::wire::grpc::message;
use crate::wire::grpc::{Code, End, check};

const LINES: &[u8] = b"grpc-status: 0\r\ngrpc-message: fine\r\n";

fn encoded(coding: Coding, messages: &[&[u8]], step: usize) -> Vec<u8> {
    let mut body = Vec::new();
    messages.iter().for_each(|payload| message::write(payload, &mut body));
    let mut encoder = Encoder::new(coding, 1_000);
    let mut out = Vec::new();
    body.chunks(step).for_each(|piece| encoder.push(piece, &mut out).unwrap());
    encoder.trailers(LINES, &mut out).unwrap();
    out
}

fn decoded(coding: Coding, body: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>), Offence> {
    let mut decoder = Decoder::new(coding, TrailersFrame::Taken, 1_000);
    let mut out = Vec::new();
    for piece in body.chunks(step) {
        decoder.push(piece, &mut out)?;
    }
    decoder.finish()?;
    Ok((out, decoder.trailers().to_vec()))
}

#[test]
fn there_and_back() {
    let messages = [&b"ab"[..], b"", b"cdefg"];
    let mut plain = Vec::new();
    messages.iter().for_each(|payload| message::write(payload, &mut plain));
    for coding in [Coding::Binary, Coding::Text] {
        for step in 1..20 {
            let body = encoded(coding, &messages, step);
            assert_eq!(decoded(coding, &body, step), Ok((plain.clone(), LINES.to_vec())));
        }
    }
}

#[test]
fn a_message_leaves_whole() {
    let mut encoder = Encoder::new(Coding::Text, 100);
    let mut out = Vec::new();
    encoder.push(&[0, 0, 0, 0, 1, 7], &mut out).unwrap();
    assert_eq!(out, b"AAAAAAEH");
    encoder.push(&[0, 0, 0, 0, 2, 7], &mut out).unwrap();
    assert_eq!(out.len(), 16);
    encoder.push(&[8, 0], &mut out).unwrap();
    assert_eq!(&out[16..], b"CA==");
    assert_eq!(encoder.trailers(LINES, &mut out), Err(Offence::Truncated));
}

#[test]
fn the_last_line_may_lack_its_end() {
    let body = b"\x80\0\0\0\x0egrpc-status: 5";
    let (_, trailers) = decoded(Coding::Binary, body, 3).unwrap();
    assert_eq!(trailers, b"grpc-status: 5\r\n");
    assert_eq!(End::read_lines(&trailers).unwrap().code, Code::NotFound);
    assert_eq!(decoded(Coding::Binary, b"\x80\0\0\0\0", 1), Ok((vec![], vec![])));
}

#[test]
fn what_is_refused() {
    let broken = |body: &[u8]| decoded(Coding::Binary, body, 7).unwrap_err();
    assert_eq!(broken(b"\x80\0\0\0\x03a b"), Offence::Trailers);
    assert_eq!(broken(b"\x81\0\0\0\x05a: b\n"), Offence::Trailers);
    assert_eq!(broken(b"\x80\0\0\0\0\0"), Offence::Trailers);
    assert_eq!(broken(b"\x80\0\0\0\x05a: b"), Offence::Truncated);
    assert_eq!(broken(b"\x82"), Offence::Flag);
    assert_eq!(broken(b"\0\0\x10\0\0"), Offence::TooLarge);
    let mut request = Decoder::new(Coding::Binary, TrailersFrame::Refused, 10);
    assert_eq!(request.push(b"\x80\0\0\0\0", &mut Vec::new()), Err(Offence::Trailers));
    let mut long = Decoder::new(Coding::Binary, TrailersFrame::Taken, u32::MAX);
    assert_eq!(long.push(b"\x80\0\xff\xff\xff", &mut Vec::new()), Err(Offence::TooLarge));
    let mut text = Decoder::new(Coding::Text, TrailersFrame::Taken, 10);
    text.push(b"AAA", &mut Vec::new()).unwrap();
    assert_eq!(text.finish(), Err(Offence::Base64));
}

#[test]
fn names_of_trailers_are_in_lower_case() {
    let mut out = Vec::new();
    write_line(b"X-Sum", b"1", &mut out);
    assert_eq!(out, b"x-sum: 1\r\n");
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(prop_oneof![Just(0), Just(0x80), 0u8..12, any::<u8>()], 0..60)) {
        check::body(&bytes);
    }
}
