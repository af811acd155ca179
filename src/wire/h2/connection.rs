// SPDX-License-Identifier: Apache-2.0
//! Hot. One HTTP/2 connection without I/O (RFC 9113): bytes in, events out, and bytes to be written.
//!
//! One state machine serves both roles. It reads no clock and never waits. Of its input it keeps only incomplete
//! frames, and never DATA: content is returned as ranges of the caller's bytes. A rule that the
//! peer breaks leads to RST_STREAM, or to GOAWAY and an error. Any split of the same input gives the same results.
//!
//! ```text
//!   input ── read ──► heads ──► section ─┐
//!              │  ├─► content ── ranges ─┼──► Event ──► the edge
//!              │  └─► control ───────────┘                │ release, reset, forget
//!              │         │ answers                        ▼
//!   output ◄───┴─────────┴──────────── send ◄── heads, data, trailers, by window and priority
//! ```
//! A stream's key lives until `forget`: it must be called once for every stream that came with a `Head` event or from
//! `open`, when its exchange is over.

mod block;
mod check;
mod content;
mod control;
mod end;
mod heads;
mod read;
mod reading;
mod send;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::rc::Rc;

use crate::base::{Side, Tick, limits};
use crate::wire::h2::Section;
use crate::wire::h2::flood::{Counters, Flood, FloodLimits};
use crate::wire::h2::flow::{ReceiveWindow, SendWindow};
use crate::wire::h2::frame::{self, ErrorCode, MAX_31, PREFACE};
use crate::wire::h2::hpack::{self, Decoder, Encoder};
use crate::wire::h2::priority::Priority;
use crate::wire::h2::scheduler::Scheduler;
use crate::wire::h2::settings::{self, Settings};
use crate::wire::h2::stream::{Key, Streams};

use block::Block;
use reading::Reading;

/// What a connection allows its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Streams that the peer may have open (server), or that we open (client). More are refused with REFUSED_STREAM;
    /// with exchanges that still run behind closed streams, twice as many.
    pub streams_max: u32,
    /// Bytes of one stream that may be on their way or wait for `release`; at most 2^31-1.
    pub stream_window: u32,
    /// How much of `stream_window` a stream begins with. It gets the rest by and by, where whoever reads it keeps up: a
    /// stream that nobody reads holds no more than this.
    pub stream_window_first: u32,
    /// The same for all streams together; at least 65 535.
    pub connection_window: u32,
    /// Bytes of a header list as RFC 9113 section 6.5.2 counts them; above it the section is `oversized`.
    pub header_list_max: u32,
    /// The server takes extended CONNECT (RFC 8441).
    pub connect_protocol: bool,
    /// What is borne of useless frames.
    pub flood: FloodLimits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            streams_max: 128,
            stream_window: 256 * 1024,
            stream_window_first: MAX_31,
            connection_window: 4 * 1024 * 1024,
            header_list_max: limits::HEAD_BYTES as u32,
            connect_protocol: false,
            flood: FloodLimits::default(),
        }
    }
}

impl Config {
    /// The window of a new stream.
    pub(super) fn first_window(&self) -> u32 {
        self.stream_window.min(self.stream_window_first).min(MAX_31)
    }
}

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We answer.
    Server,
    /// We ask.
    Client,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request's head, or the final head of a response. Its fields are in `Connection::section` until the next call.
    /// A request's stream is new; say `expect` before going on.
    Head {
        /// The stream.
        key: Key,
        /// Nothing follows.
        end: bool,
    },
    /// An informational response; its fields are in `Connection::section`.
    Interim {
        /// The stream.
        key: Key,
    },
    /// Trailers, which end the stream; their fields are in `Connection::section`.
    Trailers {
        /// The stream.
        key: Key,
    },
    /// Content. Every byte must be given back with `Connection::release` once it is no longer held.
    Data {
        /// The stream.
        key: Key,
        /// Where it lies in the input's bytes. May be empty where `end` is set.
        bytes: Range<usize>,
        /// Nothing follows.
        end: bool,
    },
    /// The stream is over before its end; nothing more comes or can be sent. What came completely stays good: a server
    /// that has answered may stop the rest of a request with `NoError` (RFC 9113 section 8.1).
    Reset {
        /// The stream.
        key: Key,
        /// Why.
        code: ErrorCode,
        /// Who reset it.
        by: ResetBy,
    },
    /// A stream's window was shut and has opened.
    StreamWindow {
        /// The stream.
        key: Key,
    },
    /// The connection's window was shut and has opened: any stream may have room.
    AnyWindow,
    /// The peer's settings came or changed: any stream may have room, and more may be opened.
    Settings,
    /// The peer applied our settings.
    SettingsAcked,
    /// The peer is going: it opens no stream and takes none above `last`. Each of ours above it follows as `Reset` with
    /// `RefusedStream`, since it certainly was not processed.
    GoAway {
        /// The highest of our streams that it may act upon.
        last: u32,
        /// Why.
        code: ErrorCode,
    },
    /// The peer answered `Connection::ping`.
    PingAck {
        /// As it was sent.
        payload: u64,
    },
}

