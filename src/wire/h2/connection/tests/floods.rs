// SPDX-License-Identifier: Apache-2.0
//! What a peer may not do for ever (RFC 9113 section 10.5), each kind, and that honest peers may.

use super::*;
use crate::wire::h2::flood::Limit;

fn odd(turn: u32) -> u32 {
    2 * turn + 1
}

/// CVE-2023-44487: a request and its reset, again and again.
#[test]
fn rapid_reset() {
    let mut rig = Rig::new(Role::Server);
    let turn = |turn| [headers(odd(turn), END_STREAM, GET), reset(odd(turn), ErrorCode::Cancel)].concat();
    assert_eq!(rig.floods(turn), Flood::RapidReset);
}

/// The same, where exchanges outlive their streams: no more of them run than twice the limit.
#[test]
fn rapid_reset_does_not_pile_up_exchanges() {
    let config = Config {
        streams_max: 10,
        flood: FloodLimits::default().with(Flood::RapidReset, Limit { burst: 1_000, per_second: 0 }),
        ..Config::default()
    };
    let mut rig = Rig::with(Role::Server, config);
    for turn in 0..100 {
        rig.feed(&[headers(odd(turn), END_STREAM, GET), reset(odd(turn), ErrorCode::Cancel)].concat()).unwrap();
    }
    assert_eq!((rig.connection.open_streams(), rig.connection.held_streams()), (0, 20));
}

/// CVE-2025-8671: the peer makes us reset.
#[test]
fn error_resets() {
    let provoke: [fn(u32) -> Vec<u8>; 4] = [
        |turn| window_update(odd(turn), 0),
        |turn| [window_update(odd(turn), MAX_31), window_update(odd(turn), MAX_31)].concat(),
        |turn| frame(Kind::Priority, 0, odd(turn), &[0; 3]),
        |turn| data(odd(turn), 0, b"behind the end"),
    ];
    for provoke in provoke {
        let mut rig = Rig::new(Role::Server);
        let flood = rig.floods(|turn| [headers(odd(turn), END_STREAM, GET), provoke(turn)].concat());
        assert_eq!(flood, Flood::ErrorReset);
    }
    // Malformed messages, which the edge finds.
    let mut rig = Rig::new(Role::Server);
    let flood = (0..1_000).find_map(|turn| {
        let events = match rig.feed(&headers(odd(turn), 0, GET)) {
            Ok(events) => events,
            Err(error) => return error.flood,
        };
        let [Event::Head { key, .. }] = events[..] else { panic!("{events:?}") };
        rig.connection.reset(key, ErrorCode::Protocol, rig.now);
        rig.connection.forget(key, rig.now);
        None
    });
    assert_eq!(flood, Some(Flood::ErrorReset));
}

/// Half-open streams are bounded by the limit on streams, and insisting is a flood.
#[test]
fn half_open_streams() {
    let mut rig = Rig::new(Role::Server);
    assert_eq!(rig.floods(|turn| headers(odd(turn), 0, GET)), Flood::Refused);
    assert_eq!(rig.connection.held_streams(), 128);
}

/// RUSTSEC-2024-0332: by number, also of empty ones, and by bytes.
#[test]
fn continuation() {
    for (piece, frames_most) in [(0, 65), (1, 65), (16_384, 5)] {
        let mut rig = Rig::new(Role::Server);
        rig.feed(&frame(Kind::Headers, 0, 1, &[])).unwrap();
        let mut count = 0;
        let flood = rig.floods(|_| {
            count += 1;
            frame(Kind::Continuation, 0, 1, &vec![0; piece])
        });
        assert_eq!((flood, count), (Flood::Continuation, frames_most));
    }
}

/// CVE-2019-9515, CVE-2019-9512.
#[test]
fn settings_and_pings() {
    assert_eq!(Rig::new(Role::Server).floods(|_| frame(Kind::Settings, 0, 0, &[])), Flood::Settings);
    assert_eq!(Rig::new(Role::Client).floods(|_| frame(Kind::Settings, frame::ACK, 0, &[])), Flood::Settings);
    assert_eq!(Rig::new(Role::Server).floods(|_| frame(Kind::Ping, 0, 0, &[0; 8])), Flood::Ping);
    assert_eq!(Rig::new(Role::Client).floods(|_| frame(Kind::Ping, frame::ACK, 0, &[0; 8])), Flood::Ping);
}

