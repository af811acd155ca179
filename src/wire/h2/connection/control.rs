// SPDX-License-Identifier: Apache-2.0
//! Frames about streams and the connection that arrive: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM, priorities.

use crate::base::Tick;
use crate::wire::h2::connection::read::ReadStep;
use crate::wire::h2::connection::{Connection, ConnectionError, Event, ResetBy, Role};
use crate::wire::h2::flood::Flood;
use crate::wire::h2::frame::{self, ErrorCode, FrameHeader, Kind, MAX_31};
use crate::wire::h2::priority::Priority;
use crate::wire::h2::settings::{self, From};
use crate::wire::h2::stream::Closed;

impl Connection {
    /// What can be said of a frame by its header: whether it may be on this stream, and its length.
    pub(super) fn check_header(&mut self, header: FrameHeader) -> Result<(), ConnectionError> {
        let FrameHeader { len, kind, stream, .. } = header;
        let on_connection = match kind {
            Kind::Settings | Kind::Ping | Kind::GoAway | Kind::PriorityUpdate => true,
            Kind::Headers | Kind::Priority | Kind::RstStream | Kind::PushPromise | Kind::Continuation | Kind::Data => {
                false
            }
            Kind::WindowUpdate | Kind::Unknown => stream == 0,
        };
        if on_connection != (stream == 0) {
            return Err(self.fail(ErrorCode::Protocol, "6: a frame that is not for this kind of stream"));
        }
        let fits = match kind {
            Kind::RstStream | Kind::WindowUpdate => len == 4,
            Kind::Ping => len == 8,
            Kind::GoAway => len >= 8,
            Kind::PriorityUpdate => len >= 4,
            Kind::Settings if header.has(frame::ACK) => len == 0,
            Kind::Settings => len.is_multiple_of(6),
            // One of the stream, which `priority` finds out.
            Kind::Priority => true,
            Kind::Data | Kind::Headers | Kind::PushPromise | Kind::Continuation | Kind::Unknown => true,
        };
        if !fits {
            return Err(self.fail(ErrorCode::FrameSize, "6: a frame of a wrong length"));
        }
        let idle = self.is_idle(stream);
        let opens = kind == Kind::Headers && self.role == Role::Server && stream & 1 == 1;
        let needs_open = matches!(kind, Kind::RstStream | Kind::WindowUpdate | Kind::Headers);
        if needs_open && stream != 0 && idle && !opens {
            return Err(self.fail(ErrorCode::Protocol, "5.1: a frame on an idle stream"));
        }
        Ok(())
    }

    /// Never opened, nor below one that was. Nobody opens even streams: we push nothing and take no push.
    fn is_idle(&self, stream: u32) -> bool {
        stream > self.highest || stream & 1 == 0
    }

    /// How a stream ended that is not open; an error where it never began.
    pub(super) fn closed(&mut self, stream: u32) -> Result<Closed, ConnectionError> {
        if self.is_idle(stream) {
            return Err(self.fail(ErrorCode::Protocol, "5.1: a frame on an idle stream"));
        }
        Ok(self.streams.closed(stream))
    }

    pub(super) fn settings(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now: Tick,
    ) -> Result<ReadStep, ConnectionError> {
        if header.has(frame::ACK) {
            return self.settings_acknowledged(now);
        }
        if self.peer_settled {
            self.count(Flood::Settings, now)?;
        }
        let from = match self.role {
            Role::Server => From::Client,
            Role::Client => From::Server,
        };
        let before = self.peer;
        let mut lowest_table = before.header_table;
        self.peer = match before.after(payload, from, &mut lowest_table) {
            Ok(settings) => settings,
            Err(code) => return Err(self.fail(code, "6.5.2: a value that is not allowed")),
        };
        self.peer_settled = true;
        if (lowest_table, self.peer.header_table) != (before.header_table, before.header_table) {
            for size in [lowest_table, self.peer.header_table] {
                self.encoder.set_table_max(size as usize);
            }
        }
        let by = i64::from(self.peer.window) - i64::from(before.window);
        if by != 0 && self.streams.all_mut().any(|stream| stream.shift_window(by).is_err()) {
            return Err(self.fail(ErrorCode::FlowControl, "6.9.2: a window above 2^31-1"));
        }
        self.queue(frame::settings_ack);
        Ok(ReadStep::Event(Event::Settings))
    }

    fn settings_acknowledged(&mut self, now: Tick) -> Result<ReadStep, ConnectionError> {
        if self.unacknowledged_since == Tick::NEVER {
            self.count(Flood::Settings, now)?;
            return Ok(ReadStep::Again);
        }
        self.unacknowledged_since = Tick::NEVER;
        self.decoder.acknowledged();
        // A larger window was granted at once, a smaller one counts from here.
        let by = settings::WINDOW.saturating_sub(self.config.first_window());
        if by > 0 {
            self.streams.all_mut().for_each(|stream| stream.receive_window.shift(-(by as i32)));
        }
        Ok(ReadStep::Event(Event::SettingsAcked))
    }

    pub(super) fn pinged(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now: Tick,
    ) -> Result<ReadStep, ConnectionError> {
        let Some(payload) = payload.first_chunk::<8>().copied() else { return Ok(ReadStep::Again) };
        if header.has(frame::ACK) && self.pings > 0 {
            self.pings -= 1;
            return Ok(ReadStep::Event(Event::PingAck { payload: u64::from_be_bytes(payload) }));
        }
        self.count(Flood::Ping, now)?;
        if !header.has(frame::ACK) {
            self.queue(|out| frame::ping(out, frame::ACK, payload));
        }
        Ok(ReadStep::Again)
    }

