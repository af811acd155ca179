// SPDX-License-Identifier: Apache-2.0
//! Hot. The deadlines and the sleeping tasks of a shard: two wheels of timers, one timer of the kernel (`timerfd`), and
//! a task that waits for it.
//!
//! The kernel's timer is set when a deadline comes that is earlier than what it is set for, and when it has fired. So
//! the shard waits for completions without a time limit, which the kernel would set up and take down at each wait: that
//! costs more than anything that we do for a small read. While no deadline is armed, the task does not wake at all.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::net::TcpStream as StdStream;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use monoio::net::TcpStream;

use super::driver::Failing;
use crate::base::{Tick, Timer, Wheel};
use crate::net::machine;

/// What has a deadline.
pub(super) trait Timed {
    /// Where its timer is kept, once it has one.
    fn timer(&self) -> &Cell<Option<Timer>>;

    /// Acts on the deadlines that have passed, and gives the next one.
    fn fire(&self, now: Tick) -> Tick;
}

/// The armed deadlines of one shard.
pub(super) struct Deadlines<T> {
    wheel: RefCell<Wheel<Rc<T>>>,
    /// Its ticks are `fine` ones.
    sleepers: RefCell<Wheel<Waker>>,
    /// The kernel's timer, and what it is set for; `NEVER` where it is not.
    timer: File,
    alarm: Cell<Tick>,
    stopping: Cell<bool>,
}

impl<T: Timed> Deadlines<T> {
    pub(super) fn new() -> io::Result<Deadlines<T>> {
        let now = machine::now();
        Ok(Deadlines {
            wheel: RefCell::new(Wheel::new(now)),
            sleepers: RefCell::new(Wheel::new(fine(now))),
            timer: File::from(machine::timer()?),
            alarm: Cell::new(Tick::NEVER),
            stopping: Cell::new(false),
        })
    }

    /// Arms the timer of `timed` for `until`.
    pub(super) fn arm(&self, timed: &Rc<T>, until: Tick) {
        let mut wheel = self.wheel.borrow_mut();
        let timer = timed.timer().get().unwrap_or_else(|| wheel.add(timed.clone()));
        timed.timer().set(Some(timer));
        wheel.arm(timer, until);
        self.fire_by(until);
    }

    /// Forgets a timer.
    pub(super) fn forget(&self, timer: Timer) {
        // Dropped after the borrow of the wheel has ended: what it is for may own wakers, which own tasks.
        let timed = self.wheel.borrow_mut().remove(timer);
        drop(timed);
    }

    /// Sleeps until `at`. May be dropped.
    pub(super) fn sleep_until(&self, at: Tick) -> Sleep<'_, T> {
        Sleep { deadlines: self, at, timer: None }
    }

    /// Ends the watching task.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.fire_by(Tick::ZERO);
    }

    /// Makes the kernel's timer fire at `at` at the latest.
    fn fire_by(&self, at: Tick) {
        if at < self.alarm.get() {
            self.set_alarm(at);
        }
    }

    fn set_alarm(&self, at: Tick) {
        self.alarm.set(at);
        machine::set_timer(self.timer.as_fd(), at);
    }

    /// Fires what is due, and arms it again for what it waits for next; wakes the sleepers that are due.
    fn expire(&self, now: Tick) {
        while let Some((timer, timed)) = self.pop(now) {
            let next = timed.fire(now);
            self.wheel.borrow_mut().arm(timer, next);
        }
        while let Some(sleeper) = self.pop_sleeper(now) {
            sleeper.wake();
        }
    }

    fn pop(&self, now: Tick) -> Option<(Timer, Rc<T>)> {
        let mut wheel = self.wheel.borrow_mut();
        let timer = wheel.pop(now)?;
        Some((timer, wheel.value(timer)?.clone()))
    }

    fn pop_sleeper(&self, now: Tick) -> Option<Waker> {
        let mut sleepers = self.sleepers.borrow_mut();
        let timer = sleepers.pop(fine(now))?;
        sleepers.value(timer).cloned()
    }

    /// Fires what is due, and sets the kernel's timer for what is due next.
    fn look(&self) {
        self.expire(machine::now());
        let due = [self.wheel.borrow().next_due(), self.sleepers.borrow().next_due().map(coarse)];
        self.set_alarm(due.into_iter().flatten().min().unwrap_or(Tick::NEVER));
    }

    /// A second descriptor of the kernel's timer, for the runtime to wait for. It is only ever asked for readiness.
    pub(super) fn event(&self) -> io::Result<TcpStream> {
        let timer = OwnedFd::from(self.timer.try_clone()?);
        TcpStream::from_std(StdStream::from(timer))
    }
}

/// Fires what is due until `stop`.
pub(super) async fn watch<T: Timed>(deadlines: Rc<Deadlines<T>>, event: TcpStream) {
    let failing = Failing::default();
    while !deadlines.stopping.get() {
        let readable = event.readable(false).await;
        failing.bear(readable, machine::now);
        let _ = (&deadlines.timer).read(&mut [0_u8; 8]);
        deadlines.look();
    }
}

/// The ticks of the wheel of sleepers are an eighth of a nanosecond long. So its finest slot is a millisecond wide, and
/// that is how late a sleeper may wake.
fn fine(at: Tick) -> Tick {
    // A time that is too far away to be told is not never.
    Tick::from_nanos(at.nanos().saturating_mul(1 << FINE_BITS).min(Tick::NEVER.nanos() - 1))
}

/// The other way, rounded up.
fn coarse(fine: Tick) -> Tick {
    Tick::from_nanos(fine.nanos().div_ceil(1 << FINE_BITS))
}

const FINE_BITS: u32 = 3;

/// A task's wait for a point in time.
pub(super) struct Sleep<'a, T: Timed> {
    deadlines: &'a Deadlines<T>,
    at: Tick,
    /// Once it was polled.
    timer: Option<Timer>,
}

impl<T: Timed> Future for Sleep<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadlines = self.deadlines;
        let Some(timer) = self.timer else {
            if self.at <= machine::now() {
                return Poll::Ready(());
            }
            let mut sleepers = deadlines.sleepers.borrow_mut();
            let timer = sleepers.add(context.waker().clone());
            sleepers.arm(timer, fine(self.at));
            self.timer = Some(timer);
            deadlines.fire_by(self.at);
            return Poll::Pending;
        };
        let mut sleepers = deadlines.sleepers.borrow_mut();
        if !sleepers.is_armed(timer) {
            return Poll::Ready(());
        }
        let replaced = match sleepers.value_mut(timer) {
            Some(waker) if !waker.will_wake(context.waker()) => Some(std::mem::replace(waker, context.waker().clone())),
            Some(_) | None => None,
        };
        drop(sleepers);
        drop(replaced);
        Poll::Pending
    }
}

impl<T: Timed> Drop for Sleep<'_, T> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            // Dropped after the borrow of the wheel has ended, because a waker owns its task.
            let waker = self.deadlines.sleepers.borrow_mut().remove(timer);
            drop(waker);
        }
    }
}
