// SPDX-License-Identifier: Apache-2.0
//! Hot. The state of a stream's pending operations: what each direction waits for, and its deadline. Deadlines and
//! interruptions act upon this state.
//!
//! Setting a deadline is a store and a comparison. The timer stays armed for an earlier deadline; when it fires too
//! early for the current one, it is armed again for that. So a connection costs a wheel operation each time its oldest
//! deadline would have passed, and not each time it reads.
//!
//! ```text
//!  reading:  Nobody ──read──────> Bytes   deadline: shutdown(SHUT_RD), the read completes, the side is finished
//!            Nobody ──read_idle─> Idle    deadline, interruption: the read is cancelled and completes; nothing is lost
//!            Nobody ──readable──> Ready   deadline, interruption: the waiting task is woken
//!  writing:  Nobody ──write─────> Bytes   deadline: shutdown(SHUT_WR), the write fails, the side is finished
//!            Nobody ──connect───> Ready   deadline: the waiting task is woken
//! ```
//! While a write is pending, a look comes now and then, where a pace is demanded: how much has reached the peer? It is
//! the same timer. A write asks for the next look only where none is to come, so it reads no clock.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Waker};

use monoio::io::{CancelHandle, Canceller};
use socket2::SockRef;

use super::deadlines::{Deadlines, Timed};
use crate::base::{Judge, Pace, Tick, Timer, Verdict};
use crate::net::machine;

/// What a side of a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Nobody,
    Bytes,
    Idle,
    Ready,
}

/// Whether a side of a stream still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// By `stop_reading`.
    Stopped,
    /// By a deadline.
    TimedOut,
    /// By `abort`, or because an operation was dropped with its bytes.
    Broken,
}

/// One direction.
pub(super) struct Side {
    waits: Cell<Waits>,
    until: Cell<Tick>,
    pub(super) end: Cell<End>,
    /// The deadline of the pending `Idle` or `Ready` wait has passed.
    late: Cell<bool>,
    /// The task in a `Ready` wait.
    waker: Cell<Option<Waker>>,
}

impl Side {
    fn new() -> Side {
        Side {
            waits: Cell::new(Waits::Nobody),
            until: Cell::new(Tick::NEVER),
            end: Cell::new(End::Open),
            late: Cell::new(false),
            waker: Cell::new(None),
        }
    }

    /// Keeps the waker of a `Ready` wait.
    pub(super) fn remember(&self, context: &Context<'_>) {
        let waker = self.waker.take().filter(|waker| waker.will_wake(context.waker()));
        self.waker.set(Some(waker.unwrap_or_else(|| context.waker().clone())));
    }

    /// Has the deadline of the pending `Ready` or `Idle` wait passed?
    pub(super) fn take_late(&self) -> bool {
        self.late.replace(false)
    }

    /// Wakes the pending `Ready` wait, because its deadline has passed.
    fn wake_late(&self) {
        self.late.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

pub(super) struct Flow {
    /// Borrowed from the stream that owns the flow, until `close`.
    fd: BorrowedFd<'static>,
    deadlines: Rc<Deadlines<Flow>>,
    pub(super) read: Side,
    pub(super) write: Side,
    /// What is demanded of the peer while we write.
    pace: Cell<Pace>,
    judge: Judge,
    /// When the next look at a pending write comes; `NEVER` where none does.
    look_at: Cell<Tick>,
    /// Bytes that the kernel accepted.
    written: Cell<u64>,
    /// What the timer is armed for; `NEVER` where it is not.
    armed: Cell<Tick>,
    timer: Cell<Option<Timer>>,
    /// Set by `interrupt`, until a wait returns it.
    interrupted: Cell<bool>,
    /// The last read left room in its buffer.
    pub(super) drained: Cell<bool>,
    /// Made at the first `read_idle` and kept.
    canceller: Cell<Option<Canceller>>,
}

impl Flow {
    /// The flow of a socket, which must stay open until `close`.
    pub(super) fn new(fd: BorrowedFd<'static>, deadlines: Rc<Deadlines<Flow>>) -> Flow {
        Flow {
            fd,
            deadlines,
            read: Side::new(),
            write: Side::new(),
            pace: Cell::new(Pace::NONE),
            judge: Judge::default(),
            look_at: Cell::new(Tick::NEVER),
            written: Cell::new(0),
            armed: Cell::new(Tick::NEVER),
            timer: Cell::new(None),
            interrupted: Cell::new(false),
            drained: Cell::new(true),
            canceller: Cell::new(None),
        }
    }

    /// The stream is dropped: from now on, no deadline acts on its descriptor.
    pub(super) fn close(&self) {
        if let Some(timer) = self.timer.take() {
            self.deadlines.forget(timer);
        }
    }

    /// Frees what cancelling needs; the next `read_idle` makes it again.
    pub(super) fn forget_canceller(&self) {
        self.canceller.take();
    }

    /// The socket, for calls that do not wait.
    pub(super) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.fd)
    }