/// CVE-2019-9518, and frames that bring hardly more.
#[test]
fn empty_and_tiny_data() {
    let (mut rig, _) = Rig::serving();
    assert_eq!(rig.floods(|_| data(1, 0, &[])), Flood::EmptyData);
    let (mut rig, _) = Rig::serving();
    let padding = [&[200][..], &[0; 200]].concat();
    assert_eq!(rig.floods(|_| data(1, frame::PADDED, &padding)), Flood::EmptyData);
    let (mut rig, _) = Rig::serving();
    assert_eq!(rig.floods(|_| data(1, 0, b"x")), Flood::TinyData);
}

#[test]
fn window_updates_for_nothing() {
    let (mut rig, _) = Rig::serving();
    assert_eq!(rig.floods(|_| window_update(1, 1)), Flood::WindowUpdate);
    assert_eq!(Rig::new(Role::Server).floods(|_| window_update(0, 1)), Flood::WindowUpdate);
}

/// CVE-2019-9511: windows of a few bytes, so that a large answer leaves in crumbs.
#[test]
fn dribble() {
    for initial in [0, 200] {
        let mut rig = Rig::new(Role::Server);
        rig.feed(&setting(settings::INITIAL_WINDOW_SIZE, initial)).unwrap();
        let key = rig.request(1, END_STREAM);
        rig.answer(key, Ending::More);
        let mut flood = None;
        for _ in 0..100_000 {
            rig.connection.grant(key, 100_000, Ending::Last, rig.now);
            rig.output();
            if let Err(error) = rig.feed(&[window_update(1, 1), window_update(0, 1)].concat()) {
                flood = error.flood;
                break;
            }
        }
        assert!(matches!(flood, Some(Flood::Dribble | Flood::WindowUpdate)), "{flood:?}");
    }
}

/// CVE-2019-9513.
#[test]
fn priority_churn() {
    assert_eq!(Rig::serving().0.floods(|turn| frame(Kind::Priority, 0, odd(turn), &[0; 5])), Flood::Priority);
    let update = |turn: u32| frame(Kind::PriorityUpdate, 0, 0, &[&odd(turn).to_be_bytes()[..], b"u=1"].concat());
    assert_eq!(Rig::serving().0.floods(update), Flood::Priority);
}

/// Lists above the cap, and a bomb that names one large entry thousands of times.
#[test]
fn header_lists() {
    let value = vec![b'x'; 15_000];
    let literal = |out: &mut Vec<u8>, first: u8| {
        out.extend_from_slice(&[first, 1, b'x', 0x7f]);
        let mut len = value.len() - 0x7f;
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend_from_slice(&value);
    };
    let mut large = GET.to_vec();
    literal(&mut large, 0x00);
    large.extend_from_slice(&[0x00, 1, b'y', 0x7f, 0x81, 0x10]);
    large.extend_from_slice(&vec![b'y'; 0x7f + 0x801]);
    let mut rig = Rig::new(Role::Server);
    let cut = large.len() - 2_000;
    let oversized = |turn| {
        let first = frame(Kind::Headers, END_STREAM, odd(turn), &large[..cut]);
        [first, frame(Kind::Continuation, END_HEADERS, odd(turn), &large[cut..])].concat()
    };
    let flood = (0..100).find_map(|turn| match rig.feed(&oversized(turn)) {
        Ok(events) => {
            assert!(rig.connection.section().oversized);
            let [Event::Head { key, .. }] = events[..] else { panic!("{events:?}") };
            rig.connection.forget(key, rig.now);
            None
        }
        Err(error) => error.flood,
    });
    assert_eq!(flood, Some(Flood::HeaderList));

    // An entry of 4 000 bytes, then references to it.
    let mut bomb = vec![0x40, 1, b'x', 0x7f, 0x81, 0x1e];
    bomb.extend_from_slice(&vec![b'x'; 0x7f + 0xf01]);
    bomb.extend_from_slice(&[0xbe; 10_000]);
    let mut rig = Rig::new(Role::Server);
    assert_eq!(rig.feed(&headers(1, 0, &bomb)).unwrap_err().flood, Some(Flood::HeaderList));
}

