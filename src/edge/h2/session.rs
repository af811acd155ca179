//! Hot. One HTTP/2 connection of either side: the machine, the lanes of its streams, a task that reads and one that
//! writes.
//!
//! What streams send is queued in the machine while the writer keeps up, and waits in their lanes when it does not;
//! then the writer takes from them in the order of their priorities, frame by frame. One write carries whatever has
//! gathered, of all streams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::base::{Buf, BufPool, Tick, limits};
use crate::edge::h2::lane::{Come, Lane, Outgoing};
use crate::edge::shard::Shard;
use crate::edge::signal::Signal;
use crate::edge::stream;
use crate::net::tls::Transport;
use crate::net::{Net, Stream};
use crate::wire::h2::connection::{Connection, ConnectionError, Ending, Event, Grant, Input};
use crate::wire::h2::frame::{ErrorCode, HEADER_BYTES};
use crate::wire::h2::message;
use crate::wire::h2::stream::Key;
use crate::wire::h2::write;

/// Queued bytes above which streams wait for their turn.
const QUEUE_MAX: usize = 64 * 1024;
/// A connection without streams gives its buffers back after this.
const QUIET_MS: u64 = 100;
/// How long the last words of a connection may take.
const LAST_WORDS_MS: u64 = 2_000;

/// What the two sides do differently.
pub trait Role<N: Net> {
    /// A head came; its fields are in the machine's section.
    fn head(&self, session: &Rc<Session<N>>, key: Key, content: message::Content);
    /// An informational head came.
    fn interim(&self, session: &Rc<Session<N>>, key: Key);
    /// Something about the connection.
    fn told(&self, session: &Rc<Session<N>>, event: &Event);
    /// The machine ended the connection.
    fn failed(&self, session: &Rc<Session<N>>, error: ConnectionError);
    /// When to look at the clock next.
    fn next_look(&self, session: &Session<N>, now: Tick) -> Tick;
    /// Looks at the clock: what is due is done.
    fn look(&self, session: &Session<N>, now: Tick) -> Look;
}

/// What a look at the clock came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The connection goes on.
    GoOn,
    /// It is over.
    Over,
}

/// One connection.
pub struct Session<N: Net> {
    /// Its shard.
    pub shard: Rc<Shard<N>>,
    /// The bytes.
    pub transport: Rc<Transport<N::Stream>>,
    /// The protocol.
    pub machine: RefCell<Connection>,
    /// When bytes came last.
    pub heard: Cell<Tick>,
    lanes: RefCell<Vec<Lane<N>>>,
    spill: RefCell<Vec<u8>>,
    writer: Cell<Option<Waker>>,
    write_wait: Duration,
    over: Cell<bool>,
    /// Raised when the last words are written.
    pub done: Signal,
}

/// A stream that is over, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut(pub Come);

impl<N: Net> Session<N> {
    /// A connection over `transport`; its writing task starts at once. A write may take no longer than `write_wait`.
    pub fn start(
        shard: &Rc<Shard<N>>,
        transport: Rc<Transport<N::Stream>>,
        machine: Connection,
        write_wait: Duration,
    ) -> Rc<Session<N>> {
        let session = Rc::new(Session {
            shard: shard.clone(),
            transport,
            machine: RefCell::new(machine),
            heard: Cell::new(shard.net.now()),
            lanes: RefCell::default(),
            spill: RefCell::default(),
            writer: Cell::default(),
            write_wait,
            over: Cell::new(false),
            done: Signal::default(),
        });
        shard.net.spawn(write_all(session.clone()));
        session
    }

    /// Nothing more comes, and nothing new can be sent.
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Makes a place for a stream that has just been opened.
    pub fn open_lane(&self, key: Key) {
        let mut lanes = self.lanes.borrow_mut();
        if lanes.len() <= key.slot() {
            lanes.resize_with(key.slot() + 1, Lane::default);
        }
        lanes[key.slot()].reset(key.id(), &self.shard.pool);
    }

    /// The exchange of a stream is over.
    pub fn close_lane(&self, key: Key) {
        self.with(key, |lane| lane.reset(0, &self.shard.pool));
        self.machine.borrow_mut().forget(key, self.shard.net.now());
        self.wake_writer();
    }

