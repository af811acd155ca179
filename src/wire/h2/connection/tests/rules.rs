// SPDX-License-Identifier: Apache-2.0
//! The rules of RFC 9113, by section.

use super::*;
use crate::wire::h2::section::Pseudo;
use crate::wire::head::BodyLength;

/// Section 3.4.
#[test]
fn the_preface_comes_first() {
    let config = Rc::new(Config::default());
    for wrong in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", b"X"] {
        let mut rig = Rig { connection: Connection::server(config.clone(), Tick::ZERO), now: Tick::ZERO };
        assert_eq!(rig.breaks(wrong), ErrorCode::Protocol);
    }
    for first in [frame(Kind::Ping, 0, 0, &[0; 8]), frame(Kind::Settings, frame::ACK, 0, &[])] {
        let mut rig = Rig { connection: Connection::server(config.clone(), Tick::ZERO), now: Tick::ZERO };
        assert_eq!(rig.breaks(&[PREFACE, &first[..]].concat()), ErrorCode::Protocol);
        let mut rig = Rig { connection: Connection::client(config.clone(), Tick::ZERO), now: Tick::ZERO };
        assert_eq!(rig.breaks(&first), ErrorCode::Protocol);
    }
}

/// Sections 3.4 and 6.5.
#[test]
fn what_we_send_first() {
    let config = Rc::new(Config { connect_protocol: true, ..Config::default() });
    let mut out = Vec::new();
    Connection::server(config.clone(), Tick::ZERO).take_output(&mut out);
    let frames = frames(&out);
    assert_eq!(frames.iter().map(|(header, _)| header.kind).collect::<Vec<_>>(), [Kind::Settings, Kind::WindowUpdate]);
    let settings = Settings::default().after(&frames[0].1, settings::From::Server, &mut 0).unwrap();
    assert_eq!((settings.concurrent, settings.window, settings.connect_protocol), (128, 256 * 1024, true));
    out.clear();
    Connection::client(config, Tick::ZERO).take_output(&mut out);
    assert!(out.starts_with(PREFACE));
    assert_eq!(out[PREFACE.len() + 3], 4, "SETTINGS");
}

/// Section 4.1.
#[test]
fn unknown_frames_and_flags_are_ignored() {
    let mut rig = Rig::new(Role::Server);
    let mut unknown = frame(Kind::Unknown, 0xff, 7, &[0; 3_000]);
    unknown[3] = 0xee;
    assert_eq!(rig.feed(&unknown), Ok(vec![]));
    let key = rig.request(1, 0xc2 | END_STREAM);
    assert_eq!(key.id(), 1);
}

/// Section 4.2.
#[test]
fn frame_sizes() {
    let mut large = frame(Kind::Data, 0, 1, &[]);
    large[1] = 0x40;
    large[2] = 1;
    assert_eq!(Rig::serving().0.breaks(&large), ErrorCode::FrameSize);
    for (kind, len, stream) in [
        (Kind::RstStream, 3, 1),
        (Kind::RstStream, 5, 1),
        (Kind::WindowUpdate, 3, 0),
        (Kind::WindowUpdate, 5, 1),
        (Kind::Ping, 7, 0),
        (Kind::Ping, 9, 0),
        (Kind::GoAway, 7, 0),
        (Kind::Settings, 5, 0),
        (Kind::PriorityUpdate, 3, 0),
        (Kind::Priority, 4, 9),
    ] {
        let frame = frame(kind, 0, stream, &vec![0; len]);
        assert_eq!(Rig::serving().0.breaks(&frame), ErrorCode::FrameSize, "{kind:?}");
    }
    let acknowledgement = frame(Kind::Settings, frame::ACK, 0, &[0; 6]);
    assert_eq!(Rig::serving().0.breaks(&acknowledgement), ErrorCode::FrameSize);
    let (mut rig, key) = Rig::serving();
    assert_eq!(rig.resets(key, &frame(Kind::Priority, 0, 1, &[0; 4])), ErrorCode::FrameSize);
    assert_eq!(Rig::new(Role::Server).breaks(&headers(1, frame::PRIORITY, &[0; 4])), ErrorCode::FrameSize);
    assert_eq!(Rig::serving().0.breaks(&data(1, frame::PADDED, &[])), ErrorCode::FrameSize);
}

/// Section 4.3.
#[test]
fn a_block_that_cannot_be_decoded() {
    assert_eq!(Rig::new(Role::Server).breaks(&headers(1, 0, &[0xff, 0xff, 0xff])), ErrorCode::Compression);
}