/// Who ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetBy {
    /// The peer, by RST_STREAM or by GOAWAY.
    Peer,
    /// We did, because the peer broke a rule.
    Us,
}

/// Why the whole connection is over. GOAWAY is queued: write what is queued, then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// The code in our GOAWAY.
    pub code: ErrorCode,
    /// The rule that the peer broke, for logs.
    pub rule: &'static str,
    /// The flood that it was, for metrics.
    pub flood: Option<Flood>,
}

/// The stream is over or was never there: what should have been sent is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamGone;

/// Whether something is the last of its direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// More follows.
    More,
    /// END_STREAM.
    Last,
}

/// Leave to send DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Write this header and then `len` bytes, behind everything that is queued.
    Frame {
        /// The frame's header.
        header: [u8; frame::HEADER_BYTES],
        /// Bytes of content in this frame.
        len: usize,
        /// The frame ends the stream.
        end: bool,
    },
    /// No window; an event tells when there is.
    Blocked,
    /// The stream is over.
    Gone,
}

/// Received bytes, and how far they were read.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    /// Bytes as they came, none read.
    pub const fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { bytes, at: 0 }
    }

    /// Bytes that were read.
    #[cfg(any(test, feature = "fuzz", feature = "bench"))]
    pub const fn taken(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }
}

/// How far we are in going away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainState {
    No,
    /// The peer knows, but what it opens is still taken.
    Announced,
    /// Streams of the peer above this one are ignored.
    Last(u32),
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    config: Rc<Config>,
    reading: Reading,
    /// The part of a frame header or of a payload that has come.
    gathered: Vec<u8>,
    block: Block,
    partial_since: Tick,
    decoder: Decoder,
    encoder: Encoder,
    section: Section,
    streams: Streams,
    scheduler: Scheduler,
    /// The highest stream that was opened, by whoever opens here.
    highest: u32,
    /// Priorities of streams that are not open yet (RFC 9218 section 7.1); only the latest few.
    early: [(u32, Priority); 4],
    peer: Settings,
    peer_settled: bool,
    /// Since when the peer owes us the acknowledgement of our settings.
    unacknowledged_since: Tick,
    send_window: SendWindow,
    receive_window: ReceiveWindow,
    pings: u32,
    out: Vec<u8>,
    /// Bytes among `out` that are answers to the peer or updates of windows.
    out_control: usize,
    counters: Counters,
    /// The slot from which streams are to be swept that the peer's GOAWAY does not cover.
    sweep: Option<usize>,
    peer_last: u32,
    peer_going: bool,
    going: DrainState,
    failed: Option<ConnectionError>,
}

