// SPDX-License-Identifier: Apache-2.0
//! Hot. DATA that arrives (RFC 9113 section 6.1): windows, padding, and content against `content-length`.
//!
//! A frame is judged as a whole when its header (and its padding length) has come, so that what follows does not
//! depend on how its payload is cut.

use crate::base::Tick;
use crate::base::canary::{self, Flaw};
use crate::wire::h2::connection::read::ReadStep;
use crate::wire::h2::connection::reading::{Content, Reading};
use crate::wire::h2::connection::{Connection, ConnectionError, Event, Input};
use crate::wire::h2::flood::Flood;
use crate::wire::h2::frame::{self, ErrorCode, FrameHeader};
use crate::wire::h2::stream::{ANY_LENGTH, Closed, Half, Key};
use crate::wire::head::BodyLength;

/// Content of a DATA frame below which the frame costs more than it brings.
const TINY: u32 = 16;

impl Connection {
    /// How long the content of a stream must be, by its head (RFC 9113 section 8.1.1). Content of another length is a
    /// stream error. To be said before the next event is read, where it is not known that anything goes.
    pub fn expect(&mut self, key: Key, length: BodyLength) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.expected = match length {
            BodyLength::None => 0,
            BodyLength::Exact(len) => len,
            BodyLength::Chunked | BodyLength::UntilClose => ANY_LENGTH,
        };
    }

    /// Gives `count` received bytes free: they are no longer held in memory. The peer is told by halves of a window.
    pub fn release(&mut self, key: Key, count: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let count = stream.held.min(u32::try_from(count).unwrap_or(u32::MAX));
        stream.held -= count;
        self.release_window(key, count);
        if !canary::has(Flaw::ConnectionWindow) {
            self.release_connection(count);
        }
    }

    fn release_window(&mut self, key: Key, count: u32) {
        let most = self.config.stream_window.min(frame::MAX_31);
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.receiving == Half::Ended {
            return;
        }
        if let Some(increment) = stream.receive_window.release(count, stream.window) {
            // Where everything was read, the window may be what holds the sender back.
            let more = if stream.held == 0 { stream.window.min(most.saturating_sub(stream.window)) } else { 0 };
            stream.window += more;
            stream.receive_window.shift(more as i32);
            self.queue(|out| frame::window_update(out, key.id(), increment + more));
        }
    }

    pub(super) fn release_connection(&mut self, count: u32) {
        let size = self.connection_window();
        if let Some(increment) = self.receive_window.release(count, size) {
            self.queue(|out| frame::window_update(out, 0, increment));
        }
    }

    pub(super) fn begin_data(
        &mut self,
        header: FrameHeader,
        input: &mut Input<'_>,
        now: Tick,
    ) -> Result<ReadStep, ConnectionError> {
        if header.stream == 0 {
            return Err(self.fail(ErrorCode::Protocol, "6.1: DATA on stream 0"));
        }
        let padded = header.has(frame::PADDED);
        if padded && header.len == 0 {
            return Err(self.fail(ErrorCode::FrameSize, "6.1: no room for the padding length"));
        }
        if self.receive_window.receive(header.len).is_err() {
            return Err(self.fail(ErrorCode::FlowControl, "6.9: DATA above the connection's window"));
        }
        let Some(key) = self.streams.find(header.stream) else { return self.data_on_closed(header, now) };
        let Some(stream) = self.streams.get_mut(key) else { return self.data_on_closed(header, now) };
        let code = match stream.receiving {
            Half::Body if stream.receive_window.receive(header.len).is_ok() => None,
            Half::Body => Some(ErrorCode::FlowControl),
            Half::Head => Some(ErrorCode::Protocol),
            Half::Ended => Some(ErrorCode::StreamClosed),
        };
        if let Some(code) = code {
            self.drop_data(header.len);
            return self.stream_error(key, code, now).map(ReadStep::Event);
        }
        if padded {
            self.reading = Reading::Padding(header, key);
            return Ok(ReadStep::Again);
        }
        let content = Content { key, left: header.len, padding: 0, end: header.has(frame::END_STREAM) };
        self.begin_content(content, input, now)
    }

    /// RFC 9113 section 5.1: idle, closed by END_STREAM or by the peer's reset are errors; behind our own reset DATA is
    /// ignored, but it counts for the connection's window.
    #[cold]
    fn data_on_closed(&mut self, header: FrameHeader, now: Tick) -> Result<ReadStep, ConnectionError> {
        match self.closed(header.stream)? {
            Closed::Ended | Closed::ByPeer | Closed::Never => {
                Err(self.fail(ErrorCode::StreamClosed, "5.1: DATA on a closed stream"))
            }
            Closed::ByUs | Closed::Forgotten => {
                self.count(Flood::Ignored, now)?;
                self.drop_data(header.len);
                Ok(ReadStep::Again)
            }
        }
    }

    /// Passes over a payload that nobody will see; it is no longer held, so the connection's window gets it back.
    fn drop_data(&mut self, len: u32) {
        self.release_connection(len);
        self.reading = Reading::Skip(len);
    }

    pub(super) fn padding(
        &mut self,
        header: FrameHeader,
        key: Key,
        input: &mut Input<'_>,
        now: Tick,
    ) -> Result<ReadStep, ConnectionError> {
        let Some(padding) = input.rest().first() else { return Ok(ReadStep::Hungry) };
        input.at += 1;
        let padding = u32::from(*padding);
        let Some(left) = (header.len - 1).checked_sub(padding) else {
            return Err(self.fail(ErrorCode::Protocol, "6.1: padding longer than the payload"));
        };
        // Nobody holds padding.
        self.release_window(key, padding + 1);
        self.release_connection(padding + 1);
        self.begin_content(Content { key, left, padding, end: header.has(frame::END_STREAM) }, input, now)
    }

    fn begin_content(
        &mut self,
        content: Content,
        input: &mut Input<'_>,
        now: Tick,
    ) -> Result<ReadStep, ConnectionError> {
        let Content { key, left, padding, end } = content;
        if left < TINY && !end {
            self.count(if left == 0 { Flood::EmptyData } else { Flood::TinyData }, now)?;
        } else {
            self.counters.credit(Flood::Ping, 1);
        }
        if let Some(stream) = self.streams.get_mut(key)
            && stream.expected != ANY_LENGTH
        {
            let rest = stream.expected.checked_sub(u64::from(left));
            match rest {
                Some(rest) if rest == 0 || !end => stream.expected = rest,
                Some(_) | None => {
                    self.release_connection(left);
                    self.reading = Reading::Skip(left + padding);
                    return self.stream_error(key, ErrorCode::Protocol, now).map(ReadStep::Event);
                }
            }
        }
        Ok(self.content(content, input))
    }

    /// Hands out what is there of a DATA frame.
    pub(super) fn content(&mut self, mut content: Content, input: &mut Input<'_>) -> ReadStep {
        let start = input.at;
        let count = (content.left as usize).min(input.rest().len());
        input.at += count;
        content.left -= count as u32;
        if content.left == 0 {
            let padding = (content.padding as usize).min(input.rest().len());
            input.at += padding;
            content.padding -= padding as u32;
        }
        let done = content.left == 0 && content.padding == 0;
        self.reading = if done { Reading::Header } else { Reading::Content(content) };
        let end = done && content.end;
        if count == 0 && !end {
            return if done { ReadStep::Again } else { ReadStep::Hungry };
        }
        match self.streams.get_mut(content.key) {
            Some(stream) if stream.receiving == Half::Body => stream.held += count as u32,
            // It was reset between two pieces of the frame.
            Some(_) | None => {
                self.release_connection(count as u32);
                return ReadStep::Again;
            }
        }
        if end {
            self.received_all(content.key);
        }
        ReadStep::Event(Event::Data { key: content.key, bytes: start..start + count, end })
    }
}