/// Section 5.1, "idle".
#[test]
fn frames_on_idle_streams() {
    for role in [Role::Server, Role::Client] {
        for stream in [2, 5, 6] {
            let frames = [
                data(stream, 0, b"x"),
                reset(stream, ErrorCode::Cancel),
                window_update(stream, 1),
                headers(stream & !1, 0, GET),
            ];
            for frame in frames {
                assert_eq!(Rig::new(role).breaks(&frame), ErrorCode::Protocol, "{frame:?}");
            }
        }
        assert_eq!(Rig::new(role).feed(&frame(Kind::Priority, 0, 9, &[0; 5])), Ok(vec![]));
    }
    assert_eq!(Rig::new(Role::Client).breaks(&headers(1, 0, OK)), ErrorCode::Protocol);
}

/// Section 5.1, "half-closed (remote)".
#[test]
fn frames_behind_the_end() {
    for frame in [data(1, 0, b"x"), headers(1, END_STREAM, TRAILERS)] {
        let mut rig = Rig::new(Role::Server);
        let key = rig.request(1, END_STREAM);
        assert_eq!(rig.feed(&window_update(1, 5)), Ok(vec![]));
        assert_eq!(rig.resets(key, &frame), ErrorCode::StreamClosed);
    }
}

/// Section 5.1, "closed".
#[test]
fn frames_on_closed_streams() {
    for frame in [data(1, 0, b"x"), headers(1, END_STREAM, TRAILERS)] {
        let mut rig = Rig::new(Role::Server);
        let key = rig.request(1, END_STREAM);
        rig.answer(key, Ending::Last);
        assert_eq!(rig.feed(&[window_update(1, 5), reset(1, ErrorCode::NoError)].concat()), Ok(vec![]));
        assert_eq!(rig.breaks(&frame), ErrorCode::StreamClosed, "after both ended it");

        let (mut rig, key) = Rig::serving();
        let expected = Event::Reset { key, code: ErrorCode::Cancel, by: ResetBy::Peer };
        assert_eq!(rig.feed(&reset(1, ErrorCode::Cancel)), Ok(vec![expected]));
        assert_eq!(rig.breaks(&frame), ErrorCode::StreamClosed, "after the peer reset it");

        let (mut rig, key) = Rig::serving();
        rig.connection.reset(key, ErrorCode::Cancel, rig.now);
        assert_eq!(rig.feed(&frame), Ok(vec![]), "after we reset it");
        rig.connection.forget(key, rig.now);
        assert_eq!(rig.feed(&frame), Ok(vec![]), "after we forgot it");
    }
}

/// Section 5.1: DATA that we ignore counts for the connection's window, and is given back.
#[test]
fn ignored_data_do_not_shrink_the_window() {
    let config = Config { connection_window: settings::WINDOW, ..Config::default() };
    let mut rig = Rig::with(Role::Server, config);
    let key = rig.request(1, 0);
    rig.connection.reset(key, ErrorCode::Cancel, rig.now);
    for _ in 0..100 {
        assert_eq!(rig.feed(&data(1, 0, &[0; 16_000])), Ok(vec![]));
    }
    let increments = rig.output().into_iter().filter(|(header, _)| header.kind == Kind::WindowUpdate);
    let sum: u32 = increments.map(|(_, payload)| u32::from_be_bytes(payload.try_into().unwrap())).sum();
    assert!(sum > 1_600_000 - settings::WINDOW && sum <= 1_600_000);
}

/// Section 5.1.1.
#[test]
fn stream_identifiers() {
    let mut rig = Rig::new(Role::Server);
    rig.request(5, 0);
    assert_eq!(rig.breaks(&headers(3, 0, GET)), ErrorCode::Protocol);
    assert_eq!(Rig::new(Role::Server).breaks(&headers(0, 0, GET)), ErrorCode::Protocol);
    assert_eq!(Rig::serving().0.breaks(&data(0, 0, b"x")), ErrorCode::Protocol);
    for kind in [Kind::Settings, Kind::Ping, Kind::GoAway] {
        let len = if kind == Kind::Settings { 0 } else { 8 };
        assert_eq!(Rig::serving().0.breaks(&frame(kind, 0, 1, &[0; 8][..len])), ErrorCode::Protocol);
    }
    for kind in [Kind::RstStream, Kind::Priority, Kind::Continuation] {
        let len = if kind == Kind::Priority { 5 } else { 4 };
        assert_eq!(Rig::serving().0.breaks(&frame(kind, 0, 0, &[0; 8][..len])), ErrorCode::Protocol);
    }
}