    pub(super) fn going_away(&mut self, payload: &[u8], now: Tick) -> Result<ReadStep, ConnectionError> {
        let (last, code) = (word(payload, 0) & MAX_31, word(payload, 4));
        self.count(Flood::Ignored, now)?;
        if last > self.peer_last {
            return Err(self.fail(ErrorCode::Protocol, "6.8: GOAWAY with a higher last stream than before"));
        }
        self.peer_last = last;
        self.peer_going = true;
        if self.role == Role::Client {
            self.sweep = Some(0);
        }
        Ok(ReadStep::Event(Event::GoAway { last, code: ErrorCode::of(code) }))
    }

    /// The next stream that the peer's GOAWAY does not cover: it is over, and was certainly not processed.
    pub(super) fn sweep(&mut self) -> Option<Event> {
        let last = self.peer_last;
        let from = self.sweep?;
        let found = self.streams.iter_from(from).find(|(key, stream)| key.id() > last && stream.is_open());
        let found = found.map(|(key, _)| key);
        self.sweep = found.map(|key| key.slot() + 1);
        let key = found?;
        self.close(key, Closed::ByPeer);
        Some(Event::Reset { key, code: ErrorCode::RefusedStream, by: ResetBy::Peer })
    }

    pub(super) fn window_update(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now: Tick,
    ) -> Result<ReadStep, ConnectionError> {
        let increment = word(payload, 0) & MAX_31;
        if header.stream == 0 {
            return self.connection_window_update(increment, now);
        }
        let Some(key) = self.streams.find(header.stream) else {
            self.count(Flood::Ignored, now)?;
            return Ok(ReadStep::Again);
        };
        self.count(Flood::WindowUpdate, now)?;
        if increment == 0 {
            return self.stream_error(key, ErrorCode::Protocol, now).map(ReadStep::Event);
        }
        let Some(stream) = self.streams.get_mut(key) else { return Ok(ReadStep::Again) };
        let was_shut = stream.send_window.room() == 0;
        if stream.shift_window(i64::from(increment)).is_err() {
            return self.stream_error(key, ErrorCode::FlowControl, now).map(ReadStep::Event);
        }
        // Where the connection's window is shut, `AnyWindow` will tell.
        let opens = was_shut && stream.send_window.room() > 0 && self.send_window.room() > 0;
        Ok(if opens { ReadStep::Event(Event::StreamWindow { key }) } else { ReadStep::Again })
    }

    fn connection_window_update(&mut self, increment: u32, now: Tick) -> Result<ReadStep, ConnectionError> {
        self.count(Flood::WindowUpdate, now)?;
        if increment == 0 {
            return Err(self.fail(ErrorCode::Protocol, "6.9: an increment of zero"));
        }
        let was_shut = self.send_window.room() == 0;
        if self.send_window.shift(i64::from(increment)).is_err() {
            return Err(self.fail(ErrorCode::FlowControl, "6.9.1: a window above 2^31-1"));
        }
        Ok(if was_shut { ReadStep::Event(Event::AnyWindow) } else { ReadStep::Again })
    }

    pub(super) fn rst_stream(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now: Tick,
    ) -> Result<ReadStep, ConnectionError> {
        let code = ErrorCode::of(word(payload, 0));
        let Some(key) = self.streams.find(header.stream) else {
            self.count(Flood::Ignored, now)?;
            return Ok(ReadStep::Again);
        };
        if self.role == Role::Server {
            self.count(Flood::RapidReset, now)?;
        }
        self.close(key, Closed::ByPeer);
        Ok(ReadStep::Event(Event::Reset { key, code, by: ResetBy::Peer }))
    }

    /// PRIORITY is read over (RFC 9113 section 5.3.2); of a wrong length it is a stream error (section 6.3), and one of
    /// the connection where there is no stream to reset.
    pub(super) fn priority(&mut self, header: FrameHeader, now: Tick) -> Result<ReadStep, ConnectionError> {
        self.count(Flood::Priority, now)?;
        if header.len == 5 {
            return Ok(ReadStep::Again);
        }
        match self.streams.find(header.stream) {
            Some(key) => self.stream_error(key, ErrorCode::FrameSize, now).map(ReadStep::Event),
            None => Err(self.fail(ErrorCode::FrameSize, "6.3: PRIORITY of a wrong length")),
        }
    }

    /// RFC 9218 section 7.1.
    pub(super) fn priority_update(&mut self, payload: &[u8], now: Tick) -> Result<ReadStep, ConnectionError> {
        self.count(Flood::Priority, now)?;
        let stream = word(payload, 0) & MAX_31;
        if self.role == Role::Client || stream & 1 == 0 {
            return Err(self.fail(ErrorCode::Protocol, "RFC 9218 7.1: PRIORITY_UPDATE of no request"));
        }
        let priority = Priority::parse(payload.get(4..).unwrap_or_default());
        if let Some(key) = self.streams.find(stream) {
            self.prioritise(key, priority);
        } else if stream > self.highest {
            self.remember_early(stream, priority);
        }
        Ok(ReadStep::Again)
    }

    fn remember_early(&mut self, stream: u32, priority: Priority) {
        let known = self.early.iter().position(|(early, _)| *early == stream);
        let at = known.unwrap_or(self.early.len() - 1);
        self.early[..=at].rotate_right(1);
        self.early[0] = (stream, priority);
    }
}

/// The 32-bit number at `at`; zero where there is none, which the checks of lengths exclude.
fn word(payload: &[u8], at: usize) -> u32 {
    payload.get(at..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
