// SPDX-License-Identifier: Apache-2.0
//! Hot. One HTTP/2 connection of either side: the machine, the lanes of its streams, a task that reads and one that
//! writes.
//!
//! What streams send is queued in the machine while the writer keeps up, and waits in their lanes when it does not;
//! then the writer takes from them in the order of their priorities, frame by frame. One write carries whatever has
//! gathered, of all streams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::base::{Buf, Tick};
use crate::edge::flow::signal::Signal;
use crate::edge::flow::stream;
use crate::edge::flow::thread::Thread;
use crate::edge::flow::watch::Abort;
use crate::edge::protocol::h2::lane::{Come, Lane, Outgoing};
use crate::net::tls::Transport;
use crate::net::{Net, Stream};
use crate::wire::h2::connection::{Connection, Ending};
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::stream::Key;
use crate::wire::h2::write;

/// Queued content above which streams wait for their turn: what is queued is overtaken by nothing.
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
    /// Something has come that belongs to a stream; whoever wants to know sets it back.
    pub spoke: Cell<bool>,
    pub(super) lanes: RefCell<Vec<Lane>>,
    pub(super) spill: RefCell<Vec<u8>>,
    pub(super) writer: Cell<Option<Waker>>,
    pub(super) write_wait: Duration,
    pub(super) over: Cell<bool>,
    /// Raised when the last words are written.
    pub done: Signal,
}

/// A stream that is over, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut(pub Come);

impl<N: Net> Session<N> {
    /// Nothing more comes, and nothing new can be sent.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Makes a place for a stream that has just been opened.
    pub(crate) fn open_lane(&self, key: Key) {
        let mut lanes = self.lanes.borrow_mut();
        if lanes.len() <= key.slot() {
            lanes.resize_with(key.slot() + 1, Lane::default);
        }
        lanes[key.slot()].reset(key.id(), &self.thread.pool);
    }

    /// The exchange of a stream is over.
    pub(crate) fn close_lane(&self, key: Key) {
        self.with(key, |lane| lane.reset(0, &self.thread.pool));
        self.machine.borrow_mut().forget(key, self.thread.net.now());
        self.wake_writer();
    }

    /// Does something with a stream's lane, where it is still the stream's.
    pub(crate) fn with<T>(&self, key: Key, act: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let mut lanes = self.lanes.borrow_mut();
        lanes.get_mut(key.slot()).filter(|lane| lane.id == key.id()).map(act)
    }

    /// Resets a stream.
    pub(crate) fn reset(&self, key: Key, code: ErrorCode) {
        self.machine.borrow_mut().reset(key, code, self.thread.net.now());
        self.with(key, |lane| lane.cut(Come::Reset(code)));
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
    pub(crate) async fn read(&self, key: Key, buf: &mut Buf, until: Tick) -> Option<Result<usize, Cut>> {
        self.wait(until, |context| self.poll_read(key, buf, context)).await
    }

    /// As `read`: `None` also where there is nothing to read and somebody nudged the reader.
    pub(crate) async fn read_heeding(&self, key: Key, buf: &mut Buf, until: Tick) -> Option<Result<usize, Cut>> {
        let poll = |context: &Context<'_>| match self.poll_read(key, buf, context) {
            Poll::Pending if self.was_nudged(key) => Poll::Ready(None),
            polled => polled.map(Some),
        };
        self.wait(until, poll).await.flatten()
    }

    fn was_nudged(&self, key: Key) -> bool {
        self.with(key, |lane| std::mem::take(&mut lane.nudged)) == Some(true)
    }

    /// As `read`, in a tunnel: `None` also where somebody nudged the reader.
    pub(crate) async fn read_open(&self, key: Key, buf: &mut Buf, until: Tick) -> Option<Result<usize, Cut>> {
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
        self.lanes.borrow_mut().iter_mut().filter(|lane| lane.id != 0).for_each(Lane::nudge);
    }

    /// What has come of a stream's content already.
    pub(crate) fn read_now(&self, key: Key, buf: &mut Buf) -> usize {
        let taken = self.with(key, |lane| lane.take(buf, &self.thread.pool)).unwrap_or(0);
        if taken > 0 {
            self.released(key, taken);
        }
        taken
    }

    /// Waits until the peer has said everything, or `until`; what it says is dropped. An answer that came before the
    /// end of a request is so read by clients that take a reset for a failure.
    pub(crate) async fn hear_out(&self, key: Key, until: Tick) {
        let open = self.with(key, |lane| {
            lane.stopped = true;
            lane.come == Come::Open
        });
        if open != Some(true) {
            return;
        }
        let heard = |lane: &Lane| (lane.come != Come::Open).then_some(Ok(()));
        self.wait(until, |context| self.poll_lane(key, context, heard)).await;
    }

