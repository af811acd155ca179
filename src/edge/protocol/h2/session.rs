// SPDX-License-Identifier: Apache-2.0
//! Hot. One HTTP/2 connection of either side: the state machine, the states of its streams, a reading and a writing
//! task.
//!
//! Content to be sent is queued in the state machine while the writer keeps up. Otherwise it waits in the stream
//! states, and the writer takes it frame by frame in the order of priorities. One write carries the frames of all
//! streams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::base::canary::{self, Flaw};
use crate::base::{Buf, Pace, Tick, Verdict};
use crate::edge::flow::signal::Signal;
use crate::edge::flow::stream;
use crate::edge::flow::thread::Thread;
use crate::edge::flow::watch::Abort;
use crate::edge::protocol::h2::stream_state::{QueuedContent, ReceiveState, StreamState};
use crate::net::tls::Transport;
use crate::net::{Net, Stream};
use crate::wire::h2::connection::{Connection, Ending};
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::stream::Key;
use crate::wire::h2::write;

/// Queued content above which streams have to wait, because a queued frame cannot be overtaken.
const QUEUE_MAX: usize = 64 * 1024;

/// One connection.
pub(crate) struct Session<N: Net> {
    /// The thread that runs it.
    pub thread: Rc<Thread<N>>,
    /// The bytes.
    pub transport: Rc<Transport<N::Stream>>,
    /// The protocol.
    pub machine: RefCell<Connection>,
    /// When bytes came last.
    pub heard: Cell<Tick>,
    /// A frame of a stream has arrived since the flag was last cleared.
    pub spoke: Cell<bool>,
    pub(super) streams: RefCell<Vec<StreamState>>,
    pub(super) spill: RefCell<Vec<u8>>,
    pub(super) writer: Cell<Option<Waker>>,
    pub(super) over: Cell<bool>,
    /// A write is under way.
    pub writing: Cell<bool>,
    /// Unread content of this thread's clients at most; `None` on a connection to an endpoint, whose content does not
    /// count.
    pub(super) unread_max: Option<usize>,
    /// The peer did not take what was written to it.
    pub(super) stuck: Cell<bool>,
    /// Raised when the last words are written.
    pub done: Signal,
}

/// A stream that is over, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamClosed(pub ReceiveState);

