// SPDX-License-Identifier: Apache-2.0
//! Any split of the input is the same input, and no input panics.

use proptest::prelude::*;

use super::*;
use crate::wire::check;

/// Frames that are likely to mean something, and some that are not frames.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let stream = (0_u32..14).boxed();
    let block = prop_oneof![
        Just(GET.to_vec()),
        Just(OK.to_vec()),
        Just(EARLY_HINTS.to_vec()),
        Just(TRAILERS.to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    let flags = prop_oneof![Just(0_u8), Just(1), Just(4), Just(5), any::<u8>()];
    let content = proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        4 => (stream.clone(), flags.clone(), block.clone()).prop_map(|(id, flags, b)| headers(id, flags, &b)),
        2 => (stream.clone(), flags.clone(), block).prop_map(|(id, flags, b)| frame(Kind::Continuation, flags, id, &b)),
        4 => (stream.clone(), flags.clone(), content.clone()).prop_map(|(id, flags, bytes)| data(id, flags, &bytes)),
        2 => (stream.clone(), any::<u32>()).prop_map(|(id, by)| window_update(id, by >> (by & 31))),
        2 => (stream.clone(), 0_u32..16).prop_map(|(id, code)| reset(id, ErrorCode::of(code))),
        2 => (0_u16..10, any::<u32>()).prop_map(|(name, value)| setting(name, value >> (value & 31))),
        1 => flags.clone().prop_map(|flags| frame(Kind::Settings, flags & 1, 0, &[])),
        1 => flags.clone().prop_map(|flags| frame(Kind::Ping, flags, 0, &[7; 8])),
        1 => stream.clone().prop_map(|last| frame(Kind::GoAway, 0, 0, &[0, 0, 0, last as u8, 0, 0, 0, 0])),
        1 => (any::<u8>(), flags, stream, content).prop_map(|(kind, flags, id, content)| {
            let mut bytes = frame(Kind::Unknown, flags, id, &content);
            bytes[3] = kind;
            bytes
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn frames_in_any_pieces(choice in 0_u8..2, frames in proptest::collection::vec(pieces(), 0..30)) {
        check::frames(&[&[choice][..], &frames.concat()].concat());
    }

    #[test]
    fn garbage(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check::frames(&bytes);
    }
}

/// A life with everything in it, cut at every place.
#[test]
fn cut_anywhere() {
    let stream = [
        frame(Kind::Headers, 0, 1, &GET[..3]),
        frame(Kind::Continuation, END_HEADERS, 1, &GET[3..]),
        data(1, frame::PADDED, &[&[4][..], b"content", &[0; 4]].concat()),
        setting(settings::INITIAL_WINDOW_SIZE, 7),
        data(1, frame::PADDED | END_STREAM, &[&[3][..], &[0; 3]].concat()),
        headers(3, END_STREAM, GET),
        window_update(0, 9),
        frame(Kind::Ping, 0, 0, &[5; 8]),
        headers(5, 0, GET),
        data(5, 0, b"x"),
        window_update(5, 0),
        data(5, 0, b"ignored"),
        frame(Kind::GoAway, 0, 0, b"\0\0\0\0\0\0\0\0debug"),
    ]
    .concat();
    check::frames(&[&[0][..], &stream].concat());
    for cut in 0..stream.len() {
        let mut whole = Rig::new(Role::Server);
        let mut events = whole.feed(&stream[..cut]).unwrap();
        events.extend(whole.feed(&stream[cut..]).unwrap());
        let count = |kind: fn(&Event) -> bool| events.iter().filter(|event| kind(event)).count();
        assert_eq!(count(|event| matches!(event, Event::Head { .. })), 3);
        assert_eq!(count(|event| matches!(event, Event::Data { end: true, .. })), 1);
        assert_eq!(count(|event| matches!(event, Event::Reset { .. })), 1);
        let content = events.iter().map(|event| if let Event::Data { bytes, .. } = event { bytes.len() } else { 0 });
        assert_eq!(content.sum::<usize>(), 8);
    }
}
