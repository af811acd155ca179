// SPDX-License-Identifier: Apache-2.0
//! Wakes one task of a shard, again and again: many raises before it looks are one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Raised by many, heard by one.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    raised: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Notice {
    /// Raises it.
    pub(crate) fn raise(&self) {
        if !self.raised.replace(true)
            && let Some(waker) = self.waiting.take()
        {
            waker.wake();
        }
    }

    /// Waits until it is raised, and lowers it. May be dropped.
    pub(crate) async fn heard(&self) {
        poll_fn(|context| {
            if self.raised.take() {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
