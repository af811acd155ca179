// SPDX-License-Identifier: Apache-2.0
//! Hot. Reads one HTTP/2 connection and handles its events: starts exchanges, delivers responses, puts content into
//! stream states.

use std::io::ErrorKind;
use std::rc::Rc;

use crate::base::{Buf, BufPool, Tick, limits};
use crate::edge::protocol::h2::session::Session;
use crate::edge::protocol::h2::stream_state::{ReceiveState, StreamState};
use crate::net::{Net, Stream};
use crate::wire::h2::connection::{ConnectionError, Event, Input, ResetBy};
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::message::{self, Content};
use crate::wire::h2::stream::Key;
use crate::wire::h2::write;

/// A connection without streams gives its buffers back after this.
const QUIET_MS: u64 = 100;

/// What the two sides do differently.
pub(crate) trait Role<N: Net> {
    /// A head arrived; its fields are in the state machine's section.
    fn on_head(&self, session: &Rc<Session<N>>, key: Key, content: Content);
    /// An informational head came.
    fn on_interim(&self, session: &Rc<Session<N>>, key: Key);
    /// Something about the connection.
    fn on_event(&self, session: &Rc<Session<N>>, event: &Event);
    /// A stream was reset because too much content waits to be read.
    fn on_overflow(&self);
    /// The machine ended the connection.
    fn on_error(&self, session: &Session<N>, error: ConnectionError);
    /// When to look at the clock next.
    fn next_check(&self, session: &Session<N>, now: Tick) -> Tick;
    /// Looks at the clock: what is due is done.
    fn check(&self, session: &Session<N>, now: Tick) -> Check;
}

/// What a look at the clock came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The connection goes on.
    GoOn,
    /// It is over.
    Over,
}

impl<N: Net> Session<N> {
    /// Reads and acts until the connection is over. `first` holds bytes that were read before.
    pub(crate) async fn read_all(self: &Rc<Self>, role: &impl Role<N>, first: Buf) {
        self.read_until_over(role, first).await;
        self.end();
    }

    async fn read_until_over(self: &Rc<Self>, role: &impl Role<N>, first: Buf) {
        let net = &self.thread.net;
        if !first.is_empty() && self.feed(role, first.filled()) == Check::Over {
            return;
        }
        let mut buf = first;
        let mut look_at = Tick::NEVER;
        loop {
            let now = net.now();
            let resting = self.machine.borrow().held_streams() == 0;
            // What comes in between does not put a look off.
            look_at = role.next_check(self, now).min(look_at);
            if buf.capacity() < limits::BUF_CLASSES[1] {
                buf = self.thread.pool.take(limits::BUF_CLASSES[1]);
            }
            buf.reset(0);
            let until = if resting { look_at.min(now.after_ms(QUIET_MS)) } else { look_at };
            let (read, returned) = self.transport.read_idle(buf, until).await;
            buf = returned;
            let outcome = match read {
                Ok(0) => return,
                Ok(count) => {
                    let full = buf.spare() == 0;
                    self.heard.set(net.now());
                    debug_assert_eq!(count, buf.len());
                    if self.feed(role, buf.filled()) == Check::Over {
                        return;
                    }
                    if self.heard.get() >= look_at {
                        look_at = Tick::NEVER;
                        if role.check(self, self.heard.get()) == Check::Over {
                            return;
                        }
                    }
                    if full {
                        buf = grown(buf, &self.thread.pool);
                    }
                    continue;
                }
                Err(error) => error.kind(),
            };
            if !matches!(outcome, ErrorKind::TimedOut | ErrorKind::Interrupted) {
                return;
            }
            look_at = Tick::NEVER;
            if self.over.get() || self.has_failed(role) || role.check(self, net.now()) == Check::Over {
                return;
            }
            if self.machine.borrow().held_streams() == 0 {
                self.thread.pool.put(std::mem::take(&mut buf));
                if self.rest(role).await == Check::Over {
                    return;
                }
            }
        }
    }

    /// Did the state machine end the connection while we sent?
    fn has_failed(&self, role: &impl Role<N>) -> bool {
        let failed = self.machine.borrow().failed();
        if let Some(error) = failed {
            role.on_error(self, error);
        }
        failed.is_some()
    }

