// SPDX-License-Identifier: Apache-2.0
//! Flow control (RFC 9113 sections 5.2 and 6.9), and whose turn it is.

use super::*;

/// Increments that were queued, by stream.
fn increments(rig: &mut Rig, stream: u32) -> Vec<u32> {
    let updates = rig.output().into_iter();
    let ours = updates.filter(|(header, _)| header.kind == Kind::WindowUpdate && header.stream == stream);
    ours.map(|(_, payload)| u32::from_be_bytes(payload.try_into().unwrap())).collect()
}

fn grant(rig: &mut Rig, key: Key, wanted: usize) -> Option<usize> {
    match rig.connection.grant(key, wanted, Ending::More, rig.now) {
        Grant::Frame { len, .. } => Some(len),
        Grant::Blocked => None,
        Grant::Gone => panic!("gone"),
    }
}

/// Section 6.9: more than was allowed, for a stream and for the connection.
#[test]
fn more_than_allowed() {
    let config = Config { stream_window: 100_000, connection_window: 150_000, ..Config::default() };
    let mut rig = Rig::with(Role::Server, config);
    let (first, second) = (rig.request(1, 0), rig.request(3, 0));
    rig.feed(&data(1, 0, &[0; 16_000]).repeat(6)).unwrap();
    assert_eq!(rig.resets(first, &data(1, 0, &[0; 4_001])), ErrorCode::FlowControl);
    // What was handed out is held, so its share of the connection is still taken; what was too much is not.
    rig.feed(&data(3, 0, &[0; 16_000]).repeat(3)).unwrap();
    assert_eq!(rig.breaks(&data(3, 0, &[0; 10_000])), ErrorCode::FlowControl);
    let _ = second;
}

/// Who does not release stops the sender; who does, lets it go on by halves.
#[test]
fn back_pressure() {
    let config = Config { stream_window: 100_000, connection_window: 200_000, ..Config::default() };
    let mut rig = Rig::with(Role::Server, config);
    let key = rig.request(1, 0);
    rig.feed(&data(1, 0, &[0; 16_000]).repeat(6)).unwrap();
    assert!(rig.output().is_empty());
    rig.connection.release(key, 49_999);
    assert!(rig.output().is_empty());
    rig.connection.release(key, 1);
    assert_eq!(increments(&mut rig, 1), [50_000]);
    rig.connection.release(key, 1_000_000);
    assert!(rig.output().is_empty(), "no more than was handed out: 46 000 of 100 000, 96 000 of 200 000");
    rig.feed(&data(1, END_STREAM, &[0; 16_000])).unwrap();
    rig.connection.release(key, 4_000);
    rig.output();
    rig.connection.forget(key, rig.now);
    let next = rig.request(3, 0);
    rig.feed(&data(3, 0, &[0; 16_000]).repeat(6)).unwrap();
    rig.connection.release(next, 96_000);
    assert_eq!(increments(&mut rig, 0), [108_000], "with what the first left behind");
}

/// Who is read gets more room, up to the whole window; who waits to be read does not.
#[test]
fn a_window_grows_where_everything_is_read() {
    let config = Config { stream_window: 200_000, stream_window_first: 70_000, ..Config::default() };
    let mut rig = Rig::with(Role::Server, config);
    let key = rig.request(1, 0);
    for (come, increment) in [(35_000, 105_000), (70_000, 130_000), (100_000, 100_000), (100_000, 100_000)] {
        rig.feed(&data(1, 0, &[0; 5_000]).repeat(come / 5_000)).unwrap();
        rig.connection.release(key, come);
        assert_eq!(increments(&mut rig, 1), [increment]);
    }
    let unread = rig.request(3, 0);
    rig.feed(&data(3, 0, &[0; 10_000]).repeat(7)).unwrap();
    rig.connection.release(unread, 35_000);
    assert_eq!(increments(&mut rig, 3), [35_000]);
    rig.feed(&data(3, 0, &[0; 7_000]).repeat(5)).unwrap();
    assert_eq!(rig.resets(unread, &data(3, 0, &[0; 1])), ErrorCode::FlowControl);
}