impl Connection {
    /// The side that answers. Its SETTINGS are queued; `now` starts the wait for their acknowledgement.
    pub fn server(config: Rc<Config>, now: Tick) -> Connection {
        let mut connection = Connection::new(Role::Server, config, now);
        let config = &connection.config;
        let entries = [
            (settings::MAX_CONCURRENT_STREAMS, config.streams_max),
            (settings::INITIAL_WINDOW_SIZE, config.first_window()),
            (settings::MAX_HEADER_LIST_SIZE, config.header_list_max),
            (settings::NO_RFC7540_PRIORITIES, 1),
            (settings::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        let count = if config.connect_protocol { 5 } else { 4 };
        settings::write(&mut connection.out, &entries[..count]);
        connection.widen();
        connection
    }

    /// The side that asks. The preface and its SETTINGS are queued.
    pub fn client(config: Rc<Config>, now: Tick) -> Connection {
        let mut connection = Connection::new(Role::Client, config, now);
        connection.out.extend_from_slice(PREFACE);
        let config = &connection.config;
        let entries = [
            (settings::ENABLE_PUSH, 0),
            (settings::INITIAL_WINDOW_SIZE, config.first_window()),
            (settings::MAX_HEADER_LIST_SIZE, config.header_list_max),
        ];
        settings::write(&mut connection.out, &entries);
        connection.widen();
        connection
    }

    fn new(role: Role, config: Rc<Config>, now: Tick) -> Connection {
        Connection {
            role,
            config,
            reading: match role {
                Role::Server => Reading::Preface,
                Role::Client => Reading::Header,
            },
            gathered: Vec::new(),
            block: Block::NONE,
            partial_since: Tick::NEVER,
            decoder: Decoder::new(hpack::TABLE_BYTES),
            encoder: Encoder::new(),
            section: Section::default(),
            streams: Streams::default(),
            scheduler: Scheduler::default(),
            highest: 0,
            early: [(0, Priority::default()); 4],
            peer: Settings::default(),
            peer_settled: false,
            unacknowledged_since: now,
            send_window: SendWindow::new(settings::WINDOW),
            receive_window: ReceiveWindow::new(settings::WINDOW),
            pings: 0,
            out: Vec::new(),
            out_control: 0,
            counters: Counters::default(),
            sweep: None,
            peer_last: MAX_31,
            peer_going: false,
            going: DrainState::No,
            failed: None,
        }
    }

    /// Raises the connection's window to what the configuration says; only WINDOW_UPDATE can (RFC 9113 section 6.9.2).
    fn widen(&mut self) {
        let size = self.connection_window();
        if size > settings::WINDOW {
            self.receive_window = ReceiveWindow::new(size);
            frame::window_update(&mut self.out, 0, size - settings::WINDOW);
        }
    }

    fn connection_window(&self) -> u32 {
        self.config.connection_window.clamp(settings::WINDOW, MAX_31)
    }

    /// Which side we are.
    #[cfg(any(test, feature = "fuzz", feature = "bench"))]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whose messages arrive.
    pub const fn sender(&self) -> Side {
        match self.role {
            Role::Server => Side::Client,
            Role::Client => Side::Upstream,
        }
    }

    /// The fields of the latest head, interim head or trailers. Swap it for another section to keep it.
    pub const fn section(&mut self) -> &mut Section {
        &mut self.section
    }

    /// What the peer allows.
    pub const fn peer(&self) -> &Settings {
        &self.peer
    }

    /// Streams that are open.
    #[cfg(any(test, feature = "fuzz"))]
    pub const fn open_streams(&self) -> usize {
        self.streams.open()
    }

    /// Streams that were not forgotten, open or not.
    pub const fn held_streams(&self) -> usize {
        self.streams.taken()
    }

    /// Since when a frame or a header block has been incomplete, DATA apart; `NEVER` where none is.
    pub const fn partial_since(&self) -> Tick {
        self.partial_since
    }

    /// Since when the peer owes the acknowledgement of our settings (SETTINGS_TIMEOUT); `NEVER` where it does not.
    pub const fn unacknowledged_since(&self) -> Tick {
        self.unacknowledged_since
    }

    /// Why the connection is over.
    pub const fn failed(&self) -> Option<ConnectionError> {
        self.failed
    }

    /// Gives memory back. For a connection that goes idle.
    pub fn shrink(&mut self) {
        self.streams.shrink();
        if self.streams.taken() > 0 {
            return;
        }
        self.scheduler.shrink();
        self.section.clear();
        self.section.bytes.shrink_to_fit();
        self.gathered.shrink_to_fit();
        self.block.shrink();
        self.out.shrink_to_fit();
    }

    /// Bytes of memory, apart from the tables of HPACK.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let vectors = [&self.gathered, &self.out, &self.section.bytes];
        size_of::<Connection>()
            + vectors.iter().map(|vector| vector.capacity()).sum::<usize>()
            + self.block.memory()
            + self.streams.memory()
            + self.scheduler.memory()
    }
}