/// Section 5.1.2.
#[test]
fn too_many_streams_are_refused() {
    let mut rig = Rig::with(Role::Server, Config { streams_max: 2, ..Config::default() });
    let first = rig.request(1, 0);
    rig.request(3, 0);
    assert_eq!(rig.feed(&headers(5, 0, GET)), Ok(vec![]));
    let frames = rig.output();
    assert_eq!((frames[0].0.stream, &frames[0].1[..]), (5, &[0, 0, 0, 7][..]));
    assert_eq!(rig.feed(&data(5, END_STREAM, b"on its way")), Ok(vec![]));
    rig.connection.reset(first, ErrorCode::Cancel, rig.now);
    assert_eq!(rig.request(7, 0).id(), 7);
    // Closed, but its exchange still runs: half of the slots are left for those.
    assert_eq!((rig.connection.open_streams(), rig.connection.held_streams()), (2, 3));
}

/// Section 6.2 and 6.10.
#[test]
fn blocks_in_pieces() {
    let (first, rest) = GET.split_at(2);
    let mut rig = Rig::new(Role::Server);
    let opening = frame(Kind::Headers, END_STREAM, 1, first);
    assert_eq!(rig.feed(&opening), Ok(vec![]));
    assert_eq!(rig.connection.partial_since(), rig.now);
    let middle = frame(Kind::Continuation, 0, 1, &rest[..1]);
    let last = frame(Kind::Continuation, END_HEADERS, 1, &rest[1..]);
    let events = rig.feed(&[middle, last.clone()].concat()).unwrap();
    assert!(matches!(events[..], [Event::Head { end: true, .. }]));
    let section = rig.connection.section();
    assert_eq!(section.pseudo(Pseudo::Authority).unwrap().of(&section.bytes), b"a");
    assert_eq!(rig.connection.partial_since(), Tick::NEVER);
    assert_eq!(rig.breaks(&last), ErrorCode::Protocol);
    for between in [frame(Kind::Ping, 0, 0, &[0; 8]), frame(Kind::Continuation, 0, 3, &[]), headers(3, 0, GET)] {
        let mut rig = Rig::new(Role::Server);
        assert_eq!(rig.breaks(&[&opening[..], &between].concat()), ErrorCode::Protocol);
    }
}

/// Sections 6.1 and 6.2.
#[test]
fn padding() {
    let mut rig = Rig::new(Role::Server);
    let padded = [&[3][..], GET, &[0; 3]].concat();
    rig.feed(&headers(1, frame::PADDED, &padded)).unwrap();
    let with_priority = [&[2][..], &[0; 5], GET, &[0; 2]].concat();
    let events = rig.feed(&headers(3, frame::PADDED | frame::PRIORITY, &with_priority)).unwrap();
    let [Event::Head { key, .. }] = events[..] else { panic!("{events:?}") };
    let content = data(3, frame::PADDED | END_STREAM, &[&[2][..], b"hello", &[0; 2]].concat());
    assert_eq!(rig.feed(&content), Ok(vec![Event::Data { key, bytes: 10..15, end: true }]));
    assert_eq!(Rig::new(Role::Server).breaks(&headers(1, frame::PADDED, &[7, 0x82])), ErrorCode::Protocol);
    assert_eq!(Rig::serving().0.breaks(&data(1, frame::PADDED, &[2, 0])), ErrorCode::Protocol);
    let (mut rig, _) = Rig::serving();
    assert_eq!(rig.feed(&data(1, frame::PADDED, &[1, 0])), Ok(vec![]), "nothing but padding");
}

/// Section 6.5.
#[test]
fn settings_are_acknowledged() {
    let mut rig = Rig::new(Role::Server);
    assert_eq!(rig.feed(&setting(settings::MAX_CONCURRENT_STREAMS, 9)), Ok(vec![Event::Settings]));
    let frames = rig.output();
    assert_eq!((frames[0].0.kind, frames[0].0.flags, frames[0].0.len), (Kind::Settings, frame::ACK, 0));
    assert_eq!(rig.breaks(&setting(settings::ENABLE_PUSH, 2)), ErrorCode::Protocol);
    let window = setting(settings::INITIAL_WINDOW_SIZE, 0x8000_0000);
    assert_eq!(Rig::new(Role::Client).breaks(&window), ErrorCode::FlowControl);
    let fresh = Connection::server(Rc::new(Config::default()), Tick::ZERO.after_ms(5));
    assert_eq!(fresh.unacknowledged_since(), Tick::ZERO.after_ms(5));
    assert_eq!(rig.connection.unacknowledged_since(), Tick::NEVER);
}

