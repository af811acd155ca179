// SPDX-License-Identifier: Apache-2.0
//! How tasks of one simulation wait for one another: a task that changes shared state calls `notify`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::base::Tick;
use crate::net::Net;
use crate::net::sim::host::Sim;

/// A condition variable for tasks. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Latch {
    waiting: Rc<RefCell<Vec<Waker>>>,
}

impl Latch {
    /// Makes all waiting tasks check their condition.
    pub fn notify(&self) {
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits until `condition` returns `Some`.
    pub async fn wait<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| {
            if let Some(value) = condition() {
                return Poll::Ready(value);
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// As `wait`, but no longer than `until`.
    #[cfg_attr(not(any(test, feature = "sim")), expect(dead_code, reason = "for the simulator"))]
    pub async fn wait_until<T>(&self, sim: &Sim, until: Tick, condition: impl FnMut() -> Option<T>) -> Option<T> {
        let mut waited = pin!(self.wait(condition));
        let mut late = pin!(sim.sleep_until(until));
        poll_fn(|context| match waited.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => late.as_mut().poll(context).map(|()| None),
        })
        .await
    }
}
