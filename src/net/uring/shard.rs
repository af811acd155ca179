//! Hot. What all connections of a shard share: the wheel of their deadlines, chance, and counts.
//!
//! One task (`watch_deadlines`) sleeps until the wheel asks for it. While no deadline is armed it does not wake at all.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::flow::Flow;
use super::{Driver, SLEEP_MAX, instant};
use crate::base::{Address, Rng, Tick, Timer, Wheel};
use crate::net::machine;

pub(super) struct Shard {
    pub(super) driver: Driver,
    pub(super) panics: Cell<u64>,
    /// The address of everybody who connects over a Unix socket without binding a path.
    pub(super) unnamed: Address,
    random: RefCell<Rng>,
    wheel: RefCell<Wheel<Rc<Flow>>>,
    /// When the watching task looks at the wheel next; `NEVER` while it sleeps without end.
    alarm: Cell<Tick>,
    watcher: Cell<Option<Waker>>,
    stopping: Cell<bool>,
}

impl Shard {
    pub(super) fn new(driver: Driver) -> io::Result<Shard> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(Shard {
            driver,
            panics: Cell::new(0),
            unnamed: Address::Unix(std::path::Path::new("").into()),
            random: RefCell::new(Rng::new(u64::from_ne_bytes(seed))),
            wheel: RefCell::new(Wheel::new(machine::now())),
            alarm: Cell::new(Tick::NEVER),
            watcher: Cell::new(None),
            stopping: Cell::new(false),
        })
    }

    pub(super) fn random(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    /// Arms `flow`'s timer for `until`.
    pub(super) fn arm(&self, flow: &Rc<Flow>, until: Tick) {
        let mut wheel = self.wheel.borrow_mut();
        let timer = flow.timer.get().unwrap_or_else(|| wheel.add(flow.clone()));
        flow.timer.set(Some(timer));
        wheel.arm(timer, until);
        if until < self.alarm.get() {
            self.alarm.set(until);
            self.wake();
        }
    }

    /// Forgets a flow's timer.
    pub(super) fn forget(&self, timer: Timer) {
        // Dropped after the borrow of the wheel has ended: a flow may own wakers, which own tasks.
        let flow = self.wheel.borrow_mut().remove(timer);
        drop(flow);
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
        while let Some((timer, flow)) = self.pop(now) {
            let next = flow.fire(now);
            self.wheel.borrow_mut().arm(timer, next);
        }
    }

    fn pop(&self, now: Tick) -> Option<(Timer, Rc<Flow>)> {
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

/// Fires the deadlines of a shard until it stops.
pub(super) async fn watch_deadlines(shard: Rc<Shard>) {
    let mut sleep = pin!(monoio::time::sleep(SLEEP_MAX));
    poll_fn(|context| {
        loop {
            match shard.look(context) {
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
