// SPDX-License-Identifier: Apache-2.0
//! A flag that tasks of one shard can wait for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A flag that is raised once and wakes all present and later waiters.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    /// Raises it.
    pub(crate) fn raise(&self) {
        self.raised.set(true);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Was it raised?
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.get()
    }

    /// Waits until it is raised. May be dropped.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            if self.raised.get() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// Runs `work` until it ends or the signal is raised; `None` in the latter case, and `work` is dropped.
pub(crate) async fn unless<T>(signal: &Signal, state: impl Future<Output = T>) -> Option<T> {
    let mut state = std::pin::pin!(state);
    let mut raised = std::pin::pin!(signal.wait());
    poll_fn(|context| {
        if raised.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        state.as_mut().poll(context).map(Some)
    })
    .await
}
