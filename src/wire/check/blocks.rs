// SPDX-License-Identifier: Apache-2.0
//! What must hold for any field blocks: one connection's worth of them, each behind its length in two bytes.

use crate::base::{Scheme, Side};
use crate::wire::check::{outgoing, rewritten};
use crate::wire::h2::hpack::{Decoder, Encoder};
use crate::wire::h2::malformed::Malformed;
use crate::wire::h2::message::{self, Content};
use crate::wire::h2::section::{Pseudo, Section};
use crate::wire::h2::write;
use crate::wire::head::{BodyLength, Fields, Method, Request, RequestHead, ResponseHead};
use crate::wire::outgoing::After;
use crate::wire::patch::Patch;

const LIST_MAX: usize = 8 * 1024;

/// A decoder that keeps little stays in step with one that keeps much; what is accepted is written in both versions in
/// a form that is read as the same.
pub fn blocks(mut bytes: &[u8]) {
    let (mut decoder, mut frugal) = (Decoder::new(1024), Decoder::new(1024));
    let (mut section, mut little) = (Section::default(), Section::default());
    let mut encoder = Encoder::new();
    let mut peer = Decoder::new(4096);
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let (block, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)).min(rest.len()));
        bytes = rest;
        let verdict = decoder.decode(block, &mut section, LIST_MAX);
        assert_eq!(frugal.decode(block, &mut little, 64), verdict);
        if verdict.is_err() {
            return;
        }
        assert_eq!(little.size, section.size);
        if !little.oversized {
            assert_eq!(texts(&little.fields, &little.bytes), texts(&section.fields, &section.bytes));
        }
        assert!(section.oversized || section.size <= LIST_MAX);
        let mut again = section.clone();
        if message::trailers(&mut again, Side::Client).is_ok() {
            trailers(&again, &mut encoder, &mut peer);
        }
        let mut again = section.clone();
        let mut head = ResponseHead::default();
        if message::response(&mut again, Content::Follows, Method::Get, &mut head).is_ok() {
            assert!((100..=999).contains(&head.status) && head.status != 101);
        }
        for content in [Content::Ended, Content::Follows] {
            let mut again = section.clone();
            let mut head = RequestHead::default();
            if message::request(&mut again, content, &mut head).is_ok() {
                request(&again.bytes, &head, &mut encoder, &mut peer);
            }
        }
    }
}

fn trailers(section: &Section, encoder: &mut Encoder, peer: &mut Decoder) {
    let mut block = Vec::new();
    write::trailers(&mut block, encoder, &section.bytes, &section.fields);
    let mut again = Section::default();
    peer.decode(&block, &mut again, LIST_MAX).expect("written by us");
    assert_eq!(texts(&again.fields, &again.bytes), texts(&section.fields, &section.bytes));
    assert_eq!(message::trailers(&mut again, Side::Client), Ok(()));
}

/// Writes an accepted request in both versions and reads it again.
fn request(bytes: &[u8], head: &RequestHead, encoder: &mut Encoder, peer: &mut Decoder) {
    assert!(head.path.of(bytes).starts_with(b"/") || head.target.of(bytes) == b"*");
    if head.protocol.is_empty() {
        rewritten(bytes, head);
    }
    let patch = Patch::default();
    let received = Request { bytes, head };
    let mut out = Vec::new();
    let mut sent = outgoing(received, &patch);
    sent.target = head.target.of(bytes);
    sent.via = None;
    sent.after = if head.upgrade { After::Upgrade } else { After::KeepAlive };
    let scheme = if head.absolute_https { Scheme::Https } else { Scheme::Http };
    write::request(&mut out, encoder, scheme, &sent);

    let mut section = Section::default();
    peer.decode(&out, &mut section, 48 * 1024).expect("written by us");
    let mut again = RequestHead::default();
    let content = if head.body == BodyLength::None { Content::Ended } else { Content::Follows };
    let verdict = message::request(&mut section, content, &mut again);
    assert!(matches!(verdict, Ok(()) | Err(Malformed::TooLarge)), "{verdict:?}");
    if verdict.is_err() {
        return;
    }
    assert_eq!(section.pseudo(Pseudo::Status), None);
    let of = |head: &RequestHead, bytes: &[u8]| {
        let parts = [head.method_text, head.target, head.authority, head.protocol].map(|part| part.of(bytes).to_vec());
        (parts, head.method, head.absolute_https, head.accepts_trailers, head.expects_continue)
    };
    assert_eq!(of(&again, &section.bytes), of(head, bytes));
    if !head.upgrade {
        assert_eq!(again.body, head.body);
    }
}

fn texts<'a>(fields: &Fields, bytes: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
    fields.list.iter().map(|field| (field.name.of(bytes), field.value.of(bytes))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fields of which some make messages, some break them, and some are the same as others.
    const POOL: [(&str, &str); 30] = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a.example"),
        (":path", "/x?y"),
        (":method", "POST"),
        (":method", "OPTIONS"),
        (":method", "CONNECT"),
        (":path", "*"),
        (":protocol", "websocket"),
        (":status", "200"),
        ("host", "A.example:443"),
        ("cookie", "a=1"),
        ("cookie", ""),
        ("content-length", "5"),
        ("content-length", "0"),
        ("te", "trailers"),
        ("expect", "100-continue"),
        ("trailer", "x"),
        ("max-forwards", "1"),
        ("authorization", "secret"),
        ("x-real_ip", "1"),
        ("content_type", "1"),
        ("x-a", "some value"),
        ("x-a", ""),
        ("grpc-status", "0"),
        ("connection", "close"),
        ("A", "1"),
        ("a", " 1"),
        ("etag", "\"x\""),
        ("accept-encoding", "gzip, deflate"),
    ];

    /// One field, or a few bytes that may be anything.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let literal = (prop::sample::select(vec![0x40, 0x00, 0x10]), 0..POOL.len()).prop_map(|(first, at)| {
            let (name, value) = POOL[at];
            let lens = [name.len() as u8, value.len() as u8];
            [&[first, lens[0]], name.as_bytes(), &[lens[1]], value.as_bytes()].concat()
        });
        let indexed = (0x80..0xD0_u8).prop_map(|byte| vec![byte]);
        prop_oneof![
            12 => literal,
            6 => indexed,
            1 => prop::sample::select(vec![vec![0x20], vec![0x3F, 0x45], vec![0x3F, 0xE1, 0x07]]),
            1 => prop::collection::vec(any::<u8>(), 1..4),
        ]
    }

    /// A block, which begins as a request does, or not.
    fn block() -> impl Strategy<Value = Vec<u8>> {
        let start = prop::sample::select(vec![&[][..], &[0x82, 0x87, 0x84, 0x41, 0x01, b'a'], &[0x88]]);
        (start, prop::collection::vec(piece(), 0..12)).prop_map(|(start, pieces)| [start, &pieces.concat()].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn of_likely_pieces(list in prop::collection::vec(block(), 1..8)) {
            let framed = list.iter().map(|block| [&(block.len() as u16).to_be_bytes()[..], block].concat());
            blocks(&framed.collect::<Vec<_>>().concat());
        }

        #[test]
        fn of_garbage(bytes: Vec<u8>) {
            blocks(&bytes);
        }
    }
}