    /// Waits without buffers until something comes.
    async fn rest(&self, role: &impl Role<N>) -> Check {
        self.machine.borrow_mut().shrink();
        *self.streams.borrow_mut() = Vec::new();
        self.spill.borrow_mut().shrink_to_fit();
        loop {
            let until = role.next_check(self, self.thread.net.now());
            match self.transport.readable(until).await {
                Ok(()) => return Check::GoOn,
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                    if self.has_failed(role) || role.check(self, self.thread.net.now()) == Check::Over {
                        return Check::Over;
                    }
                }
                Err(_) => return Check::Over,
            }
        }
    }

    /// Acts on received bytes.
    fn feed(self: &Rc<Self>, role: &impl Role<N>, bytes: &[u8]) -> Check {
        let now = self.thread.net.now();
        let mut input = Input::new(bytes);
        loop {
            let event = self.machine.borrow_mut().next(&mut input, now);
            match event {
                Ok(None) => break,
                Ok(Some(event)) => self.act(role, event, bytes),
                Err(error) => {
                    role.on_error(self, error);
                    return Check::Over;
                }
            }
        }
        if self.machine.borrow().has_output() {
            self.wake_writer();
        }
        self.thread.net.check(|| self.check());
        if self.machine.borrow().is_drained() { Check::Over } else { Check::GoOn }
    }

    fn act(self: &Rc<Self>, role: &impl Role<N>, event: Event, bytes: &[u8]) {
        match event {
            Event::Head { key, end } => {
                self.spoke.set(true);
                role.on_head(self, key, content_after(end));
                if end {
                    self.came(key, |_| {});
                }
            }
            Event::Interim { key } => role.on_interim(self, key),
            Event::Data { key, bytes: range, end } => {
                self.spoke.set(true);
                if !self.content(key, &bytes[range], content_after(end)) {
                    role.on_overflow();
                }
            }
            Event::Trailers { key } => self.trailers(key),
            Event::Reset { key, code, by } => {
                self.with(key, |stream| {
                    stream.peer_reset = stream.peer_reset.or((by == ResetBy::Peer).then_some(code));
                    stream.cut(ReceiveState::Reset(code));
                });
            }
            Event::StreamWindow { .. } | Event::AnyWindow => self.wake_writer(),
            Event::Settings => {
                self.wake_writer();
                role.on_event(self, &event);
            }
            Event::SettingsAcked | Event::GoAway { .. } | Event::PingAck { .. } => role.on_event(self, &event),
        }
    }

    /// False where the stream was reset instead.
    fn content(&self, key: Key, bytes: &[u8], behind: Content) -> bool {
        // Content that no reader wants is not given back to the window, so the window stops the sender.
        let held = self.with(key, |stream| {
            let held = stream.stopped || self.may_hold(bytes.len());
            if held && !stream.stopped {
                stream.push(bytes, &self.thread.pool);
            }
            stream.stopped |= !held;
            held
        });
        if held == Some(false) {
            self.reset(key, ErrorCode::EnhanceYourCalm);
            return false;
        }
        match behind {
            Content::Ended => self.came(key, |_| {}),
            Content::Follows => {
                self.with(key, StreamState::wake_reader);
            }
        }
        true
    }

    fn trailers(&self, key: Key) {
        let mut machine = self.machine.borrow_mut();
        let sender = machine.sender();
        if message::trailers(machine.section(), sender).is_err() {
            drop(machine);
            return self.reset(key, ErrorCode::Protocol);
        }
        let section = machine.section();
        self.came(key, |stream| write::lines(&mut stream.trailers, section));
    }

    /// Everything of a stream has come.
    fn came(&self, key: Key, act: impl FnOnce(&mut StreamState)) {
        self.with(key, |stream| {
            act(stream);
            if stream.come == ReceiveState::Open {
                stream.come = ReceiveState::All;
            }
            stream.wake_reader();
        });
    }
}

fn grown(buf: Buf, pool: &BufPool) -> Buf {
    if buf.capacity() >= limits::BUF_CLASSES[2] {
        return buf;
    }
    pool.put(buf);
    pool.take(limits::BUF_CLASSES[2])
}

// tidy(bool): it is END_STREAM, as the machine tells it.
const fn content_after(end: bool) -> Content {
    if end { Content::Ended } else { Content::Follows }
}