#[test]
fn frames_that_change_nothing() {
    let mut unknown = frame(Kind::Unknown, 0, 0, &[]);
    unknown[3] = 0xee;
    assert_eq!(Rig::serving().0.floods(|_| unknown.clone()), Flood::Ignored);
    let away = frame(Kind::GoAway, 0, 0, &[0; 8]);
    assert_eq!(Rig::serving().0.floods(|_| away.clone()), Flood::Ignored);
    for late in [window_update(1, 1), reset(1, ErrorCode::Cancel), data(1, 0, b"x"), headers(1, 0, GET)] {
        let (mut rig, key) = Rig::serving();
        rig.connection.reset(key, ErrorCode::Cancel, rig.now);
        assert_eq!(rig.floods(|_| late.clone()), Flood::Ignored);
    }
}

/// CVE-2019-9514: whatever answers pile up because the peer does not read them.
#[test]
fn output_that_nobody_reads() {
    let flood = FloodLimits::default().with(Flood::Ping, Limit { burst: 1_000_000, per_second: 0 });
    let mut rig = Rig::with(Role::Server, Config { flood, ..Config::default() });
    let ping = frame(Kind::Ping, 0, 0, &[0; 8]);
    for _ in 0..10_000 {
        rig.feed(&ping).unwrap();
        rig.output();
    }
    assert_eq!(rig.floods(|_| ping.clone()), Flood::Output);
    let mut out = Vec::new();
    rig.connection.take_output(&mut out);
    assert!(out.len() < 66 * 1024);
}

/// Ten hours of an honest and busy connection: requests, some of which are cancelled or fail, uploads in tiny messages,
/// PINGs for each batch, windows for each frame, PRIORITY, and late frames.
#[test]
fn a_long_honest_life() {
    let (mut server, mut client) = (Rig::new(Role::Server), Rig::new(Role::Client));
    for turn in 0..60_000_u32 {
        // Bursts of a hundred requests, a minute apart; within one, a millisecond.
        server.now = server.now.after_ms(if turn.is_multiple_of(100) { 60_000 } else { 1 });
        client.now = server.now;
        let id = odd(turn);
        let key = server.request(id, 0);
        let mut stream = data(id, 0, b"hello");
        stream.extend(frame(Kind::Ping, 0, 0, &[1; 8]));
        stream.extend(frame(Kind::Priority, 0, id, &[0; 5]));
        if turn.is_multiple_of(3) {
            stream.extend(reset(id, ErrorCode::Cancel));
            let events = server.feed(&stream).unwrap();
            assert!(matches!(events.last(), Some(Event::Reset { .. })));
        } else {
            stream.extend(data(id, END_STREAM, &[]));
            server.feed(&stream).unwrap();
            server.answer(key, Ending::More);
            for _ in 0..3 {
                let sent = server.connection.send_data(key, &[b'x'; 5_000], Ending::More, server.now);
                assert_eq!(sent, Ok(5_000));
                server.feed(&[window_update(id, 5_000), window_update(0, 5_000)].concat()).unwrap();
            }
            server.connection.send_trailers(key, |out, _| out.extend_from_slice(TRAILERS)).unwrap();
            // What the peer sent before it saw the end.
            server.feed(&window_update(id, 5_000)).unwrap();
        }
        server.connection.forget(key, server.now);
        server.output();
    }
    for turn in 0..20_000_u32 {
        client.now = client.now.after_ms(20);
        let key = client.connection.open(Ending::Last, |out, _| out.extend_from_slice(GET)).unwrap();
        let id = key.id();
        let answer = match turn % 4 {
            0 => reset(id, ErrorCode::RefusedStream),
            1 => [headers(id, 0, EARLY_HINTS), headers(id, END_STREAM, OK)].concat(),
            _ => [headers(id, 0, OK), data(id, 0, &[0; 1_000]), headers(id, END_STREAM, TRAILERS)].concat(),
        };
        client.feed(&answer).unwrap();
        client.connection.forget(key, client.now);
        client.output();
    }
    assert_eq!((server.connection.held_streams(), client.connection.held_streams()), (0, 0));
}
