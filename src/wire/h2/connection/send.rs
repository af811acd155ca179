// SPDX-License-Identifier: Apache-2.0
//! Hot. What we send: heads and trailers, DATA by window and turn, PING, and the queue that the edge writes.
//!
//! The order is guaranteed: queued bytes are written before DATA that is granted later, and a granted frame is written
//! before bytes that are queued after it.

use crate::base::Tick;
use crate::wire::h2::connection::{Connection, Ending, Grant, Role, StreamGone};
use crate::wire::h2::flood::Flood;
use crate::wire::h2::frame::{self, FrameHeader, HEADER_BYTES, Kind, MAX_31};
use crate::wire::h2::hpack::Encoder;
use crate::wire::h2::priority::Priority;
use crate::wire::h2::scheduler::charged;
use crate::wire::h2::stream::{Half, Key};

/// A frame that the window cut below this many bytes is a crumb.
const CRUMB: usize = 256;

/// A frame from here on is worth the window updates that it brings about, wherever it ended.
const WORTHY: usize = 1_024;

/// Why no stream can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many are open as the peer or the configuration allows.
    Full,
    /// GOAWAY was sent or received, identifiers are used up, or the connection is over: never again.
    Going,
}

impl Connection {
    /// Opens a stream with a request's head, which `write` appends as a header block.
    pub fn open(&mut self, ending: Ending, write: impl FnOnce(&mut Vec<u8>, &mut Encoder)) -> Result<Key, Refusal> {
        let id = if self.highest == 0 { 1 } else { self.highest + 2 };
        if self.failed.is_some() || self.is_going() || id > MAX_31 || self.role == Role::Server {
            return Err(Refusal::Going);
        }
        if self.openable() == 0 {
            return Err(Refusal::Full);
        }
        self.highest = id;
        let mut stream = self.new_stream(id);
        stream.sending = Half::Body;
        let key = self.streams.insert(stream);
        self.block_out(key, ending, write);
        Ok(key)
    }

    /// How many streams may be opened now.
    pub fn openable(&self) -> usize {
        let most = self.peer.concurrent.min(self.config.streams_max) as usize;
        most.saturating_sub(self.streams.open()).min(most.saturating_mul(2).saturating_sub(self.streams.taken()))
    }

