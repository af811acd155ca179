// SPDX-License-Identifier: Apache-2.0
//! Hot. HEADERS and CONTINUATION that arrive (RFC 9113 sections 6.2, 6.10 and 8.1), and what becomes of their stream.
//!
//! A block is always decoded, also for a stream that is refused, so that both ends' dynamic tables agree (section 4.3).

use crate::base::{Tick, limits};
use crate::wire::field::Known;
use crate::wire::h2::Section;
use crate::wire::h2::connection::read::ReadStep;
use crate::wire::h2::connection::{Connection, ConnectionError, DrainState, Ending, Event, Role};
use crate::wire::h2::flood::Flood;
use crate::wire::h2::flow::{ReceiveWindow, SendWindow};
use crate::wire::h2::frame::{self, ErrorCode, FrameHeader};
use crate::wire::h2::priority::Priority;
use crate::wire::h2::section::Pseudo;
use crate::wire::h2::settings;
use crate::wire::h2::stream::{ANY_LENGTH, Closed, Half, Key, Stream};

impl Connection {
    pub(super) fn headers(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now: Tick,
    ) -> Result<ReadStep, ConnectionError> {
        let fragment = match strip(header, payload) {
            Ok(fragment) => fragment,
            Err((code, rule)) => return Err(self.fail(code, rule)),
        };
        if header.has(frame::END_HEADERS) {
            return self.block(header.stream, header.flags, fragment, now);
        }
        self.block.stream = header.stream;
        self.block.flags = header.flags;
        self.block.continuations = 0;
        self.block.fragments.extend_from_slice(fragment);
        Ok(ReadStep::Again)
    }

    pub(super) fn continuation(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now: Tick,
    ) -> Result<ReadStep, ConnectionError> {
        if !self.block.is_open() {
            return Err(self.fail(ErrorCode::Protocol, "6.10: CONTINUATION of nothing"));
        }
        self.block.continuations += 1;
        let len = self.block.fragments.len() + payload.len();
        let most = self.config.flood.of(Flood::Continuation).burst;
        if self.block.continuations > most || len > limits::H2_BLOCK_BYTES_MAX {
            return Err(self.fail_flooded(Flood::Continuation));
        }
        self.block.fragments.extend_from_slice(payload);
        if !header.has(frame::END_HEADERS) {
            return Ok(ReadStep::Again);
        }
        let mut fragments = std::mem::take(&mut self.block.fragments);
        self.block.stream = 0;
        let step = self.block(header.stream, self.block.flags, &fragments, now);
        fragments.clear();
        self.block.fragments = fragments;
        step
    }

    /// A complete block.
    fn block(&mut self, stream: u32, flags: u8, block: &[u8], now: Tick) -> Result<ReadStep, ConnectionError> {
        let list_max = self.config.header_list_max as usize;
        if let Err(error) = self.decoder.decode(block, &mut self.section, list_max) {
            return Err(match error.is_flood() {
                true => self.fail_flooded(Flood::HeaderList),
                false => self.fail(ErrorCode::Compression, "4.3: a header block that cannot be decoded"),
            });
        }
        if self.section.oversized {
            self.count(Flood::HeaderList, now)?;
        }
        let ending = if flags & frame::END_STREAM != 0 { Ending::Last } else { Ending::More };
        match self.streams.find(stream) {
            Some(key) => self.head_on_open(key, ending, now).map(ReadStep::Event),
            None if self.role == Role::Server && stream > self.highest => self.accept(stream, ending, now),
            None => self.head_on_closed(stream, now),
        }
    }

    /// A request on a new stream.
    fn accept(&mut self, id: u32, ending: Ending, now: Tick) -> Result<ReadStep, ConnectionError> {
        self.highest = id;
        self.counters.credit(Flood::Priority, 2);
        self.counters.credit(Flood::Ignored, 4);
        if matches!(self.going, DrainState::Last(_)) {
            // It is above the last that our GOAWAY named (RFC 9113 section 6.8).
            self.count(Flood::Ignored, now)?;
            self.streams.remember(id, Closed::ByUs);
            return Ok(ReadStep::Again);
        }
        let most = self.config.streams_max as usize;
        if self.streams.open() >= most || self.streams.taken() >= most.saturating_mul(2) {
            self.streams.remember(id, Closed::ByUs);
            self.queue(|out| frame::rst_stream(out, id, ErrorCode::RefusedStream));
            self.count(Flood::Refused, now)?;
            return Ok(ReadStep::Again);
        }
        let early = self.early.iter().find(|(early, _)| *early == id).map(|(_, priority)| *priority);
        let priority = early.unwrap_or_else(|| self.priority_field());
        let mut stream = self.new_stream(id);
        stream.priority = priority;
        let end = ending == Ending::Last;
        stream.receiving = if end { Half::Ended } else { Half::Body };
        let key = self.streams.insert(stream);
        Ok(ReadStep::Event(Event::Head { key, end }))
    }