/// Section 6.9.2: SETTINGS_INITIAL_WINDOW_SIZE changes the windows of all open streams, below zero too.
#[test]
fn initial_windows_change() {
    let (mut rig, key) = Rig::serving();
    rig.answer(key, Ending::More);
    assert_eq!(grant(&mut rig, key, 10_000), Some(10_000));
    rig.feed(&setting(settings::INITIAL_WINDOW_SIZE, 5_000)).unwrap();
    assert_eq!(grant(&mut rig, key, 1), None);
    assert_eq!(rig.feed(&window_update(1, 5_000)), Ok(vec![]), "it stands at zero");
    assert_eq!(rig.feed(&window_update(1, 1)), Ok(vec![Event::StreamWindow { key }]));
    assert_eq!(grant(&mut rig, key, 9), Some(1));
    assert_eq!(rig.feed(&setting(settings::INITIAL_WINDOW_SIZE, 5_010)), Ok(vec![Event::Settings]));
    assert_eq!(grant(&mut rig, key, 100), Some(10));
    rig.feed(&window_update(1, MAX_31 - 10)).unwrap();
    assert_eq!(rig.breaks(&setting(settings::INITIAL_WINDOW_SIZE, 6_000)), ErrorCode::FlowControl);
}

/// Section 6.9.1.
#[test]
fn windows_above_the_largest() {
    let (mut rig, key) = Rig::serving();
    assert_eq!(rig.resets(key, &window_update(1, MAX_31)), ErrorCode::FlowControl);
    assert_eq!(Rig::serving().0.breaks(&window_update(0, MAX_31)), ErrorCode::FlowControl);
    let (mut rig, key) = Rig::serving();
    assert_eq!(rig.resets(key, &window_update(1, 0)), ErrorCode::Protocol);
    assert_eq!(Rig::serving().0.breaks(&window_update(0, 0)), ErrorCode::Protocol);
}

/// Section 6.9.3: a smaller window than the usual one counts from the acknowledgement.
#[test]
fn a_small_window_counts_once_it_is_known() {
    let config = Rc::new(Config { stream_window: 1_000, ..Config::default() });
    let mut rig = Rig { connection: Connection::server(config, Tick::ZERO), now: Tick::ZERO };
    let start = [PREFACE, &frame(Kind::Settings, 0, 0, &[])[..], &headers(1, 0, GET)].concat();
    let events = rig.feed(&start).unwrap();
    let Some(Event::Head { key, .. }) = events.last().cloned() else { panic!("{events:?}") };
    rig.feed(&data(1, 0, &[0; 16_000])).unwrap();
    rig.feed(&frame(Kind::Settings, frame::ACK, 0, &[])).unwrap();
    rig.output();
    rig.connection.release(key, 16_000);
    assert_eq!(increments(&mut rig, 1), [16_000]);
    rig.feed(&data(1, 0, &[0; 1_000])).unwrap();
    assert_eq!(rig.resets(key, &data(1, 0, &[0; 1])), ErrorCode::FlowControl);
}

/// The end of a stream needs no window.
#[test]
fn an_end_without_content() {
    let (mut rig, key) = Rig::serving();
    rig.feed(&setting(settings::INITIAL_WINDOW_SIZE, 0)).unwrap();
    rig.answer(key, Ending::More);
    assert_eq!(grant(&mut rig, key, 1), None);
    let granted = rig.connection.grant(key, 0, Ending::Last, rig.now);
    assert!(matches!(granted, Grant::Frame { len: 0, end: true, .. }));
    assert_eq!(rig.connection.grant(key, 0, Ending::Last, rig.now), Grant::Gone);
}

