// SPDX-License-Identifier: Apache-2.0
//! What must hold of WebSocket bytes for any bytes whatsoever, as `wire::check` has it of heads and chunks.

use crate::wire::ws::frame::{Extensions, Frame, HEADER_BYTES_MAX, Kind, ScanStep, Scanner, Sender, Violation};

/// Both directions: splits do not matter, and another reading of the same bytes finds the same frames.
pub fn frames(bytes: &[u8]) {
    let senders = [Sender::Client, Sender::Server].into_iter();
    let agreed = [Extensions::None, Extensions::Deflate, Extensions::Other];
    for side in senders.flat_map(|sender| agreed.map(|extensions| (sender, extensions))) {
        let whole = scanned(side, bytes, bytes.len().max(1));
        for step in [1, 2, 3, 7, 64] {
            assert_eq!(scanned(side, bytes, step), whole, "in steps of {step}");
        }
        assert_eq!(plainly(side, bytes), whole.frames, "{side:?} {:?}", whole.ended);
    }
}

/// What a scanner found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    frames: Vec<Frame>,
    ended: Option<Violation>,
    /// Bytes that may go on.
    passed: usize,
}

/// Feeds pieces of that size, keeping what a piece leaves of a header, as a tunnel does.
fn scanned((sender, extensions): (Sender, Extensions), bytes: &[u8], size: usize) -> Found {
    let mut scanner = Scanner::new(sender, extensions);
    let mut found = Found::default();
    let mut waiting = Vec::new();
    for piece in bytes.chunks(size) {
        waiting.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let taken = match scanner.step(&waiting[at..]) {
                Ok(ScanStep::Frame(frame)) => {
                    assert!(frame.header <= HEADER_BYTES_MAX && frame.message >= frame.payload);
                    assert_eq!(scanner.is_between_frames(), frame.payload == 0);
                    found.frames.push(frame);
                    frame.header
                }
                Ok(ScanStep::Payload(count)) => count,
                Ok(ScanStep::Partial) => break,
                Err(violation) => {
                    found.ended = Some(violation);
                    found.passed += at;
                    return found;
                }
            };
            assert!(taken > 0 && at + taken <= waiting.len());
            at += taken;
        }
        waiting.drain(..at);
        found.passed += at;
        assert!(waiting.len() < HEADER_BYTES_MAX);
    }
    found
}

/// All bytes at once, number by number: the frames whose headers are whole, up to the first that breaks a rule.
fn plainly((sender, extensions): (Sender, Extensions), bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let (mut at, mut message) = (0, None::<u64>);
    while let [first, second, ..] = bytes[at.min(bytes.len())..] {
        let number = |from: usize, count: usize| -> Option<u64> {
            let digits = bytes.get(at + from..at + from + count)?;
            Some(digits.iter().fold(0, |value, digit| value << 8 | u64::from(*digit)))
        };
        let (extended, least) = match second & 127 {
            126 => (2, 126),
            127 => (8, 65_536),
            _ => (0, 0),
        };
        let payload = if extended == 0 { Some(u64::from(second & 127)) } else { number(2, extended) };
        let Some(payload) = payload else { break };
        let key = if sender == Sender::Client { 4 } else { 0 };
        let header = 2 + extended + key;
        let control = first & 8 != 0;
        let bad_control = control && (first < 128 || extended > 0);
        let starts = !control && first & 15 != 0;
        let bad_order = !control && starts == message.is_some();
        let bits = first >> 4 & 7;
        let reserved = match extensions {
            Extensions::None => bits != 0 || first & 7 > 2,
            Extensions::Deflate => (bits != 0 && (bits != 4 || !starts)) || first & 7 > 2,
            Extensions::Other => false,
        };
        let unmasked = (second >= 128) != (key > 0);
        if unmasked || reserved || bad_control || bad_order || payload < least || payload >> 63 != 0 {
            break;
        }
        if bytes.len() - at < header {
            break;
        }
        if first & 15 == 8 && payload > 0 {
            let Some(code) = number(header, 2) else { break };
            let key = if key > 0 { number(header - 4, 2).unwrap_or(0) } else { 0 };
            let code = code ^ key;
            let refused = [1004, 1005, 1006, 1015].contains(&code) || code < 1000 || (1016..3000).contains(&code);
            if payload == 1 || refused || code > 4999 {
                break;
            }
        }
        let kind = match first & 15 {
            0 => Kind::Continuation,
            8 => Kind::Close,
            9 => Kind::Ping,
            10 => Kind::Pong,
            opcode if opcode > 10 => Kind::OtherControl,
            _ => Kind::Message,
        };
        let so_far = if control { payload } else { message.unwrap_or(0).saturating_add(payload) };
        if !control {
            message = (first < 128).then_some(so_far);
        }
        frames.push(Frame { kind, header, payload, message: so_far });
        let Some(next) = usize::try_from(payload).ok().and_then(|payload| payload.checked_add(at + header)) else {
            break;
        };
        at = next;
    }
    frames
}