    fn poll_read(&self, key: Key, buf: &mut Buf, context: &Context<'_>) -> Poll<Result<usize, Cut>> {
        let taken = self.read_now(key, buf);
        if taken > 0 {
            return Poll::Ready(Ok(taken));
        }
        self.poll_lane(key, context, |lane| match lane.come {
            _ if lane.stopped => Some(Err(Cut(Come::Reset(ErrorCode::Cancel)))),
            Come::All => Some(Ok(0)),
            Come::Reset(_) | Come::Lost => Some(Err(Cut(lane.come))),
            Come::Open => None,
        })
    }

    /// What `look` finds in a stream's lane; where it finds nothing, whoever asks is woken when something came.
    fn poll_lane<T>(
        &self,
        key: Key,
        context: &Context<'_>,
        look: impl FnOnce(&Lane) -> Option<Result<T, Cut>>,
    ) -> Poll<Result<T, Cut>> {
        let polled = self.with(key, |lane| match look(lane) {
            Some(found) => Poll::Ready(found),
            None => {
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
    pub(crate) async fn headed(&self, key: Key, until: Tick) -> Option<Result<(), Cut>> {
        let headed = |lane: &Lane| match lane.come {
            _ if !lane.heads.is_empty() => Some(Ok(())),
            Come::All | Come::Reset(_) | Come::Lost => Some(Err(Cut(lane.come))),
            Come::Open => None,
        };
        self.wait(until, |context| self.poll_lane(key, context, headed)).await
    }

    /// Sends content. It is queued at once while the writer keeps up; else this waits for the stream's turn.
    pub(crate) async fn send(
        &self,
        key: Key,
        mut buf: Buf,
        ending: stream::Ending<'_>,
        until: Tick,
    ) -> (Option<Result<(), Cut>>, Buf) {
        match self.send_now(key, &mut buf, ending) {
            Ok(true) => return (Some(Ok(())), buf),
            Ok(false) => {}
            Err(cut) => return (Some(Err(cut)), buf),
        }
        let mut outgoing = Outgoing { buf, last: false, trailers: Vec::new() };
        if let stream::Ending::Last(trailers) = ending {
            outgoing.last = true;
            outgoing.trailers.extend_from_slice(trailers);
        }
        self.with(key, |lane| lane.outgoing = Some(outgoing));
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
    pub(crate) fn finish(&self, key: Key) {
        // A stream that is over needs no end.
        let _ = self.send_now(key, &mut Buf::empty(), stream::Ending::BARE);
    }

    fn take_back(&self, key: Key) -> Buf {
        let back = self.with(key, |lane| lane.outgoing.take().map(|outgoing| outgoing.buf)).flatten();
        back.unwrap_or_default()
    }

    /// True where everything is queued now.
    fn send_now(&self, key: Key, buf: &mut Buf, ending: stream::Ending<'_>) -> Result<bool, Cut> {
        let gone = || Cut(self.with(key, |lane| lane.come).unwrap_or(Come::Lost));
        if self.over.get() {
            return Err(Cut(Come::Lost));
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

    /// How much content may be queued now. None while others wait for their turn: nobody overtakes them.
    fn queue_room(&self, machine: &Connection) -> usize {
        let queued = machine.output_len() + self.spill.borrow().len();
        if machine.can_pick() { 0 } else { QUEUE_MAX.saturating_sub(queued) }
    }

    fn poll_sent(&self, key: Key, context: &Context<'_>) -> Poll<Result<Buf, Cut>> {
        let polled = self.with(key, |lane| match lane.sent.take() {
            Some(buf) => Poll::Ready(Ok(buf)),
            None if lane.outgoing.is_none() || lane.closed => Poll::Ready(Err(Cut(lane.come))),
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
        let mut timer = pin!(self.thread.net.sleep_until(until));
        poll_fn(|context| {
            if let Poll::Ready(outcome) = poll(context) {
                return Poll::Ready(Some(outcome));
            }
            timer.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    /// The connection is over: its streams are told, and the writer says the last words.
    pub(crate) fn end(&self) {
        self.over.set(true);
        for lane in self.lanes.borrow_mut().iter_mut().filter(|lane| lane.id != 0) {
            lane.cut(Come::Lost);
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
