// SPDX-License-Identifier: Apache-2.0
//! Hot. A lock for sending, which the writer and the reader of one TLS stream take in turns.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// The lock. Both of its users are in one task, and only the writer ever waits for it, so it keeps one waiter.
#[derive(Default)]
pub(super) struct Turn {
    taken: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Turn {
    /// Waits for the turn.
    pub(super) async fn take(&self) -> TurnGuard<'_> {
        poll_fn(|context| match self.take_if_free() {
            Some(guard) => Poll::Ready(guard),
            None => {
                self.waiter.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// Takes the turn, if it is free.
    pub(super) fn take_if_free(&self) -> Option<TurnGuard<'_>> {
        (!self.taken.replace(true)).then_some(TurnGuard { turn: self })
    }
}

/// Having the turn, until dropped.
pub(super) struct TurnGuard<'a> {
    turn: &'a Turn,
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        self.turn.taken.set(false);
        if let Some(waiter) = self.turn.waiter.take() {
            waiter.wake();
        }
    }
}

/// How far our side has come with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Not at all.
    Open,
    /// Whoever has the turn sends close_notify when it is done.
    Asked,
    /// close_notify is sent, or in `tail`.
    Done,
}