impl<N: Net> Session<N> {
    /// Nothing more comes, and nothing new can be sent.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Is it over because the peer did not take what was written to it?
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.get()
    }

    /// Makes the state of a new stream.
    pub(crate) fn open_stream(&self, key: Key) {
        let mut streams = self.streams.borrow_mut();
        if streams.len() <= key.slot() {
            streams.resize_with(key.slot() + 1, StreamState::default);
        }
        streams[key.slot()].reset(key.id(), &self.thread.pool);
    }

    /// Counts content that is not unread any more.
    fn was_read(&self, count: usize) {
        if self.unread_max.is_some() {
            self.thread.unread.set(self.thread.unread.get().saturating_sub(count));
        }
    }

    /// Counts content that waits to be read. False, and nothing counted, where the thread holds too much already.
    pub(super) fn may_hold(&self, count: usize) -> bool {
        let Some(max) = self.unread_max else { return true };
        let unread = self.thread.unread.get() + count;
        if unread > max {
            return false;
        }
        self.thread.unread.set(unread);
        true
    }

    /// The exchange of a stream is over.
    pub(crate) fn close_stream(&self, key: Key) {
        let left = self.with(key, |stream| {
            let left = stream.inbox.iter().map(Buf::len).sum();
            stream.reset(0, &self.thread.pool);
            left
        });
        self.was_read(left.unwrap_or(0));
        self.machine.borrow_mut().forget(key, self.thread.net.now());
        self.wake_writer();
    }

    /// Does something with a stream's state, where it is still the stream's.
    pub(crate) fn with<T>(&self, key: Key, act: impl FnOnce(&mut StreamState) -> T) -> Option<T> {
        let mut streams = self.streams.borrow_mut();
        streams.get_mut(key.slot()).filter(|stream| stream.id == key.id()).map(act)
    }

    /// Resets a stream.
    pub(crate) fn reset(&self, key: Key, code: ErrorCode) {
        self.machine.borrow_mut().reset(key, code, self.thread.net.now());
        self.with(key, |stream| stream.cut(ReceiveState::Reset(code)));
        self.wake_writer();
    }

    /// Makes the reader look at the clock.
    pub(crate) fn interrupt(&self) {
        self.transport.interrupt();
    }

    /// Something waits to be written.
    pub(crate) fn wake_writer(&self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// Reads content of a stream into `buf`: `Ok(0)` is its end. `None` where `until` passed first.
    pub(crate) async fn read(&self, key: Key, buf: &mut Buf, until: Tick) -> Option<Result<usize, StreamClosed>> {
        self.wait(until, |context| self.poll_read(key, buf, context)).await
    }

    /// As `read`. `None` also where there is nothing to read after a nudge.
    pub(crate) async fn read_heeding(
        &self,
        key: Key,
        buf: &mut Buf,
        until: Tick,
    ) -> Option<Result<usize, StreamClosed>> {
        let poll = |context: &Context<'_>| match self.poll_read(key, buf, context) {
            Poll::Pending if self.was_nudged(key) => Poll::Ready(None),
            polled => polled.map(Some),
        };
        self.wait(until, poll).await.flatten()
    }

    /// Waits until a read of a stream, or of one that is over, will not wait; also until a nudge. `None` where `until`
    /// passed first.
    pub(crate) async fn readable(&self, key: Key, until: Tick) -> Option<()> {
        let ready = |stream: &StreamState| {
            let waits = stream.inbox.is_empty() && stream.come == ReceiveState::Open && !stream.stopped;
            (!waits || stream.nudged).then_some(Ok(()))
        };
        self.wait(until, |context| self.poll_stream(key, context, ready)).await.map(drop)
    }

    fn was_nudged(&self, key: Key) -> bool {
        self.with(key, |stream| std::mem::take(&mut stream.nudged)) == Some(true)
    }

    /// As `read`, in a tunnel. `None` also after a nudge.
    pub(crate) async fn read_open(&self, key: Key, buf: &mut Buf, until: Tick) -> Option<Result<usize, StreamClosed>> {
        let poll = |context: &Context<'_>| {
            if self.was_nudged(key) {
                return Poll::Ready(None);
            }
            self.poll_read(key, buf, context).map(Some)
        };
        self.wait(until, poll).await.flatten()
    }

    /// Makes everybody who reads look up.
    pub(crate) fn nudge_all(&self) {
        self.streams.borrow_mut().iter_mut().filter(|stream| stream.id != 0).for_each(StreamState::nudge);
    }

    /// What has come of a stream's content already.
    pub(crate) fn read_now(&self, key: Key, buf: &mut Buf) -> usize {
        let taken = self.with(key, |stream| stream.take(buf, &self.thread.pool)).unwrap_or(0);
        self.was_read(taken);
        if taken > 0 && !canary::has(Flaw::UnreleasedContent) {
            self.released(key, taken);
        }
        taken
    }

    /// Reads and drops the rest of the request until its end or `until`, because some clients take a reset for a
    /// failure although they got an early response.
    pub(crate) async fn hear_out(&self, key: Key, until: Tick) {
        let open = self.with(key, |stream| {
            stream.stopped = true;
            stream.come == ReceiveState::Open
        });
        if open != Some(true) {
            return;
        }
        let heard = |stream: &StreamState| (stream.come != ReceiveState::Open).then_some(Ok(()));
        self.wait(until, |context| self.poll_stream(key, context, heard)).await;
    }

    fn poll_read(&self, key: Key, buf: &mut Buf, context: &Context<'_>) -> Poll<Result<usize, StreamClosed>> {
        let taken = self.read_now(key, buf);
        if taken > 0 {
            return Poll::Ready(Ok(taken));
        }
        self.poll_stream(key, context, |stream| match stream.come {
            _ if stream.stopped => Some(Err(StreamClosed(ReceiveState::Reset(ErrorCode::Cancel)))),
            ReceiveState::All => Some(Ok(0)),
            ReceiveState::Reset(_) | ReceiveState::Lost => Some(Err(StreamClosed(stream.come))),
            ReceiveState::Open => None,
        })
    }

    /// The result of `look` on a stream's state. Where it is pending, registers the task to be woken.
    fn poll_stream<T>(
        &self,
        key: Key,
        context: &Context<'_>,
        look: impl FnOnce(&StreamState) -> Option<Result<T, StreamClosed>>,
    ) -> Poll<Result<T, StreamClosed>> {
        let polled = self.with(key, |stream| match look(stream) {
            Some(found) => Poll::Ready(found),
            None => {
                stream.wait_to_read(context);
                Poll::Pending
            }
        });
        polled.unwrap_or(Poll::Ready(Err(StreamClosed(ReceiveState::Lost))))
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

    /// Waits until a response head has arrived (`Ok`) or none can. `None` where `until` passed first.
    pub(crate) async fn headed(&self, key: Key, until: Tick) -> Option<Result<(), StreamClosed>> {
        let headed = |stream: &StreamState| match stream.come {
            _ if !stream.heads.is_empty() => Some(Ok(())),
            ReceiveState::All | ReceiveState::Reset(_) | ReceiveState::Lost => Some(Err(StreamClosed(stream.come))),
            ReceiveState::Open => None,
        };
        self.wait(until, |context| self.poll_stream(key, context, headed)).await
    }

    /// Sends content. Queues it at once while the writer keeps up; otherwise waits for the stream's turn, at most until
    /// `until` and for as long as the peer keeps the pace.
    pub(crate) async fn send(
        &self,
        key: Key,
        mut buf: Buf,
        ending: stream::Ending<'_>,
        (until, pace): (Tick, Pace),
    ) -> (Option<Result<(), StreamClosed>>, Buf) {
        match self.send_now(key, &mut buf, ending) {
            Ok(true) => return (Some(Ok(())), buf),
            Ok(false) => {}
            Err(cut) => return (Some(Err(cut)), buf),
        }
        let mut outgoing = QueuedContent { buf, last: false, trailers: Vec::new() };
        if let stream::Ending::Last(trailers) = ending {
            outgoing.last = true;
            outgoing.trailers.extend_from_slice(trailers);
        }
        self.with(key, |stream| stream.offer(outgoing));
        self.machine.borrow_mut().offer(key);
        self.wake_writer();
        match self.sent(key, until, pace).await {
            Some(Ok(buf)) => (Some(Ok(())), buf),
            Some(Err(cut)) => (Some(Err(cut)), self.take_back(key)),
            None => (None, self.take_back(key)),
        }
    }

    /// Waits until what is queued was sent. `None` where `until` passed first, or the peer did not keep the pace.
    async fn sent(&self, key: Key, until: Tick, pace: Pace) -> Option<Result<Buf, StreamClosed>> {
        if !pace.is_any() {
            return self.wait(until, |context| self.poll_sent(key, context)).await;
        }
        self.with(key, |stream| stream.judge.begin());
        loop {
            let look_at = self.thread.net.now().after(pace.interval()).min(until);
            let sent = self.wait(look_at, |context| self.poll_sent(key, context)).await;
            if sent.is_some() {
                return sent;
            }
            let now = self.thread.net.now();
            if now >= until || self.look(key, now, pace) == Verdict::TooSlow {
                return None;
            }
        }
    }

    /// Looks whether the peer keeps pace on a stream. Its windows say so; where they are open, the stream only waits
    /// for its turn, and the connection's own pace is what counts.
    fn look(&self, key: Key, now: Tick, pace: Pace) -> Verdict {
        let shut = self.machine.borrow().data_room(key) == 0;
        let looked = self.with(key, |stream| {
            if !shut {
                stream.judge.begin();
            }
            let left = stream.outgoing.as_ref().map_or(0, |outgoing| outgoing.buf.len() as i64);
            stream.judge.look(pace, now, stream.offered - left)
        });
        looked.unwrap_or(Verdict::GoesOn)
    }

    /// Ends our side of a stream.
    pub(crate) fn finish(&self, key: Key) {
        // A stream that is over needs no end.
        let _ = self.send_now(key, &mut Buf::empty(), stream::Ending::BARE);
    }

    fn take_back(&self, key: Key) -> Buf {
        let back = self.with(key, |stream| stream.outgoing.take().map(|outgoing| outgoing.buf)).flatten();
        back.unwrap_or_default()
    }

    /// True where everything is queued now.
    fn send_now(&self, key: Key, buf: &mut Buf, ending: stream::Ending<'_>) -> Result<bool, StreamClosed> {
        let gone = || StreamClosed(self.with(key, |stream| stream.come).unwrap_or(ReceiveState::Lost));
        if self.over.get() {
            return Err(StreamClosed(ReceiveState::Lost));
        }
        let mut machine = self.machine.borrow_mut();
        if !buf.is_empty() {
            let room = self.queue_room(&machine);
            let count = buf.len().min(room);
            if count == 0 {
                return Ok(false);
            }
            let last = ending == stream::Ending::BARE && count == buf.len();
            let frames = if last { Ending::Last } else { Ending::More };
            let now = self.thread.net.now();
            let taken = machine.send_data(key, &buf.filled()[..count], frames, now).map_err(|_| gone())?;
            buf.consume(taken);
        } else if ending == stream::Ending::BARE {
            machine.send_data(key, &[], Ending::Last, self.thread.net.now()).map_err(|_| gone())?;
        }
        if let stream::Ending::Last(trailers) = ending
            && buf.is_empty()
            && !trailers.is_empty()
        {
            let lines = |out: &mut Vec<u8>, encoder: &mut _| write::trailer_lines(out, encoder, trailers);
            machine.send_trailers(key, lines).map_err(|_| gone())?;
        }
        drop(machine);
        self.wake_writer();
        Ok(buf.is_empty())
    }

    /// How much content may be queued now. Zero while other streams wait, so that none overtakes them.
    fn queue_room(&self, machine: &Connection) -> usize {
        let queued = machine.output_len() + self.spill.borrow().len();
        if machine.can_pick() { 0 } else { QUEUE_MAX.saturating_sub(queued) }
    }

    fn poll_sent(&self, key: Key, context: &Context<'_>) -> Poll<Result<Buf, StreamClosed>> {
        let polled = self.with(key, |stream| match stream.sent.take() {
            Some(buf) => Poll::Ready(Ok(buf)),
            None if stream.outgoing.is_none() || stream.closed => Poll::Ready(Err(StreamClosed(stream.come))),
            None => {
                stream.wait_to_send(context);
                Poll::Pending
            }
        });
        polled.unwrap_or(Poll::Ready(Err(StreamClosed(ReceiveState::Lost))))
    }

    /// Polls until there is an outcome or `until` has passed.
    async fn wait<T>(&self, until: Tick, mut poll: impl FnMut(&Context<'_>) -> Poll<T>) -> Option<T> {
        // Usually there is nothing to wait for, and a timer would cost more than the rest.
        let first = poll_fn(|context| Poll::Ready(poll(context))).await;
        if let Poll::Ready(outcome) = first {
            return Some(outcome);
        }
        let mut timer = pin!(self.thread.net.sleep_until(until));
        poll_fn(|context| {
            if let Poll::Ready(outcome) = poll(context) {
                return Poll::Ready(Some(outcome));
            }
            timer.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    /// Do the streams' states agree with the state machine? An exchange's received content is what its windows say.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let machine = self.machine.borrow();
        machine.check()?;
        let streams = self.streams.borrow();
        for (slot, stream) in streams.iter().enumerate().filter(|(_, stream)| stream.id != 0) {
            let received = stream.inbox.iter().map(Buf::len).sum::<usize>();
            let held = machine.held(Key::new(stream.id, slot)).ok_or("a stream's state outlives the stream")?;
            if received > held || (received < held && !stream.stopped) {
                return Err("a stream holds other content than its windows say");
            }
        }
        Ok(())
    }

    /// The connection ends: wakes its streams, and lets the writer send the last frames.
    pub(crate) fn end(&self) {
        self.over.set(true);
        for stream in self.streams.borrow_mut().iter_mut().filter(|stream| stream.id != 0) {
            stream.cut(ReceiveState::Lost);
        }
        self.wake_writer();
    }
}

impl<N: Net> Abort for Session<N> {
    fn abort_stream(&self, stream: Option<Key>) {
        match stream {
            Some(key) => self.reset(key, ErrorCode::Cancel),
            None => self.transport.abort(),
        }
    }
}

#[cfg(test)]
mod tests;