    /// Does something with a stream's lane, where it is still the stream's.
    pub fn with<T>(&self, key: Key, act: impl FnOnce(&mut Lane<N>) -> T) -> Option<T> {
        let mut lanes = self.lanes.borrow_mut();
        lanes.get_mut(key.slot()).filter(|lane| lane.id == key.id()).map(act)
    }

    /// Resets a stream.
    pub fn reset(&self, key: Key, code: ErrorCode) {
        self.machine.borrow_mut().reset(key, code, self.shard.net.now());
        self.with(key, |lane| lane.cut(Come::Reset(code)));
        self.wake_writer();
    }

    /// Makes the reader look at the clock.
    pub fn transport_interrupt(&self) {
        self.transport.interrupt();
    }

    /// Something waits to be written.
    pub fn wake_writer(&self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// Reads content of a stream into `buf`: `Ok(0)` is its end. `None` where `until` passed first.
    pub async fn read(&self, key: Key, buf: &mut Buf, until: Tick) -> Option<Result<usize, Cut>> {
        self.wait(until, |context| self.poll_read(key, buf, context)).await
    }

    /// As `read`, in a tunnel: `None` also where somebody nudged the reader.
    pub async fn read_open(&self, key: Key, buf: &mut Buf, until: Tick) -> Option<Result<usize, Cut>> {
        let poll = |context: &Context<'_>| {
            if self.with(key, |lane| std::mem::take(&mut lane.nudged)) == Some(true) {
                return Poll::Ready(None);
            }
            self.poll_read(key, buf, context).map(Some)
        };
        self.wait(until, poll).await.flatten()
    }

    /// Makes everybody who reads in a tunnel look up.
    pub fn nudge_all(&self) {
        self.lanes.borrow_mut().iter_mut().filter(|lane| lane.id != 0).for_each(Lane::nudge);
    }

    /// What has come of a stream's content already.
    pub fn read_now(&self, key: Key, buf: &mut Buf) -> usize {
        let taken = self.with(key, |lane| lane.take(buf, &self.shard.pool)).unwrap_or(0);
        if taken > 0 {
            self.released(key, taken);
        }
        taken
    }

