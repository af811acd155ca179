// SPDX-License-Identifier: Apache-2.0
//! Hot. Finds frames in received bytes: complete frames are read in place, parts of others are collected.

use crate::base::Tick;
use crate::wire::h2::connection::reading::Reading;
use crate::wire::h2::connection::{Connection, ConnectionError, Event, Input};
use crate::wire::h2::flood::Flood;
use crate::wire::h2::frame::{self, ErrorCode, FrameHeader, HEADER_BYTES, Kind, PAYLOAD_MAX, PREFACE};

/// What a step of reading brought.
pub(super) enum ReadStep {
    Event(Event),
    /// Nothing to tell; go on.
    Again,
    /// The input is used up.
    Hungry,
}

impl Connection {
    /// Reads on in `input` up to the next event. `None` means that all of `input` was taken and more is needed.
    pub fn next(&mut self, input: &mut Input<'_>, now: Tick) -> Result<Option<Event>, ConnectionError> {
        loop {
            if let Some(error) = self.failed {
                return Err(error);
            }
            if self.sweep.is_some()
                && let Some(event) = self.sweep()
            {
                return Ok(Some(event));
            }
            match self.step(input, now)? {
                ReadStep::Event(event) => return Ok(Some(event)),
                ReadStep::Again => {}
                ReadStep::Hungry => break,
            }
        }
        self.note_partial(now);
        Ok(None)
    }

    fn step(&mut self, input: &mut Input<'_>, now: Tick) -> Result<ReadStep, ConnectionError> {
        match self.reading {
            Reading::Header => self.header(input, now),
            Reading::Content(content) => Ok(self.content(content, input)),
            Reading::Payload(header) => self.payload(header, input, now),
            Reading::Padding(header, key) => self.padding(header, key, input, now),
            Reading::Skip(left) => Ok(self.skip(left, input)),
            Reading::Preface => self.preface(input),
        }
    }

    fn note_partial(&mut self, now: Tick) {
        let between = match self.reading {
            Reading::Header => self.gathered.is_empty() && !self.block.is_open(),
            Reading::Content(_) | Reading::Padding(..) => true,
            Reading::Preface | Reading::Payload(_) | Reading::Skip(_) => false,
        };
        if between {
            self.partial_since = Tick::NEVER;
        } else if self.partial_since == Tick::NEVER {
            self.partial_since = now;
        }
    }

    /// RFC 9113 section 3.4. The first byte that differs is enough to know.
    fn preface(&mut self, input: &mut Input<'_>) -> Result<ReadStep, ConnectionError> {
        let wanted = &PREFACE[self.gathered.len()..];
        let count = wanted.len().min(input.rest().len());
        let came = &input.rest()[..count];
        if came != &wanted[..count] {
            return Err(self.fail(ErrorCode::Protocol, "3.4: not the preface"));
        }
        input.at += count;
        if count < wanted.len() {
            self.gathered.extend_from_slice(came);
            return Ok(ReadStep::Hungry);
        }
        self.gathered.clear();
        self.reading = Reading::Header;
        Ok(ReadStep::Again)
    }

    fn header(&mut self, input: &mut Input<'_>, now: Tick) -> Result<ReadStep, ConnectionError> {
        if self.gathered.is_empty()
            && let Some(bytes) = input.rest().first_chunk::<HEADER_BYTES>()
        {
            input.at += HEADER_BYTES;
            return self.begin(FrameHeader::parse(*bytes), input, now);
        }
        let count = (HEADER_BYTES - self.gathered.len()).min(input.rest().len());
        self.gathered.extend_from_slice(&input.rest()[..count]);
        input.at += count;
        let Some(bytes) = self.gathered.first_chunk::<HEADER_BYTES>() else { return Ok(ReadStep::Hungry) };
        let header = FrameHeader::parse(*bytes);
        self.gathered.clear();
        self.begin(header, input, now)
    }

    /// What must be known before a payload is read.
    fn begin(&mut self, header: FrameHeader, input: &mut Input<'_>, now: Tick) -> Result<ReadStep, ConnectionError> {
        if !self.peer_settled && (header.kind != Kind::Settings || header.has(frame::ACK)) {
            return Err(self.fail(ErrorCode::Protocol, "3.4: the first frame is not SETTINGS"));
        }
        if header.len as usize > PAYLOAD_MAX {
            return Err(self.fail(ErrorCode::FrameSize, "4.2: a frame above SETTINGS_MAX_FRAME_SIZE"));
        }
        if self.block.is_open() && (header.kind != Kind::Continuation || header.stream != self.block.stream) {
            return Err(self.fail(ErrorCode::Protocol, "6.10: a frame inside of a header block"));
        }
        match header.kind {
            Kind::Data => self.begin_data(header, input, now),
            Kind::Unknown => {
                self.count(Flood::Ignored, now)?;
                self.reading = Reading::Skip(header.len);
                Ok(ReadStep::Again)
            }
            Kind::Headers
            | Kind::Priority
            | Kind::RstStream
            | Kind::Settings
            | Kind::PushPromise
            | Kind::Ping
            | Kind::GoAway
            | Kind::WindowUpdate
            | Kind::Continuation
            | Kind::PriorityUpdate => {
                self.check_header(header)?;
                self.payload(header, input, now)
            }
        }
    }

    /// Reads a payload where it lies, or gathers it.
    fn payload(&mut self, header: FrameHeader, input: &mut Input<'_>, now: Tick) -> Result<ReadStep, ConnectionError> {
        let len = header.len as usize;
        self.reading = Reading::Header;
        if self.gathered.is_empty()
            && let Some(payload) = input.rest().get(..len)
        {
            input.at += len;
            return self.frame(header, payload, now);
        }
        let count = (len - self.gathered.len()).min(input.rest().len());
        self.gathered.extend_from_slice(&input.rest()[..count]);
        input.at += count;
        if self.gathered.len() < len {
            self.reading = Reading::Payload(header);
            return Ok(ReadStep::Hungry);
        }
        let mut payload = std::mem::take(&mut self.gathered);
        let step = self.frame(header, &payload, now);
        payload.clear();
        self.gathered = payload;
        step
    }

    fn frame(&mut self, header: FrameHeader, payload: &[u8], now: Tick) -> Result<ReadStep, ConnectionError> {
        match header.kind {
            Kind::Headers => self.headers(header, payload, now),
            Kind::Continuation => self.continuation(header, payload, now),
            Kind::WindowUpdate => self.window_update(header, payload, now),
            Kind::RstStream => self.rst_stream(header, payload, now),
            Kind::Settings => self.settings(header, payload, now),
            Kind::Ping => self.pinged(header, payload, now),
            Kind::GoAway => self.going_away(payload, now),
            Kind::Priority => self.priority(header, now),
            Kind::PriorityUpdate => self.priority_update(payload, now),
            Kind::PushPromise => Err(self.fail(ErrorCode::Protocol, "8.4: PUSH_PROMISE, which is not enabled")),
            // Neither is gathered.
            Kind::Data | Kind::Unknown => Ok(ReadStep::Again),
        }
    }

    fn skip(&mut self, left: u32, input: &mut Input<'_>) -> ReadStep {
        let count = (left as usize).min(input.rest().len());
        input.at += count;
        let left = left - count as u32;
        if left == 0 {
            self.reading = Reading::Header;
            return ReadStep::Again;
        }
        self.reading = Reading::Skip(left);
        ReadStep::Hungry
    }
}