/// One connection's window for all: who waits for it is told by one event, whatever came first.
#[test]
fn the_window_of_the_connection() {
    let mut rig = Rig::new(Role::Server);
    rig.feed(&setting(settings::INITIAL_WINDOW_SIZE, 100_000)).unwrap();
    let (first, second) = (rig.request(1, END_STREAM), rig.request(3, END_STREAM));
    rig.answer(first, Ending::More);
    rig.answer(second, Ending::More);
    assert_eq!(rig.connection.send_data(first, &[0; 100_000], Ending::Last, rig.now), Ok(65_535));
    assert_eq!(grant(&mut rig, second, 5), None);
    assert_eq!(rig.feed(&window_update(3, 5)), Ok(vec![]));
    assert_eq!(rig.feed(&window_update(0, 5)), Ok(vec![Event::AnyWindow]));
    assert_eq!(grant(&mut rig, second, 7), Some(5));
}

/// A stream that waits for its own window while the connection's is shut as well.
#[test]
fn both_windows_shut() {
    let mut rig = Rig::new(Role::Server);
    let (first, second) = (rig.request(1, END_STREAM), rig.request(3, END_STREAM));
    rig.answer(first, Ending::More);
    rig.answer(second, Ending::More);
    assert_eq!(rig.connection.send_data(first, &[0; 65_535], Ending::More, rig.now), Ok(65_535));
    assert_eq!(grant(&mut rig, first, 1), None);
    rig.now = rig.now.after_ms(5);
    assert_eq!(rig.feed(&window_update(1, 5)), Ok(vec![]));
    assert_eq!(rig.feed(&window_update(0, 5)), Ok(vec![Event::AnyWindow]));
    assert_eq!(grant(&mut rig, first, 9), Some(5));
}

/// RFC 9218: by urgency, and among equals nobody starves.
#[test]
fn turns() {
    let mut rig = Rig::new(Role::Server);
    rig.feed(&setting(settings::INITIAL_WINDOW_SIZE, MAX_31)).unwrap();
    rig.feed(&window_update(0, 1 << 30)).unwrap();
    let keys: Vec<Key> = (0..4).map(|at| rig.request(2 * at + 1, END_STREAM)).collect();
    for key in &keys {
        rig.answer(*key, Ending::More);
    }
    rig.connection.prioritise(keys[3], Priority { urgency: 1, incremental: false });
    rig.connection.prioritise(keys[2], Priority { urgency: 5, incremental: true });
    keys.iter().for_each(|key| rig.connection.offer(*key));
    let mut served = [0_usize; 4];
    for turn in 0..100 {
        let key = rig.connection.pick().unwrap();
        let len = grant(&mut rig, key, 16_384).unwrap();
        served[key.slot()] += len;
        if key != keys[3] || turn < 9 {
            rig.connection.offer(key);
        }
    }
    assert_eq!(served[3], 10 * 16_384);
    assert_eq!(served[2], 0, "the less urgent wait");
    assert_eq!(served[0], served[1]);
    rig.connection.reset(keys[0], ErrorCode::Cancel, rig.now);
    rig.connection.reset(keys[1], ErrorCode::Cancel, rig.now);
    assert_eq!(rig.connection.pick(), Some(keys[2]));
    assert_eq!(rig.connection.pick(), None);
}

/// An idle connection is small.
#[test]
fn memory() {
    let mut rig = Rig::new(Role::Server);
    let block = [frame(Kind::Headers, END_STREAM, 1, &GET[..2]), frame(Kind::Continuation, 4, 1, &GET[2..])].concat();
    rig.feed(&block).unwrap();
    let keys: Vec<Key> = rig.connection.streams.iter_from(0).map(|(key, _)| key).collect();
    let keys = keys.into_iter().chain((1..100).map(|at| rig.request(2 * at + 1, END_STREAM)));
    for key in keys.collect::<Vec<_>>() {
        rig.answer(key, Ending::More);
        rig.connection.send_data(key, &[0; 600], Ending::Last, rig.now).unwrap();
        rig.connection.forget(key, rig.now);
    }
    rig.output();
    rig.connection.shrink();
    let memory = rig.connection.memory();
    assert!(memory < 4 * 1024, "{memory} bytes without the tables of HPACK");
    assert_eq!(rig.request(201, END_STREAM).slot(), 0);
}
