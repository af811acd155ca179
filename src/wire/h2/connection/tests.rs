// SPDX-License-Identifier: Apache-2.0
//! The connection against a peer that is written frame by frame.

mod floods;
mod oracle;
mod pair;
mod rules;
mod splits;
mod windows;

use super::*;
use crate::wire::h2::frame::{END_HEADERS, END_STREAM, FrameHeader, HEADER_BYTES, Kind};

/// `GET / HTTP/2` for `a`, as a block.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];
/// `:status: 200`.
const OK: &[u8] = &[0x88];
/// `:status: 103`.
const EARLY_HINTS: &[u8] = &[0x08, 3, b'1', b'0', b'3'];
/// `x: y`, as trailers.
const TRAILERS: &[u8] = &[0x00, 1, b'x', 1, b'y'];

/// A connection and what its peer sees.
struct Rig {
    connection: Connection,
    now: Tick,
}

impl Rig {
    /// Behind the exchange of settings.
    fn new(role: Role) -> Rig {
        Rig::with(role, Config::default())
    }

    fn with(role: Role, config: Config) -> Rig {
        let now = Tick::ZERO.after_ms(1_000_000);
        let config = Rc::new(config);
        let (connection, mut start) = match role {
            Role::Server => (Connection::server(config, now), PREFACE.to_vec()),
            Role::Client => (Connection::client(config, now), Vec::new()),
        };
        let mut rig = Rig { connection, now };
        start.extend(frame(Kind::Settings, 0, 0, &[]));
        start.extend(frame(Kind::Settings, frame::ACK, 0, &[]));
        assert_eq!(rig.feed(&start), Ok(vec![Event::Settings, Event::SettingsAcked]));
        rig.output();
        rig
    }

    /// A server with one request that is not complete.
    fn serving() -> (Rig, Key) {
        let mut rig = Rig::new(Role::Server);
        let key = rig.request(1, 0);
        (rig, key)
    }

    /// A client with one complete request.
    fn asking() -> (Rig, Key) {
        let mut rig = Rig::new(Role::Client);
        let key = rig.connection.open(Ending::Last, |out, _| out.extend_from_slice(GET)).unwrap();
        rig.output();
        (rig, key)
    }

    fn request(&mut self, stream: u32, flags: u8) -> Key {
        match &self.feed(&headers(stream, flags, GET)).unwrap()[..] {
            [Event::Head { key, end }] => {
                assert_eq!((*end, key.id()), (flags & END_STREAM != 0, stream));
                *key
            }
            events => panic!("{events:?}"),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, ConnectionError> {
        let mut input = Input::new(bytes);
        let mut events = Vec::new();
        while let Some(event) = self.connection.next(&mut input, self.now)? {
            events.push(event);
        }
        assert_eq!(input.taken(), bytes.len());
        Ok(events)
    }

    /// The code of the error that `bytes` bring about, which GOAWAY says as well.
    fn breaks(&mut self, bytes: &[u8]) -> ErrorCode {
        let error = self.feed(bytes).expect_err("an error of the connection");
        let frames = self.output();
        let (header, payload) = frames.last().expect("GOAWAY");
        assert_eq!((header.kind, &payload[4..]), (Kind::GoAway, &error.code.number().to_be_bytes()[..]));
        assert_eq!(self.feed(b"more").expect_err("it stays over"), error);
        error.code
    }

    /// The flood that `bytes`, again and again, turn out to be.
    fn floods(&mut self, mut bytes: impl FnMut(u32) -> Vec<u8>) -> Flood {
        for turn in 0..100_000 {
            match self.feed(&bytes(turn)) {
                Ok(events) => self.drop_all(&events),
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::EnhanceYourCalm);
                    return error.flood.expect("a flood");
                }
            }
        }
        panic!("it was borne");
    }

    fn drop_all(&mut self, events: &[Event]) {
        for event in events {
            if let Event::Reset { key, .. } = event {
                self.connection.forget(*key, self.now);
            }
        }
    }

    /// The stream error that `bytes` bring about, which RST_STREAM says as well.
    fn resets(&mut self, key: Key, bytes: &[u8]) -> ErrorCode {
        let events = self.feed(bytes).expect("no error of the connection");
        let Some(Event::Reset { key: reset, code, by: ResetBy::Us }) = events.last() else { panic!("{events:?}") };
        assert_eq!(*reset, key);
        let frames = self.output();
        let found = frames.iter().find(|(header, _)| header.kind == Kind::RstStream).expect("RST_STREAM");
        assert_eq!((found.0.stream, &found.1[..]), (key.id(), &code.number().to_be_bytes()[..]));
        assert!(!self.connection.is_open(key));
        *code
    }

    /// The frames that were queued.
    fn output(&mut self) -> Vec<(FrameHeader, Vec<u8>)> {
        let mut bytes = Vec::new();
        self.connection.take_output(&mut bytes);
        frames(&bytes)
    }

    fn answer(&mut self, key: Key, ending: Ending) {
        self.connection.send_head(key, ending, |out, _| out.extend_from_slice(OK)).unwrap();
    }
}

fn frames(bytes: &[u8]) -> Vec<(FrameHeader, Vec<u8>)> {
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let header = FrameHeader::parse(*rest.first_chunk::<HEADER_BYTES>().expect("a frame header"));
        let (payload, behind) = rest[HEADER_BYTES..].split_at(header.len as usize);
        frames.push((header, payload.to_vec()));
        rest = behind;
    }
    frames
}

fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::header(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(Kind::Headers, flags | END_HEADERS, stream, block)
}

fn data(stream: u32, flags: u8, content: &[u8]) -> Vec<u8> {
    frame(Kind::Data, flags, stream, content)
}

fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, 0, stream, &increment.to_be_bytes())
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    settings::write(&mut out, &[(name, value)]);
    out
}

fn reset(stream: u32, code: ErrorCode) -> Vec<u8> {
    frame(Kind::RstStream, 0, stream, &code.number().to_be_bytes())
}