    /// Sends an interim head, which `write` appends as a header block.
    pub fn send_interim(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>, &mut Encoder)) -> Result<(), StreamGone> {
        self.send_block(key, Half::Head, Ending::More, write)
    }

    /// Sends a final head, which `write` appends as a header block.
    pub fn send_head(
        &mut self,
        key: Key,
        ending: Ending,
        write: impl FnOnce(&mut Vec<u8>, &mut Encoder),
    ) -> Result<(), StreamGone> {
        self.send_block(key, Half::Head, ending, write)?;
        if let Some(stream) = self.streams.get_mut(key)
            && stream.sending == Half::Head
        {
            stream.sending = Half::Body;
        }
        Ok(())
    }

    /// Sends trailers, which `write` appends as a header block; they end the stream.
    pub fn send_trailers(
        &mut self,
        key: Key,
        write: impl FnOnce(&mut Vec<u8>, &mut Encoder),
    ) -> Result<(), StreamGone> {
        self.send_block(key, Half::Body, Ending::Last, write)
    }

    fn send_block(
        &mut self,
        key: Key,
        state: Half,
        ending: Ending,
        write: impl FnOnce(&mut Vec<u8>, &mut Encoder),
    ) -> Result<(), StreamGone> {
        let stream = self.streams.get(key).ok_or(StreamGone)?;
        if stream.sending == Half::Ended || self.failed.is_some() {
            return Err(StreamGone);
        }
        debug_assert_eq!(stream.sending, state, "head before body, body before trailers");
        self.block_out(key, ending, write);
        Ok(())
    }

    /// Writes the block directly behind the place of its frame header.
    fn block_out(&mut self, key: Key, ending: Ending, write: impl FnOnce(&mut Vec<u8>, &mut Encoder)) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; HEADER_BYTES]);
        write(&mut self.out, &mut self.encoder);
        let flags = if ending == Ending::Last { frame::END_STREAM } else { 0 };
        let head = FrameHeader { len: 0, kind: Kind::Headers, flags, stream: key.id() };
        frame::frame_block(&mut self.out, start, head, self.peer.payload_max as usize);
        match ending {
            Ending::Last => self.sent_all(key),
            Ending::More => {}
        }
    }

    /// How much DATA a stream may send now in one frame: by its window, the connection's, and the peer's largest frame.
    pub fn data_room(&self, key: Key) -> usize {
        let Some(stream) = self.streams.get(key) else { return 0 };
        if stream.sending == Half::Ended {
            return 0;
        }
        stream.send_window.room().min(self.send_window.room()).min(self.peer.payload_max as usize)
    }

    /// Leave to send up to `wanted` bytes of DATA, which count as sent from here on: the edge writes the header and the
    /// bytes, behind what is queued and before anything that is queued later. `Ending::Last` holds for all of
    /// `wanted`: where only a part has room, the frame does not end the stream.
    pub fn grant(&mut self, key: Key, wanted: usize, ending: Ending, now: Tick) -> Grant {
        let room = self.data_room(key);
        let Some(stream) = self.streams.get_mut(key) else { return Grant::Gone };
        if stream.sending == Half::Ended || self.failed.is_some() {
            return Grant::Gone;
        }
        if room == 0 && wanted > 0 {
            return Grant::Blocked;
        }
        debug_assert_eq!(stream.sending, Half::Body, "a head comes first");
        let len = wanted.min(room);
        stream.send_window.spend(len);
        stream.pass = charged(stream.pass, stream.priority, len);
        self.send_window.spend(len);
        let end = ending == Ending::Last && len == wanted;
        if end {
            self.sent_all(key);
        }
        self.weigh(len, wanted, now);
        let flags = if end { frame::END_STREAM } else { 0 };
        let header = FrameHeader { len: len as u32, kind: Kind::Data, flags, stream: key.id() }.bytes();
        Grant::Frame { header, len, end }
    }

    /// Judges the peer by the frames that its windows make us send: `len` bytes where we `wanted` to send more.
    fn weigh(&mut self, len: usize, wanted: usize, now: Tick) {
        let shut = len < wanted && len < self.peer.payload_max as usize;
        if shut && len < CRUMB {
            if self.counters.count(Flood::Dribble, &self.config.flood, now).is_err() {
                self.fail_flooded(Flood::Dribble);
            }
            return;
        }
        if !shut || len >= WORTHY {
            self.counters.credit(Flood::WindowUpdate, 4);
            self.counters.credit(Flood::Ping, 1);
        }
        if len >= WORTHY {
            self.counters.credit(Flood::Dribble, 1);
        }
    }

    /// Queues DATA as a copy: for small bodies that leave together with their head. How many of the bytes were taken;
    /// `Ending::Last` is sent where it is all of them.
    pub fn send_data(&mut self, key: Key, bytes: &[u8], ending: Ending, now: Tick) -> Result<usize, StreamGone> {
        let mut taken = 0;
        loop {
            match self.grant(key, bytes.len() - taken, ending, now) {
                Grant::Gone => return Err(StreamGone),
                Grant::Blocked => return Ok(taken),
                Grant::Frame { header, len, .. } => {
                    self.out.extend_from_slice(&header);
                    self.out.extend_from_slice(&bytes[taken..taken + len]);
                    taken += len;
                }
            }
            if taken == bytes.len() {
                return Ok(taken);
            }
        }
    }

    /// The stream has DATA to send: it takes part in `pick`.
    pub fn offer(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key)
            && stream.sending != Half::Ended
        {
            stream.pass = self.scheduler.offer(key, stream.priority, stream.pass);
        }
    }

    /// Takes out the offered stream whose turn it is to send, among those with room: by urgency, then by what each has
    /// had. It is offered again for its next frame.
    pub fn pick(&mut self) -> Option<Key> {
        if self.scheduler.is_empty() || self.send_window.room() == 0 {
            return None;
        }
        let streams = &self.streams;
        self.scheduler.pick(|key| streams.get(key).is_some_and(|stream| stream.send_window.room() > 0))
    }

    /// Changes what a stream's priority is, as the response's `priority` field may (RFC 9218 section 8).
    pub fn prioritise(&mut self, key: Key, priority: Priority) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.priority = priority;
            self.scheduler.hurry(key, priority);
        }
    }

    /// A stream's priority.
    pub fn priority_of(&self, key: Key) -> Priority {
        self.streams.get(key).map_or(Priority::default(), |stream| stream.priority)
    }

    /// Asks the peer for an answer.
    pub fn ping(&mut self, payload: u64) {
        self.pings = self.pings.saturating_add(1);
        frame::ping(&mut self.out, 0, payload.to_be_bytes());
    }

    /// Something is queued.
    pub const fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Bytes that are queued.
    pub const fn output_len(&self) -> usize {
        self.out.len()
    }

    /// `pick` would find a stream.
    pub fn can_pick(&self) -> bool {
        let may = |key| self.streams.get(key).is_some_and(|stream| stream.send_window.room() > 0);
        self.send_window.room() > 0 && self.scheduler.any(may)
    }

    /// Moves what is queued to the end of `into`. To be called only when the last of it was written: what is queued
    /// meanwhile shows that the peer does not read, and is bounded.
    pub fn take_output(&mut self, into: &mut Vec<u8>) {
        self.out_control = 0;
        if into.is_empty() {
            std::mem::swap(&mut self.out, into);
        } else {
            into.append(&mut self.out);
        }
    }
}
