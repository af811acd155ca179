// SPDX-License-Identifier: Apache-2.0
//! What goes in comes out again, however it was cut, flushed and limited.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

use crate::base::limits::STAGE_OUT_BYTES;
use crate::base::rng::Rng;
use crate::wire::coding::encoder::{EncodeError, Encoder, Step};
use crate::wire::coding::{ContentCoding, Encoding};

const FAST: Encoding = Encoding { coding: ContentCoding::Gzip, level: 1 };

/// Calls until it has no more, and sends what it wrote to `sent`.
fn all(sent: &mut Vec<u8>, mut call: impl FnMut(&mut Vec<u8>) -> Result<Step, EncodeError>) {
    let mut out = Vec::new();
    loop {
        let step = call(&mut out).expect("the state is sound");
        assert_eq!(step.more, out.len() == STAGE_OUT_BYTES);
        sent.append(&mut out);
        if !step.more {
            return;
        }
    }
}

fn push(encoder: &mut Encoder, mut content: &[u8], out: &mut Vec<u8>) {
    all(out, |out| {
        let step = encoder.push(content, out)?;
        content = &content[step.taken..];
        assert!(step.more || content.is_empty(), "with room left, everything is taken");
        Ok(step)
    });
    assert!(content.is_empty());
}

fn whole(encoder: &mut Encoder, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    pieces.iter().for_each(|piece| push(encoder, piece, &mut out));
    all(&mut out, |out| encoder.finish(out));
    out
}

fn decoded(coded: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let mut content = Vec::new();
    MultiGzDecoder::new(coded).read_to_end(&mut content)?;
    Ok(content)
}

fn noise(len: usize) -> Vec<u8> {
    let mut rng = Rng::new(7);
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

fn text(len: usize) -> Vec<u8> {
    (0..).flat_map(|n: u32| format!("{{\"id\":{n},\"name\":\"user {}\"}},", n % 97).into_bytes()).take(len).collect()
}

#[test]
fn content_comes_back_at_every_level_from_one_encoder() {
    let mut encoder = Encoder::new(FAST);
    for level in [1, 6, 9, 1, 4, 2, 9] {
        encoder.restart(level).expect("a level");
        for content in [text(300_000), noise(300_000), Vec::new(), b"x".to_vec()] {
            encoder.restart(level).expect("a level");
            let coded = whole(&mut encoder, &[&content]);
            assert!(decoded(&coded).expect("gzip") == content, "level {level}, {} bytes", content.len());
        }
    }
}

#[test]
fn a_message_that_was_left_in_the_middle_leaves_nothing_behind() {
    for level in 1..=9 {
        for (left, next) in [(100, level), (100_000, level), (100_000, 5)] {
            let mut encoder = Encoder::new(Encoding { level, ..FAST });
            push(&mut encoder, &text(left), &mut Vec::new());
            encoder.restart(next).expect("a level");
            let coded = whole(&mut encoder, &[b"next"]);
            assert_eq!(decoded(&coded).expect("gzip"), b"next", "level {level}, then {next}, after {left} bytes");
        }
    }
}

#[test]
fn what_was_flushed_can_be_read_and_a_second_flush_writes_nothing() {
    let mut encoder = Encoder::new(Encoding { level: 6, ..FAST });
    let (mut coded, mut expected, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let mut reader = Decompress::new_gzip(15);
    let mut read = 0;
    for piece in [&b"data: one\n\n"[..], b"data: two\n\n", &noise(100_000), b"data: three\n\n"] {
        push(&mut encoder, piece, &mut coded);
        all(&mut coded, |out| encoder.flush(out));
        let flushed = coded.len();
        all(&mut coded, |out| encoder.flush(out));
        assert_eq!(coded.len(), flushed);
        expected.extend_from_slice(piece);
        seen.reserve(expected.len() + 1);
        reader.decompress_vec(&coded[read..], &mut seen, FlushDecompress::Sync).expect("gzip");
        read = reader.total_in() as usize;
        assert!(seen == expected, "every flushed byte is there");
    }
}

#[test]
fn no_front_of_the_stream_passes_for_the_whole() {
    let mut encoder = Encoder::new(FAST);
    let mut coded = Vec::new();
    push(&mut encoder, &text(5_000), &mut coded);
    all(&mut coded, |out| encoder.flush(out));
    push(&mut encoder, &text(100), &mut coded);
    all(&mut coded, |out| encoder.finish(out));
    assert!(decoded(&coded).is_ok());
    for end in 1..coded.len() {
        assert!(decoded(&coded[..end]).is_err(), "{end} of {}", coded.len());
    }
}

proptest! {
    #[test]
    fn any_split_and_any_flush_give_the_same_content(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), any::<bool>()), 0..8),
        level in 1_u8..=9,
    ) {
        let mut encoder = Encoder::new(Encoding { level, ..FAST });
        let (mut coded, mut content) = (Vec::new(), Vec::new());
        for (piece, flushed) in &pieces {
            content.extend_from_slice(piece);
            push(&mut encoder, piece, &mut coded);
            if *flushed {
                all(&mut coded, |out| encoder.flush(out));
            }
        }
        all(&mut coded, |out| encoder.finish(out));
        prop_assert_eq!(decoded(&coded).expect("gzip"), content);
    }
}