    pub(super) fn new_stream(&self, id: u32) -> Stream {
        // The peer may not have seen a smaller window than the usual one yet (RFC 9113 section 6.9.3).
        let settled = self.unacknowledged_since == Tick::NEVER;
        let window = self.config.first_window();
        let receives = if settled { window } else { window.max(settings::WINDOW) };
        Stream {
            id,
            send_window: SendWindow::new(self.peer.window),
            receive_window: ReceiveWindow::new(receives),
            window,
            held: 0,
            sending: Half::Head,
            receiving: Half::Head,
            priority: Priority::default(),
            interims: 0,
            expected: ANY_LENGTH,
            pass: 0,
        }
    }

    /// What the request's `priority` field says (RFC 9218 section 5).
    fn priority_field(&self) -> Priority {
        let Section { fields, bytes, .. } = &self.section;
        // That the fields are listed by name, too, the judgement of the head says only later.
        let values = fields.list.iter().filter(|field| field.known == Known::Priority);
        values.fold(Priority::default(), |priority, field| priority.updated(field.value.of(bytes)))
    }

    /// A response, or trailers.
    fn head_on_open(&mut self, key: Key, ending: Ending, now: Tick) -> Result<Event, ConnectionError> {
        let Some(stream) = self.streams.get_mut(key) else {
            return self.stream_error(key, ErrorCode::Internal, now);
        };
        match stream.receiving {
            Half::Ended => self.stream_error(key, ErrorCode::StreamClosed, now),
            Half::Body if ending == Ending::More => self.stream_error(key, ErrorCode::Protocol, now),
            // RFC 9113 section 8.1.1: less content than `content-length` said.
            Half::Body if !matches!(stream.expected, 0 | ANY_LENGTH) => {
                self.stream_error(key, ErrorCode::Protocol, now)
            }
            Half::Body => {
                self.received_all(key);
                Ok(Event::Trailers { key })
            }
            Half::Head => self.response_head(key, ending, now),
        }
    }

    fn response_head(&mut self, key: Key, ending: Ending, now: Tick) -> Result<Event, ConnectionError> {
        let status = self.section.pseudo(Pseudo::Status).map(|status| status.of(&self.section.bytes));
        let interim = matches!(status, Some([b'1', _, _]));
        let end = ending == Ending::Last;
        let Some(stream) = self.streams.get_mut(key) else {
            return self.stream_error(key, ErrorCode::Internal, now);
        };
        if !interim {
            stream.receiving = Half::Body;
            if end {
                self.received_all(key);
            }
            return Ok(Event::Head { key, end });
        }
        stream.interims = stream.interims.saturating_add(1);
        // RFC 9113 section 8.1: an interim head cannot end a stream.
        if end || stream.interims > limits::H2_INTERIMS_MAX {
            return self.stream_error(key, ErrorCode::Protocol, now);
        }
        Ok(Event::Interim { key })
    }

    #[cold]
    fn head_on_closed(&mut self, id: u32, now: Tick) -> Result<ReadStep, ConnectionError> {
        match self.closed(id)? {
            Closed::Ended | Closed::ByPeer => {
                Err(self.fail(ErrorCode::StreamClosed, "5.1: HEADERS on a closed stream"))
            }
            Closed::Never => Err(self.fail(ErrorCode::Protocol, "5.1.1: a stream below one that was opened")),
            Closed::ByUs | Closed::Forgotten => {
                self.count(Flood::Ignored, now)?;
                Ok(ReadStep::Again)
            }
        }
    }
}

/// The fragment in a HEADERS payload, without padding and the deprecated priority.
fn strip(header: FrameHeader, payload: &[u8]) -> Result<&[u8], (ErrorCode, &'static str)> {
    const SHORT: (ErrorCode, &str) = (ErrorCode::FrameSize, "6.2: HEADERS too short for its flags");
    let mut rest = payload;
    let mut padding = 0;
    if header.has(frame::PADDED) {
        let (first, behind) = rest.split_first().ok_or(SHORT)?;
        (padding, rest) = (usize::from(*first), behind);
    }
    if header.has(frame::PRIORITY) {
        rest = rest.get(5..).ok_or(SHORT)?;
    }
    let len = rest.len().checked_sub(padding);
    len.map(|len| &rest[..len]).ok_or((ErrorCode::Protocol, "6.2: padding longer than the payload"))
}
