//! What must hold of gRPC bodies for any bytes whatsoever, as `wire::check` has it of heads and chunks.

use crate::wire::grpc::message::{Dialect, Offence, Part, Scanner};
use crate::wire::grpc::web::{Coding, Decoder, Encoder, TrailersFrame};
use crate::wire::grpc::{message, reflection, status, timeout};

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
    let _ = (timeout::parse(bytes), reflection::read(bytes), status::call(bytes));
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
