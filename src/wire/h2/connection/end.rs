// SPDX-License-Identifier: Apache-2.0
//! How streams and the connection end: errors, resets, GOAWAY, and floods.

use crate::base::Tick;
use crate::wire::h2::connection::{Connection, ConnectionError, DrainState, Event, ResetBy, Role};
use crate::wire::h2::flood::Flood;
use crate::wire::h2::frame::{self, ErrorCode, MAX_31};
use crate::wire::h2::stream::{Closed, Half, Key, Stream};

impl Connection {
    /// Resets a stream. Codes that blame the peer count as resets that it provoked.
    pub fn reset(&mut self, key: Key, code: ErrorCode, now: Tick) {
        if !self.is_open(key) {
            return;
        }
        self.queue(|out| frame::rst_stream(out, key.id(), code));
        self.close(key, Closed::ByUs);
        let blames = matches!(
            code,
            ErrorCode::Protocol | ErrorCode::FlowControl | ErrorCode::StreamClosed | ErrorCode::FrameSize
        );
        if blames && self.counters.count(Flood::ErrorReset, &self.config.flood, now).is_err() {
            self.fail_flooded(Flood::ErrorReset);
        }
    }

    /// The exchange of a stream is over and holds none of its bytes: its slot is free for another. A stream that is
    /// still open is reset: with NO_ERROR where our answer is complete (RFC 9113 section 8.1), else with CANCEL.
    pub fn forget(&mut self, key: Key, now: Tick) {
        let Some(stream) = self.streams.get(key) else { return };
        let answered = stream.sending == Half::Ended && self.role == Role::Server;
        let held = stream.held;
        self.reset(key, if answered { ErrorCode::NoError } else { ErrorCode::Cancel }, now);
        self.release_connection(held);
        self.streams.free(key);
    }

    /// Announces the end: streams that the peer opens before it knows are still taken (RFC 9113 section 6.8). When it
    /// knows (a PING answered, or a while later) `go_away` follows.
    pub fn announce_going(&mut self) {
        if self.going == DrainState::No && self.failed.is_none() {
            self.going = DrainState::Announced;
            frame::go_away(&mut self.out, MAX_31, ErrorCode::NoError);
        }
    }

    /// Sends GOAWAY with the last stream that was taken; later ones are ignored, open ones go on. Said again without an
    /// error it would say nothing new, and is not sent.
    pub fn go_away(&mut self, code: ErrorCode) {
        let known = matches!(self.going, DrainState::Last(_)) && code == ErrorCode::NoError;
        if self.failed.is_none() && !known {
            self.send_go_away(code);
        }
    }

    /// We said that we go, and no stream is left.
    pub const fn is_drained(&self) -> bool {
        matches!(self.going, DrainState::Last(_)) && self.streams.open() == 0
    }

    /// GOAWAY was sent or received: no new requests belong here.
    pub fn is_going(&self) -> bool {
        self.going != DrainState::No || self.peer_going
    }

    fn send_go_away(&mut self, code: ErrorCode) {
        let last = match (self.going, self.role) {
            // It must not rise.
            (DrainState::Last(last), _) => last,
            (DrainState::No | DrainState::Announced, Role::Server) => self.highest,
            (DrainState::No | DrainState::Announced, Role::Client) => 0,
        };
        self.going = DrainState::Last(last);
        frame::go_away(&mut self.out, last, code);
    }

    /// Ends the connection.
    #[cold]
    pub(super) fn fail(&mut self, code: ErrorCode, rule: &'static str) -> ConnectionError {
        self.fail_with(ConnectionError { code, rule, flood: None })
    }

    /// Ends the connection because of a flood.
    #[cold]
    pub(super) fn fail_flooded(&mut self, kind: Flood) -> ConnectionError {
        let code = ErrorCode::EnhanceYourCalm;
        self.fail_with(ConnectionError { code, rule: "10.5: too much of it", flood: Some(kind) })
    }

    fn fail_with(&mut self, error: ConnectionError) -> ConnectionError {
        if let Some(first) = self.failed {
            return first;
        }
        self.send_go_away(error.code);
        self.failed = Some(error);
        error
    }

    /// Counts a frame that may be part of a flood.
    pub(super) fn count(&mut self, kind: Flood, now: Tick) -> Result<(), ConnectionError> {
        match self.counters.count(kind, &self.config.flood, now) {
            Ok(()) => Ok(()),
            Err(flooded) => Err(self.fail_flooded(flooded.0)),
        }
    }

    /// The peer broke a rule on one stream (RFC 9113 section 5.4.2).
    #[cold]
    pub(super) fn stream_error(&mut self, key: Key, code: ErrorCode, now: Tick) -> Result<Event, ConnectionError> {
        self.count(Flood::ErrorReset, now)?;
        self.queue(|out| frame::rst_stream(out, key.id(), code));
        self.close(key, Closed::ByUs);
        Ok(Event::Reset { key, code, by: ResetBy::Us })
    }

    /// Queues an answer to the peer. One that does not read them must not make us keep them without end.
    pub(super) fn queue(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.out.len();
        write(&mut self.out);
        self.out_control += self.out.len() - before;
        if self.out_control > self.config.flood.of(Flood::Output).burst as usize {
            self.fail_flooded(Flood::Output);
        }
    }

    pub(super) fn is_open(&self, key: Key) -> bool {
        self.streams.get(key).is_some_and(Stream::is_open)
    }

    pub(super) fn close(&mut self, key: Key, how: Closed) {
        self.streams.close(key, how);
        if !self.scheduler.is_empty() {
            self.scheduler.remove(key);
        }
    }

    /// END_STREAM came.
    pub(super) fn received_all(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.receiving = Half::Ended;
        if stream.sending == Half::Ended {
            self.complete(key);
        }
    }

    /// END_STREAM went out.
    pub(super) fn sent_all(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.sending = Half::Ended;
        if stream.receiving == Half::Ended {
            self.complete(key);
        }
    }

    fn complete(&mut self, key: Key) {
        self.close(key, Closed::Ended);
        self.counters.credit(Flood::RapidReset, 1);
    }
}
