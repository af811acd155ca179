// SPDX-License-Identifier: Apache-2.0
//! What must hold for a connection of HTTP/2 whatever bytes come.
//!
//! The same bytes in any pieces give the same events, the same output and the same end; nothing panics.

use std::rc::Rc;

use crate::base::Tick;
use crate::wire::h2::connection::{Config, Connection, ConnectionError, Ending, Event, Input, ResetBy, Role};
use crate::wire::h2::flood::Flood;
use crate::wire::h2::frame::{self, HEADER_BYTES, Kind, PREFACE};
use crate::wire::h2::stream::Key;

/// The first byte chooses the role and what went before; the rest is what the peer sends.
pub fn frames(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let mut input = Vec::new();
    if choice & 2 == 0 {
        if role == Role::Server {
            input.extend_from_slice(PREFACE);
        }
        frame::header(&mut input, 0, Kind::Settings, 0, 0);
    }
    input.extend_from_slice(bytes);
    let whole = run(role, &input, usize::MAX);
    for step in [1, 2, 3, 7, 64] {
        assert_eq!(run(role, &input, step), whole, "in steps of {step}");
    }
    let mut rest = &whole.output[if role == Role::Client { PREFACE.len() } else { 0 }..];
    while let Some(header) = rest.first_chunk::<HEADER_BYTES>() {
        let header = frame::FrameHeader::parse(*header);
        rest = &rest[HEADER_BYTES + header.len as usize..];
    }
    assert!(rest.is_empty(), "the output is made of frames");
}

/// Everything that can be seen of a connection's life.
#[derive(Debug, PartialEq)]
struct Life {
    seen: Vec<Seen>,
    output: Vec<u8>,
    error: Option<ConnectionError>,
    open: usize,
}

/// An event with what it points to, and content that comes in one piece joined.
#[derive(Debug, PartialEq)]
enum Seen {
    Event(Event, Vec<u8>),
    Content(Key, Vec<u8>),
}

fn run(role: Role, input: &[u8], step: usize) -> Life {
    let config = Rc::new(Config { streams_max: 8, ..Config::default() });
    let mut connection = match role {
        Role::Server => Connection::server(config, Tick::ZERO),
        Role::Client => Connection::client(config, Tick::ZERO),
    };
    if role == Role::Client {
        for _ in 0..4 {
            connection.open(Ending::Last, |out, _| out.push(0x82)).expect("within the limit");
        }
    }
    let mut seen = Vec::new();
    let mut error = None;
    for piece in input.chunks(step.min(input.len().max(1))) {
        error = feed(&mut connection, piece, &mut seen).err();
        if error.is_some() {
            break;
        }
    }
    let mut output = Vec::new();
    connection.take_output(&mut output);
    let resets = seen.iter().filter(|seen| matches!(seen, Seen::Event(Event::Reset { by: ResetBy::Us, .. }, _)));
    let borne = Config::default().flood.of(Flood::ErrorReset).burst as usize;
    assert!(resets.count() <= borne, "stream errors are counted");
    Life { seen, output, error, open: connection.open_streams() }
}

/// Reads a piece as an edge would that keeps all content until the stream is over.
fn feed(connection: &mut Connection, piece: &[u8], seen: &mut Vec<Seen>) -> Result<(), ConnectionError> {
    let mut input = Input::new(piece);
    while let Some(event) = connection.next(&mut input, Tick::ZERO)? {
        let arena = connection.section().bytes.clone();
        match event {
            Event::Data { key, bytes, end } => {
                match seen.last_mut() {
                    Some(Seen::Content(last, joined)) if *last == key => joined.extend_from_slice(&piece[bytes]),
                    Some(_) | None => seen.push(Seen::Content(key, piece[bytes].to_vec())),
                }
                if end {
                    seen.push(Seen::Event(Event::Data { key, bytes: 0..0, end }, Vec::new()));
                    over(connection, key);
                }
            }
            Event::Head { key, end: true } | Event::Trailers { key } => {
                seen.push(Seen::Event(event, arena));
                over(connection, key);
            }
            Event::Reset { key, .. } => {
                seen.push(Seen::Event(event, Vec::new()));
                connection.forget(key, Tick::ZERO);
            }
            Event::Head { .. } | Event::Interim { .. } => seen.push(Seen::Event(event, arena)),
            Event::StreamWindow { .. }
            | Event::AnyWindow
            | Event::Settings
            | Event::SettingsAcked
            | Event::GoAway { .. }
            | Event::PingAck { .. } => seen.push(Seen::Event(event, Vec::new())),
        }
    }
    assert_eq!(input.taken(), piece.len(), "all of the input is taken");
    Ok(())
}

/// Answers what has come to its end, as far as windows go, and forgets it.
fn over(connection: &mut Connection, key: Key) {
    if connection.role() == Role::Server && connection.send_head(key, Ending::More, |out, _| out.push(0x88)).is_ok() {
        let _ = connection.send_data(key, &[b'x'; 300], Ending::Last, Tick::ZERO);
    }
    connection.forget(key, Tick::ZERO);
}
