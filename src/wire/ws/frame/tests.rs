// SPDX-License-Identifier: Apache-2.0
//! Frames one by one, and the properties of `wire::ws::check` for inputs that proptest draws.

use proptest::prelude::*;

use super::*;
use crate::wire::ws::check;

/// A frame with its payload; clients' keys are zero.
fn frame(sender: Sender, first: u8, payload: usize) -> Vec<u8> {
    let mask = if sender == Sender::Client { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload {
        0..=125 => out.push(mask | payload as u8),
        126..=0xFFFF => {
            out.push(mask | 126);
            out.extend_from_slice(&(payload as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
    if mask != 0 {
        out.extend_from_slice(&[0; 4]);
    }
    out.resize(out.len() + payload, b'x');
    if first & 15 == 8 && payload >= 2 {
        let at = out.len() - payload;
        out[at..at + 2].copy_from_slice(&1000_u16.to_be_bytes());
    }
    out
}

/// Kind and message size of every frame.
fn scan(sender: Sender, bytes: &[u8]) -> Result<Vec<(Kind, u64)>, Violation> {
    scan_with(Extensions::None, sender, bytes)
}

fn scan_with(extensions: Extensions, sender: Sender, bytes: &[u8]) -> Result<Vec<(Kind, u64)>, Violation> {
    let mut scanner = Scanner::new(sender, extensions);
    let (mut at, mut found) = (0, Vec::new());
    loop {
        match scanner.step(&bytes[at..])? {
            ScanStep::Frame(frame) => {
                found.push((frame.kind, frame.message));
                at += frame.header;
            }
            ScanStep::Payload(count) => at += count,
            ScanStep::Partial => return Ok(found),
        }
    }
}

#[test]
fn lengths_of_all_three_kinds() {
    for sender in [Sender::Client, Sender::Server] {
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let bytes = [frame(sender, 0x82, payload), frame(sender, 0x81, 3)].concat();
            let expected = [(Kind::Message, payload as u64), (Kind::Message, 3)];
            assert_eq!(scan(sender, &bytes).unwrap(), expected, "{payload}");
        }
    }
}

#[test]
fn fragments_add_up_and_control_frames_come_between() {
    let sender = Sender::Client;
    let parts = [(0x01, 10), (0x89, 5), (0x00, 0), (0x8A, 0), (0x80, 7), (0xC1, 4), (0x88, 2)];
    let bytes: Vec<u8> = parts.iter().flat_map(|(first, payload)| frame(sender, *first, *payload)).collect();
    let expected = [
        (Kind::Message, 10),
        (Kind::Ping, 5),
        (Kind::Continuation, 10),
        (Kind::Pong, 0),
        (Kind::Continuation, 17),
        (Kind::Message, 4),
        (Kind::Close, 2),
    ];
    assert_eq!(scan_with(Extensions::Deflate, sender, &bytes).unwrap(), expected);
}

#[test]
fn reserved_bits_and_opcodes_need_an_extension() {
    let server = Sender::Server;
    let frames = [0xF3, 0xFB].map(|first| frame(server, first, 9)).concat();
    let found = scan_with(Extensions::Other, server, &frames);
    assert_eq!(found.unwrap(), [(Kind::Message, 9), (Kind::OtherControl, 9)]);
    for first in (0x80..=0xFF_u8).filter(|first| first & 15 != 0) {
        let defined = matches!(first & 15, 1 | 2 | 8 | 9 | 10);
        let bytes = frame(server, first, 2);
        let passes = |extensions| scan_with(extensions, server, &bytes) != Err(Violation::Reserved);
        assert_eq!(passes(Extensions::None), defined && first >> 4 == 8, "{first:#x}");
        let compressed = first >> 4 == 12 && matches!(first & 15, 1 | 2);
        assert_eq!(passes(Extensions::Deflate), defined && (first >> 4 == 8 || compressed), "{first:#x}");
    }
    let continued = [frame(server, 0x41, 1), frame(server, 0xC0, 1)].concat();
    assert_eq!(scan_with(Extensions::Deflate, server, &continued), Err(Violation::Reserved));
}

#[test]
fn what_a_handshake_agreed_on() {
    let agreed = |values: &[&'static str]| Extensions::of(values.iter().map(|value| value.as_bytes()));
    assert_eq!(agreed(&[]), Extensions::None);
    assert_eq!(agreed(&[" , "]), Extensions::None);
    assert_eq!(agreed(&["Permessage-Deflate ; server_max_window_bits=10"]), Extensions::Deflate);
    assert_eq!(agreed(&["permessage-deflate", "x-else"]), Extensions::Other);
    assert_eq!(agreed(&["x-else, permessage-deflate"]), Extensions::Other);
}

#[test]
fn close_codes_are_those_that_may_be_sent() {
    for code in 0..=u16::MAX {
        let [high, low] = code.to_be_bytes();
        let registered = matches!(code, 1000..=1014) && !matches!(code, 1004..=1006);
        let sendable = registered || (3000..5000).contains(&code);
        let expected = if sendable { Ok(vec![(Kind::Close, 2)]) } else { Err(Violation::CloseCode) };
        assert_eq!(scan(Sender::Server, &[0x88, 2, high, low]), expected, "{code}");
        let masked = [0x88, 0x82, 0xA5, 0x5A, 1, 2, high ^ 0xA5, low ^ 0x5A];
        assert_eq!(scan(Sender::Client, &masked), expected, "{code} masked");
    }
    assert_eq!(scan(Sender::Server, &[0x88, 0]).unwrap(), [(Kind::Close, 0)]);
    assert_eq!(scan(Sender::Server, &[0x88, 1]), Err(Violation::CloseCode));
    assert_eq!(scan(Sender::Server, &[0x88, 2, 3]).unwrap(), [], "the code has not come whole");
}

#[test]
fn rules() {
    let server = Sender::Server;
    let cases: [(&[u8], Violation); 10] = [
        (&[0x82, 0x80], Violation::Mask),
        (&[0x82, 126, 0, 125], Violation::Length),
        (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], Violation::Length),
        (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Violation::Length),
        (&[0x09, 0], Violation::Control),
        (&[0x89, 126], Violation::Control),
        (&[0x88, 127], Violation::Control),
        (&[0x80, 0], Violation::Sequence),
        (&[0x01, 0, 0x81, 0], Violation::Sequence),
        (&[0x81, 0, 0x00, 0], Violation::Sequence),
    ];
    for (bytes, violation) in cases {
        assert_eq!(scan(server, bytes), Err(violation), "{bytes:?}");
    }
    assert_eq!(scan(Sender::Client, &[0x81, 0]), Err(Violation::Mask));
    let mut scanner = Scanner::new(server, Extensions::None);
    assert!(scanner.step(&[0x80, 0]).is_err());
    assert_eq!(scanner.step(&[0x81, 0]), Err(Violation::Sequence), "what is broken stays so");
}

#[test]
fn a_message_without_end_does_not_overflow() {
    let mut scanner = Scanner::new(Sender::Server, Extensions::None);
    let huge = [0x02, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    let Ok(ScanStep::Frame(frame)) = scanner.step(&huge) else { panic!("a frame") };
    assert_eq!((frame.payload, frame.message), (i64::MAX as u64, i64::MAX as u64));
    assert_eq!(scanner.step(b"x"), Ok(ScanStep::Payload(1)));
    assert!(!scanner.is_between_frames());
}

/// Whole frames of a session, some of them out of place.
fn session() -> impl Strategy<Value = Vec<u8>> {
    let firsts = prop_oneof![
        8 => Just(0x81), 8 => Just(0x82), 4 => Just(0x01), 4 => Just(0x00), 6 => Just(0x80), 2 => Just(0x89),
        2 => Just(0x8A), 1 => Just(0x88), 1 => Just(0xC2), 1 => any::<u8>(),
    ];
    let lengths = prop_oneof![20 => 0..40_usize, 2 => 120..130_usize, 1 => 65_530..65_540_usize];
    let masks = prop_oneof![30 => Just(Sender::Client), 1 => Just(Sender::Server)];
    let frames = prop::collection::vec((masks, firsts, lengths), 0..12);
    frames.prop_map(|frames| frames.into_iter().flat_map(|(sender, first, len)| frame(sender, first, len)).collect())
}

proptest! {
    #[test]
    fn splits_do_not_matter(bytes in session(), cut in 0..200_usize) {
        check::frames(&bytes);
        check::frames(&bytes[..bytes.len().saturating_sub(cut)]);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check::frames(&bytes);
    }
}
