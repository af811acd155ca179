// SPDX-License-Identifier: Apache-2.0
//! Hot. The deadlines of a shard: a wheel of timers, and one task that sleeps until the wheel asks for it.
//!
//! While no deadline is armed, the task does not wake at all.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::instant::{SLEEP_MAX, instant};
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
    /// When the watching task looks at the wheel next; `NEVER` while it sleeps without end.
    alarm: Cell<Tick>,
    watcher: Cell<Option<Waker>>,
    stopping: Cell<bool>,
}

impl<T: Timed> Deadlines<T> {
    pub(super) fn new() -> Deadlines<T> {
        Deadlines {
            wheel: RefCell::new(Wheel::new(machine::now())),
            alarm: Cell::new(Tick::NEVER),
            watcher: Cell::new(None),
            stopping: Cell::new(false),
        }
    }

    /// Arms the timer of `timed` for `until`.
    pub(super) fn arm(&self, timed: &Rc<T>, until: Tick) {
        let mut wheel = self.wheel.borrow_mut();
        let timer = timed.timer().get().unwrap_or_else(|| wheel.add(timed.clone()));
        timed.timer().set(Some(timer));
        wheel.arm(timer, until);
        if until < self.alarm.get() {
            self.alarm.set(until);
            self.wake();
        }
    }

    /// Forgets a timer.
    pub(super) fn forget(&self, timer: Timer) {
        // Dropped after the borrow of the wheel has ended: what it is for may own wakers, which own tasks.
        let timed = self.wheel.borrow_mut().remove(timer);
        drop(timed);
    }

    /// Ends the watching task.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }

    /// Fires what is due, and arms it again for what it waits for next.
    fn expire(&self, now: Tick) {
        while let Some((timer, timed)) = self.pop(now) {
            let next = timed.fire(now);
            self.wheel.borrow_mut().arm(timer, next);
        }
    }

    fn pop(&self, now: Tick) -> Option<(Timer, Rc<T>)> {
        let mut wheel = self.wheel.borrow_mut();
        let timer = wheel.pop(now)?;
        Some((timer, wheel.value(timer)?.clone()))
    }

    /// Fires what is due and says when to look again; None at the end.
    fn look(&self, context: &Context<'_>) -> Option<Tick> {
        self.expire(machine::now());
        let next = self.wheel.borrow().next_due().unwrap_or(Tick::NEVER);
        self.alarm.set(next);
        self.watcher.set(Some(context.waker().clone()));
        (!self.stopping.get()).then_some(next)
    }
}

/// Fires what is due until `stop`.
pub(super) async fn watch<T: Timed>(deadlines: Rc<Deadlines<T>>) {
    let mut sleep = pin!(monoio::time::sleep(SLEEP_MAX));
    poll_fn(|context| {
        loop {
            match deadlines.look(context) {
                None => return Poll::Ready(()),
                Some(Tick::NEVER) => return Poll::Pending,
                Some(at) => sleep.as_mut().reset(instant(at)),
            }
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}