    pub(super) fn begin_read(self: &Rc<Flow>, waits: Waits, until: Tick) -> Pending<'_> {
        self.begin(&self.read, waits, until)
    }

    pub(super) fn begin_write(self: &Rc<Flow>, waits: Waits, until: Tick) -> Pending<'_> {
        self.judge.begin();
        if self.look_at.get() == Tick::NEVER && self.pace.get().is_any() {
            let at = machine::now().after(self.pace.get().interval());
            self.look_at.set(at);
            self.arm(at);
        }
        self.begin(&self.write, waits, until)
    }

    /// What is demanded from the next write on.
    pub(super) fn set_pace(&self, pace: Pace) {
        if self.pace.replace(pace) != pace {
            // The next write asks for a look of its own.
            self.look_at.set(Tick::NEVER);
        }
    }

    /// The kernel accepted `count` bytes.
    pub(super) fn wrote(&self, count: usize) {
        self.written.set(self.written.get() + count as u64);
    }

    /// Looks how much of what was written has reached the peer, and gives the time of the next look.
    fn look(&self, now: Tick) -> Tick {
        let pace = self.pace.get();
        if self.write.waits.get() != Waits::Bytes || !pace.is_any() {
            return Tick::NEVER;
        }
        let delivered = self.written.get() as i64 - i64::from(machine::undelivered(&self.socket()));
        match self.judge.look(pace, now, delivered) {
            Verdict::GoesOn => now.after(pace.interval()),
            Verdict::TooSlow => {
                self.write.until.set(Tick::NEVER);
                self.write_late();
                Tick::NEVER
            }
        }
    }

    fn arm(self: &Rc<Flow>, at: Tick) {
        if at < self.armed.get() {
            self.armed.set(at);
            self.deadlines.arm(self, at);
        }
    }

    fn begin<'a>(self: &'a Rc<Flow>, side: &'a Side, waits: Waits, until: Tick) -> Pending<'a> {
        debug_assert_eq!(side.waits.get(), Waits::Nobody, "two operations in one direction of a stream");
        side.waits.set(waits);
        side.until.set(until);
        self.arm(until);
        Pending { flow: self, side, done: false }
    }

    fn read_late(&self) {
        match self.read.waits.get() {
            Waits::Nobody => {}
            Waits::Bytes => {
                self.read.end.set(End::TimedOut);
                self.shut(Shutdown::Read);
            }
            Waits::Idle => {
                self.read.late.set(true);
                self.cancel();
            }
            Waits::Ready => self.read.wake_late(),
        }
    }

    fn write_late(&self) {
        match self.write.waits.get() {
            Waits::Nobody => {}
            Waits::Bytes | Waits::Idle => {
                self.write.end.set(End::TimedOut);
                self.shut(Shutdown::Write);
            }
            Waits::Ready => self.write.wake_late(),
        }
    }

    pub(super) fn interrupt(&self) {
        self.interrupted.set(true);
        match self.read.waits.get() {
            Waits::Nobody | Waits::Bytes => {}
            Waits::Idle => self.cancel(),
            Waits::Ready => self.read.wake(),
        }
    }

    /// Ends the pending read with what came so far. One that cannot be cancelled ends only with the reading side.
    pub(super) fn stop_pending_read(&self) {
        match self.read.waits.get() {
            Waits::Nobody => {}
            Waits::Bytes => self.shut(Shutdown::Read),
            Waits::Idle => self.cancel(),
            Waits::Ready => self.read.wake(),
        }
    }

    /// Takes the reason why the pending (or next) `Idle` or `Ready` wait of the reading side ends, if there is one.
    pub(super) fn take_over(&self) -> Option<io::ErrorKind> {
        if self.interrupted.replace(false) {
            return Some(io::ErrorKind::Interrupted);
        }
        self.read.take_late().then_some(io::ErrorKind::TimedOut)
    }

    /// True while nothing writes and the writing side works.
    pub(super) fn write_is_free(&self) -> bool {
        self.write.waits.get() == Waits::Nobody && self.write.end.get() == End::Open
    }

    /// Ends a direction. Errors mean that it has ended already.
    pub(super) fn shut(&self, how: Shutdown) {
        let _ = self.socket().shutdown(how);
    }

    pub(super) fn broken(&self) {
        self.read.end.set(End::Broken);
        self.write.end.set(End::Broken);
    }

    /// A handle that lets `cancel` end the read that it is given to.
    pub(super) fn cancel_handle(&self) -> CancelHandle {
        let canceller = self.canceller.take().unwrap_or_default();
        let handle = canceller.handle();
        self.canceller.set(Some(canceller));
        handle
    }

    /// Asks the kernel to end the pending cancelable read. The read then completes, with bytes or without.
    fn cancel(&self) {
        if let Some(canceller) = self.canceller.take() {
            self.canceller.set(Some(canceller.cancel()));
        }
    }
}

impl Timed for Flow {
    fn timer(&self) -> &Cell<Option<Timer>> {
        &self.timer
    }

    fn fire(&self, now: Tick) -> Tick {
        if self.read.until.get() <= now {
            self.read.until.set(Tick::NEVER);
            self.read_late();
        }
        if self.write.until.get() <= now {
            self.write.until.set(Tick::NEVER);
            self.write_late();
        }
        if self.look_at.get() <= now {
            self.look_at.set(self.look(now));
        }
        let next = self.read.until.get().min(self.write.until.get()).min(self.look_at.get());
        self.armed.set(next);
        next
    }
}

/// An operation in flight. If it is dropped before `done`, its bytes are lost, and the stream cannot be used any more.
pub(super) struct Pending<'a> {
    flow: &'a Flow,
    side: &'a Side,
    done: bool,
}

impl Pending<'_> {
    /// The operation has completed.
    pub(super) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let waits = self.side.waits.replace(Waits::Nobody);
        self.side.until.set(Tick::NEVER);
        // A deadline that fired just as the operation completed must not end the next one.
        self.side.late.set(false);
        if !self.done && waits != Waits::Ready {
            self.flow.broken();
            self.flow.shut(Shutdown::Both);
        }
    }
}
