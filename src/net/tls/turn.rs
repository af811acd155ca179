//! Hot. Whose turn it is to send: one of two parties, the writer and a reader that has to answer.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A lock within one task's two halves. Only the writer ever waits for it, so there is room for one waiter.
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

    /// The turn, if nobody has it.
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