/// Section 6.7.
#[test]
fn pings_are_answered() {
    let mut rig = Rig::new(Role::Client);
    assert_eq!(rig.feed(&frame(Kind::Ping, 0, 0, b"12345678")), Ok(vec![]));
    assert_eq!(rig.output()[0].1, b"12345678");
    rig.connection.ping(7);
    let sent = rig.output();
    assert_eq!(sent[0].0.flags, 0);
    let answer = frame(Kind::Ping, frame::ACK, 0, &sent[0].1);
    assert_eq!(rig.feed(&answer), Ok(vec![Event::PingAck { payload: 7 }]));
    assert_eq!(rig.feed(&answer), Ok(vec![]), "nobody asked");
}

/// Section 6.8: a server goes in two steps.
#[test]
fn going_gracefully() {
    let mut rig = Rig::new(Role::Server);
    let first = rig.request(1, END_STREAM);
    rig.connection.announce_going();
    assert_eq!(rig.output()[0].1, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let second = rig.request(3, END_STREAM);
    rig.connection.go_away(ErrorCode::NoError);
    assert_eq!(rig.output()[0].1, [0, 0, 0, 3, 0, 0, 0, 0]);
    assert_eq!(rig.feed(&headers(5, 0, GET)), Ok(vec![]));
    assert_eq!(rig.feed(&data(5, 0, b"x")), Ok(vec![]));
    assert!(rig.output().is_empty() && !rig.connection.is_drained());
    for key in [first, second] {
        rig.answer(key, Ending::Last);
        rig.connection.forget(key, rig.now);
    }
    assert!(rig.connection.is_drained());
    // And an error later does not raise the last stream.
    rig.feed(&data(0, 0, b"x")).unwrap_err();
    assert_eq!(rig.output().last().unwrap().1[..4], [0, 0, 0, 3]);
}

/// Section 6.8: what a client learns from GOAWAY.
#[test]
fn streams_above_the_last_were_not_processed() {
    let mut rig = Rig::new(Role::Client);
    let open = |rig: &mut Rig| rig.connection.open(Ending::Last, |out, _| out.extend_from_slice(GET));
    let keys: Vec<Key> = (0..4).map(|_| open(&mut rig).unwrap()).collect();
    let mut away = |last: u32, code: u8| {
        let payload = [&last.to_be_bytes()[..], &[0, 0, 0, code], b"debug"].concat();
        rig.feed(&frame(Kind::GoAway, 0, 0, &payload))
    };
    let code = ErrorCode::NoError;
    assert_eq!(away(MAX_31, 0), Ok(vec![Event::GoAway { last: MAX_31, code }]));
    let refused = |key: Key| Event::Reset { key, code: ErrorCode::RefusedStream, by: ResetBy::Peer };
    assert_eq!(away(3, 0), Ok(vec![Event::GoAway { last: 3, code }, refused(keys[2]), refused(keys[3])]));
    assert_eq!(away(1, 0), Ok(vec![Event::GoAway { last: 1, code }, refused(keys[1])]));
    assert_eq!(away(3, 0).unwrap_err().code, ErrorCode::Protocol);
    let mut rig = Rig::new(Role::Client);
    rig.feed(&frame(Kind::GoAway, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])).unwrap();
    assert_eq!(open(&mut rig), Err(super::send::Refusal::Going));
}

/// Section 8.1: trailers end a stream, and interim heads do not.
#[test]
fn the_order_of_heads() {
    let (mut rig, key) = Rig::serving();
    assert_eq!(rig.feed(&headers(1, END_STREAM, TRAILERS)), Ok(vec![Event::Trailers { key }]));
    let (mut rig, key) = Rig::serving();
    assert_eq!(rig.resets(key, &headers(1, 0, TRAILERS)), ErrorCode::Protocol);

    let (mut rig, key) = Rig::asking();
    let stream = [headers(1, 0, EARLY_HINTS), headers(1, 0, OK), headers(1, END_STREAM, TRAILERS)].concat();
    let expected = vec![Event::Interim { key }, Event::Head { key, end: false }, Event::Trailers { key }];
    assert_eq!(rig.feed(&stream), Ok(expected));
    assert_eq!(rig.connection.open_streams(), 0);

    for wrong in [headers(1, END_STREAM, EARLY_HINTS), data(1, 0, b"no head")] {
        let (mut rig, key) = Rig::asking();
        assert_eq!(rig.resets(key, &wrong), ErrorCode::Protocol);
    }
    let (mut rig, key) = Rig::asking();
    assert_eq!(rig.resets(key, &headers(1, 0, EARLY_HINTS).repeat(33)), ErrorCode::Protocol);
}

