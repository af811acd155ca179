// SPDX-License-Identifier: Apache-2.0
//! What must hold of content codings for any bytes whatsoever.

use std::io::Read;

use flate2::read::GzDecoder;
use flate2::{Decompress, FlushDecompress};

use crate::wire::coding::encoder::Step;
use crate::wire::coding::response::{Eligible, code, vary};
use crate::wire::coding::{ContentCoding, EncodeError, Encoder, Encoding, MediaRange, MediaRanges, preferred};
use crate::wire::field::Known;
use crate::wire::h1::{Caps, Parsed, response};
use crate::wire::head::{BodyLength, Method, Response, ResponseHead};
use crate::wire::patch::Patch;

/// A value of `Accept-Encoding`, of a media type, of fields that a coding changes, and content.
pub fn coding(bytes: &[u8]) {
    negotiated(bytes);
    media_type(bytes);
    head(bytes);
    content(bytes);
}

/// Several lines are one list, and of a coding that is named twice the first weight holds.
fn negotiated(value: &[u8]) {
    let of = |values: &[&[u8]]| preferred(values.iter().copied(), ContentCoding::ALL.into_iter());
    let lines: Vec<&[u8]> = value.split(|byte| *byte == b',').collect();
    assert_eq!(of(&[value]), of(&lines), "{}", value.escape_ascii());
    assert_eq!(of(&[b"gzip;q=0", value]), None);
    assert_eq!(of(&[b"identity;q=0, gzip", value]), Some(ContentCoding::Gzip));
}

/// A media range that can be written holds itself, and nothing holds two types.
fn media_type(value: &[u8]) {
    let any = MediaRanges::new(vec![MediaRange::Any]);
    assert!(!any.hold(&[value, b", text/html"].concat()) || value.contains(&b';'));
    let Some(range) = std::str::from_utf8(value).ok().and_then(MediaRange::parse) else { return };
    let exact = matches!(range, MediaRange::Exact(_));
    let ranges = MediaRanges::new(vec![range]);
    assert!(!exact || ranges.hold(value) && ranges.hold(&[value, b"; charset=utf-8"].concat()));
}

/// A coded head has one `Content-Encoding`, no length and no strong tag, and `Vary` names the field once.
fn head(value: &[u8]) {
    let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
    for name in ["Vary", "ETag", "Cache-Control", "Content-Type", "Vary"] {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"Content-Length: 7\r\n\r\n");
    let mut head = ResponseHead::default();
    if response::parse(&bytes, &Caps::default(), Method::Get, &mut head) != Ok(Parsed::Complete) {
        return;
    }
    let received = Response { bytes: &bytes, head: &head };
    let eligible = |bytes_min| Eligible { types: MediaRanges::new(vec![MediaRange::Any]), bytes_min };
    assert_eq!(head.body, BodyLength::Exact(7));
    assert!(!eligible(8).includes(Method::Get, received, &Patch::default()));
    let mut patch = Patch::default();
    vary(received, &mut patch);
    let once = added(&patch);
    vary(received, &mut patch);
    assert_eq!(added(&patch), once);
    code(ContentCoding::Gzip, received, &mut patch);
    assert!(!eligible(1).includes(Method::Get, received, &patch), "content is coded once");
    let fields = added(&patch);
    let named = |wanted: &str| fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes())).count();
    assert_eq!(named("content-encoding"), 1);
    for (index, field) in head.fields.list.iter().enumerate().filter(|(index, _)| !patch.is_removed(*index)) {
        assert_ne!(field.known, Known::ContentLength, "field {index}");
        let strong = field.name.of(&bytes) == b"ETag" && !field.value.of(&bytes).starts_with(b"W/");
        assert!(!strong, "field {index}");
    }
}

fn added(patch: &Patch) -> Vec<(Vec<u8>, Vec<u8>)> {
    patch.added().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// Whatever the pieces and flushes, the receiver gets the content; after a flush it has all that was pushed.
fn content(bytes: &[u8]) {
    let Some((choice, content)) = bytes.split_first() else { return };
    let encoding = Encoding { coding: ContentCoding::Gzip, level: choice % 9 + 1 };
    let mut encoder = Encoder::new(encoding);
    // An encoder that comes back in the middle of a message remembers nothing of it.
    assert!(encoder.push(content, &mut Vec::new()).is_ok() && encoder.restart(encoding.level).is_ok());
    let mut reader = Decompress::new_gzip(15);
    let mut read = Vec::with_capacity(content.len() + 1);
    let mut coded = Vec::new();
    let mut pushed = 0;
    for piece in content.chunks(usize::from(choice / 9) * 7 + 5) {
        let mut rest = piece;
        while !rest.is_empty() {
            let step = drained(&mut coded, |out| encoder.push(rest, out));
            rest = &rest[step..];
        }
        pushed += piece.len();
        drained(&mut coded, |out| encoder.flush(out));
        let unread = &coded[reader.total_in() as usize..];
        reader.decompress_vec(unread, &mut read, FlushDecompress::Sync).expect("what was flushed");
        assert_eq!(read, content[..pushed]);
    }
    drained(&mut coded, |out| encoder.finish(out));
    let mut whole = Vec::new();
    GzDecoder::new(&coded[..]).read_to_end(&mut whole).expect("a whole message");
    assert_eq!(whole, content);
}

/// Calls until nothing more waits; how much was taken.
fn drained(coded: &mut Vec<u8>, mut call: impl FnMut(&mut Vec<u8>) -> Result<Step, EncodeError>) -> usize {
    let mut taken = 0;
    loop {
        let mut out = Vec::new();
        let step = call(&mut out).expect("a sound state");
        coded.extend_from_slice(&out);
        taken += step.taken;
        // A push that stopped is called again by its caller, with what is left.
        if !step.more || step.taken > 0 {
            return taken;
        }
    }
}