    /// Waits until the peer has said everything, or `until`; what it says is dropped. An answer that came before the
    /// end of a request is so read by clients that take a reset for a failure.
    pub async fn hear_out(&self, key: Key, until: Tick) {
        let open = self.with(key, |lane| {
            lane.stopped = true;
            lane.come == Come::Open
        });
        if open != Some(true) {
            return;
        }
        let poll = |context: &Context<'_>| {
            let polled = self.with(key, |lane| match lane.come {
                Come::Open => {
                    lane.wait_to_read(context);
                    Poll::Pending
                }
                Come::All | Come::Reset(_) | Come::Lost => Poll::Ready(()),
            });
            polled.unwrap_or(Poll::Ready(()))
        };
        self.wait(until, poll).await;
    }

    fn poll_read(&self, key: Key, buf: &mut Buf, context: &Context<'_>) -> Poll<Result<usize, Cut>> {
        let taken = self.read_now(key, buf);
        if taken > 0 {
            return Poll::Ready(Ok(taken));
        }
        let polled = self.with(key, |lane| match lane.come {
            _ if lane.stopped => Poll::Ready(Err(Cut(Come::Reset(ErrorCode::Cancel)))),
            Come::All => Poll::Ready(Ok(0)),
            Come::Reset(_) | Come::Lost => Poll::Ready(Err(Cut(lane.come))),
            Come::Open => {
                lane.wait_to_read(context);
                Poll::Pending
            }
        });
        polled.unwrap_or(Poll::Ready(Err(Cut(Come::Lost))))
    }

    /// The peer may send that much more.
    fn released(&self, key: Key, count: usize) {
        let mut machine = self.machine.borrow_mut();
        machine.release(key, count);
        if machine.has_output() {
            drop(machine);
            self.wake_writer();
        }
    }

    /// Waits until a head of an answer is there (`Ok`) or none will come. `None` where `until` passed first.
    pub async fn headed(&self, key: Key, until: Tick) -> Option<Result<(), Cut>> {
        let poll = |context: &Context<'_>| {
            let polled = self.with(key, |lane| match lane.come {
                _ if !lane.heads.is_empty() => Poll::Ready(Ok(())),
                Come::All | Come::Reset(_) | Come::Lost => Poll::Ready(Err(Cut(lane.come))),
                Come::Open => {
                    lane.wait_to_read(context);
                    Poll::Pending
                }
            });
            polled.unwrap_or(Poll::Ready(Err(Cut(Come::Lost))))
        };
        self.wait(until, poll).await
    }

    /// Sends content. It is queued at once while the writer keeps up; else this waits for the stream's turn.
    pub async fn send(
        &self,
        key: Key,
        mut buf: Buf,
        ending: stream::Ending<'_>,
        until: Tick,
    ) -> (Option<Result<(), Cut>>, Buf) {
        let (last, trailers) = match ending {
            stream::Ending::More => (false, &b""[..]),
            stream::Ending::Last(trailers) => (true, trailers),
        };
        match self.send_now(key, &mut buf, last, trailers) {
            Ok(true) => return (Some(Ok(())), buf),
            Ok(false) => {}
            Err(cut) => return (Some(Err(cut)), buf),
        }
        let mut trailer_lines = Vec::new();
        trailer_lines.extend_from_slice(trailers);
        self.with(key, |lane| lane.outgoing = Some(Outgoing { buf, last, trailers: trailer_lines }));
        self.machine.borrow_mut().offer(key);
        self.wake_writer();
        let sent = self.wait(until, |context| self.poll_sent(key, context)).await;
        match sent {
            Some(Ok(buf)) => (Some(Ok(())), buf),
            Some(Err(cut)) => (Some(Err(cut)), self.take_back(key)),
            None => (None, self.take_back(key)),
        }
    }

    /// Ends our side of a stream.
    pub fn finish(&self, key: Key) {
        // A stream that is over needs no end.
        let _ = self.send_now(key, &mut Buf::empty(), true, b"");
    }

    fn take_back(&self, key: Key) -> Buf {
        let back = self.with(key, |lane| lane.outgoing.take().map(|outgoing| outgoing.buf)).flatten();
        back.unwrap_or_default()
    }

    /// True where everything is queued now.
    fn send_now(&self, key: Key, buf: &mut Buf, last: bool, trailers: &[u8]) -> Result<bool, Cut> {
        let gone = || Cut(self.with(key, |lane| lane.come).unwrap_or(Come::Lost));
        if self.over.get() {
            return Err(Cut(Come::Lost));
        }
        let mut machine = self.machine.borrow_mut();
        if machine.output_len() >= QUEUE_MAX && !buf.is_empty() {
            return Ok(false);
        }
        let bare = last && trailers.is_empty();
        if !buf.is_empty() || bare {
            let ending = if bare { Ending::Last } else { Ending::More };
            let now = self.shard.net.now();
            let taken = machine.send_data(key, buf.filled(), ending, now).map_err(|_| gone())?;
            buf.consume(taken);
        }
        if buf.is_empty() && last && !bare {
            let lines = |out: &mut Vec<u8>, encoder: &mut _| write::trailer_lines(out, encoder, trailers);
            machine.send_trailers(key, lines).map_err(|_| gone())?;
        }
        drop(machine);
        self.wake_writer();
        Ok(buf.is_empty())
    }

    fn poll_sent(&self, key: Key, context: &Context<'_>) -> Poll<Result<Buf, Cut>> {
        let polled = self.with(key, |lane| match lane.sent.take() {
            Some(buf) => Poll::Ready(Ok(buf)),
            None if lane.outgoing.is_none() || matches!(lane.come, Come::Reset(_) | Come::Lost) => {
                Poll::Ready(Err(Cut(lane.come)))
            }
            None => {
                lane.wait_to_send(context);
                Poll::Pending
            }
        });
        polled.unwrap_or(Poll::Ready(Err(Cut(Come::Lost))))
    }

    /// Polls until there is an outcome or `until` has passed.
    async fn wait<T>(&self, until: Tick, mut poll: impl FnMut(&Context<'_>) -> Poll<T>) -> Option<T> {
        // Most of the time nothing is to be waited for, and a timer costs more than the rest.
        let first = poll_fn(|context| Poll::Ready(poll(context))).await;
        if let Poll::Ready(outcome) = first {
            return Some(outcome);
        }
        let mut timer = pin!(self.shard.net.sleep_until(until));
        poll_fn(|context| {
            if let Poll::Ready(outcome) = poll(context) {
                return Poll::Ready(Some(outcome));
            }
            timer.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    /// Reads and acts until the connection is over. `first` holds bytes that were read before.
    pub async fn read_all(self: &Rc<Self>, role: &impl Role<N>, first: Buf) {
        self.read_until_over(role, first).await;
        self.end();
    }

    async fn read_until_over(self: &Rc<Self>, role: &impl Role<N>, first: Buf) {
        let net = &self.shard.net;
        if !first.is_empty() && self.feed(role, first.filled()) == Look::Over {
            return;
        }
        let mut buf = first;
        loop {
            let now = net.now();
            let resting = self.machine.borrow().held_streams() == 0;
            let look_at = role.next_look(self, now);
            if buf.capacity() < limits::BUF_CLASSES[1] {
                buf = self.shard.pool.take(limits::BUF_CLASSES[1]);
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
                    if self.feed(role, buf.filled()) == Look::Over {
                        return;
                    }
                    if full {
                        buf = grown(buf, &self.shard.pool);
                    }
                    continue;
                }
                Err(error) => error.kind(),
            };
            if !matches!(outcome, ErrorKind::TimedOut | ErrorKind::Interrupted) {
                return;
            }
            if self.over.get() || role.look(self, net.now()) == Look::Over {
                return;
            }
            if self.machine.borrow().held_streams() == 0 {
                self.shard.pool.put(std::mem::take(&mut buf));
                if self.rest(role).await == Look::Over {
                    return;
                }
            }
        }
    }

    /// Waits without buffers until something comes.
    async fn rest(&self, role: &impl Role<N>) -> Look {
        self.machine.borrow_mut().shrink();
        self.lanes.borrow_mut().shrink_to(0);
        self.spill.borrow_mut().shrink_to_fit();
        loop {
            let until = role.next_look(self, self.shard.net.now());
            match self.transport.readable(until).await {
                Ok(()) => return Look::GoOn,
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                    if role.look(self, self.shard.net.now()) == Look::Over {
                        return Look::Over;
                    }
                }
                Err(_) => return Look::Over,
            }
        }
    }

    /// Acts on received bytes.
    fn feed(self: &Rc<Self>, role: &impl Role<N>, bytes: &[u8]) -> Look {
        let now = self.shard.net.now();
        let mut input = Input::new(bytes);
        loop {
            let event = self.machine.borrow_mut().next(&mut input, now);
            match event {
                Ok(None) => break,
                Ok(Some(event)) => self.act(role, event, bytes),
                Err(error) => {
                    role.failed(self, error);
                    return Look::Over;
                }
            }
        }
        if self.machine.borrow().has_output() {
            self.wake_writer();
        }
        if self.machine.borrow().is_drained() { Look::Over } else { Look::GoOn }
    }

    fn act(self: &Rc<Self>, role: &impl Role<N>, event: Event, bytes: &[u8]) {
        match event {
            Event::Head { key, end } => {
                let content = if end { message::Content::Ended } else { message::Content::Follows };
                role.head(self, key, content);
                if end {
                    self.came(key, |_| {});
                }
            }
            Event::Interim { key } => role.interim(self, key),
            Event::Data { key, bytes: range, end } => self.content(key, &bytes[range], end),
            Event::Trailers { key } => self.trailers(key),
            Event::Reset { key, code, .. } => {
                self.with(key, |lane| lane.cut(Come::Reset(code)));
            }
            Event::StreamWindow { .. } | Event::AnyWindow => self.wake_writer(),
            Event::Settings => {
                self.wake_writer();
                role.told(self, &event);
            }
            Event::SettingsAcked | Event::GoAway { .. } | Event::PingAck { .. } => role.told(self, &event),
        }
    }

    fn content(&self, key: Key, bytes: &[u8], end: bool) {
        // What nobody wants any more is not released either: the stream's window ends it.
        self.with(key, |lane| {
            if !lane.stopped {
                lane.push(bytes, &self.shard.pool);
            }
        });
        if end {
            self.came(key, |_| {});
        } else {
            self.with(key, Lane::wake_reader);
        }
    }

    fn trailers(&self, key: Key) {
        let mut machine = self.machine.borrow_mut();
        if message::trailers(machine.section()).is_err() {
            drop(machine);
            return self.reset(key, ErrorCode::Protocol);
        }
        let section = machine.section();
        self.came(key, |lane| write::lines(&mut lane.trailers, section));
    }

    /// Everything of a stream has come.
    fn came(&self, key: Key, act: impl FnOnce(&mut Lane<N>)) {
        self.with(key, |lane| {
            act(lane);
            if lane.come == Come::Open {
                lane.come = Come::All;
            }
            lane.wake_reader();
        });
    }

    /// The connection is over: its streams are told, and the writer says the last words.
    pub fn end(&self) {
        self.over.set(true);
        for lane in self.lanes.borrow_mut().iter_mut().filter(|lane| lane.id != 0) {
            lane.cut(Come::Lost);
        }
        self.wake_writer();
    }

    /// Gathers what can be written now.
    fn gather(&self, buf: &mut Buf) {
        loop {
            let mut spill = self.spill.borrow_mut();
            self.machine.borrow_mut().take_output(&mut spill);
            let all = buf.append(&spill);
            if !all {
                let room = buf.spare();
                let copied = buf.append(&spill[..room]);
                debug_assert!(copied, "exactly the room");
                spill.drain(..room);
                return;
            }
            spill.clear();
            drop(spill);
            if self.over.get() || !self.next_frame(buf) {
                return;
            }
        }
    }

    /// Takes frames from the lanes, in their turn, until `buf` is full. True where something was queued meanwhile that
    /// must be written before any further frame.
    fn next_frame(&self, buf: &mut Buf) -> bool {
        let now = self.shard.net.now();
        let mut machine = self.machine.borrow_mut();
        let mut lanes = self.lanes.borrow_mut();
        while buf.spare() > FRAME_MIN {
            let Some(key) = machine.pick() else { return false };
            let Some(lane) = lanes.get_mut(key.slot()).filter(|lane| lane.id == key.id()) else { continue };
            let Some(outgoing) = &mut lane.outgoing else { continue };
            let wanted = outgoing.buf.len().min(buf.spare() - HEADER_BYTES);
            let ends = outgoing.last && outgoing.trailers.is_empty() && wanted == outgoing.buf.len();
            let ending = if ends { Ending::Last } else { Ending::More };
            match machine.grant(key, wanted, ending, now) {
                Grant::Frame { header, len, .. } => {
                    let copied = buf.append(&header) && buf.append(&outgoing.buf.filled()[..len]);
                    debug_assert!(copied, "no more than the room was asked for");
                    outgoing.buf.consume(len);
                    if !outgoing.buf.is_empty() {
                        machine.offer(key);
                        continue;
                    }
                }
                Grant::Blocked => {
                    machine.offer(key);
                    return false;
                }
                Grant::Gone => {}
            }
            let Some(Outgoing { buf: empty, last, trailers }) = lane.outgoing.take() else { continue };
            let lines = |out: &mut Vec<u8>, encoder: &mut _| write::trailer_lines(out, encoder, &trailers);
            let queued = last && !trailers.is_empty() && machine.send_trailers(key, lines).is_ok();
            lane.sent = Some(empty);
            lane.wake_sender();
            if queued {
                return true;
            }
        }
        false
    }
}

/// Less room than this is not worth a frame.
const FRAME_MIN: usize = 1_024;

fn grown(buf: Buf, pool: &BufPool) -> Buf {
    if buf.capacity() >= limits::BUF_CLASSES[2] {
        return buf;
    }
    pool.put(buf);
    pool.take(limits::BUF_CLASSES[2])
}

/// Writes until the connection is over.
async fn write_all<N: Net>(session: Rc<Session<N>>) {
    let net = &session.shard.net;
    loop {
        let size = session.machine.borrow().output_len() + session.spill.borrow().len();
        let mut buf = session.shard.pool.take((size + limits::BUF_CLASSES[0]).min(limits::BUF_CLASSES[2]));
        session.gather(&mut buf);
        if buf.is_empty() {
            session.shard.pool.put(buf);
            if session.over.get() {
                break;
            }
            poll_fn(|context| {
                let idle = !session.over.get() && !session.has_work();
                if idle {
                    session.writer.set(Some(context.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            continue;
        }
        let wait = if session.over.get() { Duration::from_millis(LAST_WORDS_MS) } else { session.write_wait };
        let (written, buf) = session.transport.write(buf, net.now().after(wait)).await;
        session.shard.pool.put(buf);
        if written.is_err() {
            session.transport.abort();
            session.end();
            session.transport.interrupt();
            break;
        }
    }
    session.transport.finish();
    session.done.raise();
}

impl<N: Net> Session<N> {
    /// Is there anything that the writer could write?
    fn has_work(&self) -> bool {
        self.machine.borrow().has_output() || !self.spill.borrow().is_empty() || self.machine.borrow().can_pick()
    }
}