/// Section 8.1: a server that has answered stops a request with NO_ERROR.
#[test]
fn forgetting_what_is_open() {
    let (mut rig, key) = Rig::serving();
    rig.answer(key, Ending::Last);
    rig.output();
    rig.connection.forget(key, rig.now);
    assert_eq!(rig.output()[0].1, [0, 0, 0, 0]);
    let (mut rig, key) = Rig::asking();
    rig.connection.forget(key, rig.now);
    assert_eq!(rig.output()[0].1, [0, 0, 0, 8]);
    assert_eq!((rig.connection.open_streams(), rig.connection.held_streams()), (0, 0));
    assert_eq!(rig.feed(&headers(1, END_STREAM, OK)), Ok(vec![]));
}

/// Section 8.1.1.
#[test]
fn content_and_its_length() {
    type Case = (&'static [&'static [u8]], u64, Result<(), ErrorCode>);
    let cases: [Case; 7] = [
        (&[b"12345"], 5, Ok(())),
        (&[b"12", b"345"], 5, Ok(())),
        (&[b"12345", b""], 5, Ok(())),
        (&[b"123456"], 5, Err(ErrorCode::Protocol)),
        (&[b"1234"], 5, Err(ErrorCode::Protocol)),
        (&[b"1234", b""], 5, Err(ErrorCode::Protocol)),
        (&[b"1"], 0, Err(ErrorCode::Protocol)),
    ];
    for (contents, len, expected) in cases {
        let (mut rig, key) = Rig::serving();
        rig.connection.expect(key, if len == 0 { BodyLength::None } else { BodyLength::Exact(len) });
        let last = contents.len() - 1;
        let stream: Vec<u8> = contents
            .iter()
            .enumerate()
            .flat_map(|(at, content)| data(1, if at == last { END_STREAM } else { 0 }, content))
            .collect();
        match expected {
            Ok(()) => assert!(matches!(rig.feed(&stream).unwrap().last(), Some(Event::Data { end: true, .. }))),
            Err(code) => assert_eq!(rig.resets(key, &stream), code),
        }
    }
    let (mut rig, key) = Rig::serving();
    rig.connection.expect(key, BodyLength::Exact(5));
    assert_eq!(rig.resets(key, &headers(1, END_STREAM, TRAILERS)), ErrorCode::Protocol);
}

/// Section 8.4.
#[test]
fn pushes_are_not_taken() {
    let promise = frame(Kind::PushPromise, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]);
    assert_eq!(Rig::asking().0.breaks(&promise), ErrorCode::Protocol);
    assert_eq!(Rig::serving().0.breaks(&promise), ErrorCode::Protocol);
}

/// RFC 9218 section 5 and 7.1.
#[test]
fn priorities_are_heard() {
    let mut rig = Rig::new(Role::Server);
    let update = |stream: u32, value: &[u8]| {
        let payload = [&stream.to_be_bytes()[..], value].concat();
        frame(Kind::PriorityUpdate, 0, 0, &payload)
    };
    for stream in [3, 5, 7, 9, 1] {
        rig.feed(&update(stream, b"u=6")).unwrap();
    }
    let early = rig.request(1, 0);
    assert_eq!(rig.connection.priority_of(early).urgency, 6);
    rig.feed(&update(1, b"u=1, i")).unwrap();
    assert_eq!(rig.connection.priority_of(early), Priority { urgency: 1, incremental: true });
    let field = [GET, &[0x00, 8], b"priority", &[3], b"u=5"].concat();
    let events = rig.feed(&headers(11, 0, &field)).unwrap();
    let [Event::Head { key, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(rig.connection.priority_of(key).urgency, 5);
    assert_eq!(rig.breaks(&update(2, b"")), ErrorCode::Protocol);
    assert_eq!(Rig::asking().0.breaks(&update(1, b"")), ErrorCode::Protocol);
}

/// Section 6.10: what we send is cut by the peer's largest frame.
#[test]
fn long_heads_are_continued() {
    let (mut rig, key) = Rig::serving();
    rig.connection.send_head(key, Ending::Last, |out, _| out.extend_from_slice(&[0x88; 40_000])).unwrap();
    let frames = rig.output();
    let kinds: Vec<_> = frames.iter().map(|(header, _)| (header.kind, header.flags, header.len)).collect();
    let expected = [
        (Kind::Headers, END_STREAM, 16_384),
        (Kind::Continuation, 0, 16_384),
        (Kind::Continuation, END_HEADERS, 7_232),
    ];
    assert_eq!(kinds, expected);
}
