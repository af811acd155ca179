// SPDX-License-Identifier: Apache-2.0
//! Catches the panic of a task. Otherwise the panic would unwind through the runtime's loop and end the shard.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::shard::Shard;

/// Runs `task`; where it panics, counts the panic and ends as if `task` had returned.
pub(super) struct Caught<F> {
    /// None once it has ended: `poll` drops it, so that a panic in its drop is caught, too. Pinned: never moved out.
    task: Option<F>,
    shard: Rc<Shard>,
}

impl<F: Future<Output = ()>> Caught<F> {
    pub(super) fn new(task: F, shard: Rc<Shard>) -> Caught<F> {
        Caught { task: Some(task), shard }
    }
}

impl<F: Future<Output = ()>> Future for Caught<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `task` is pinned with the whole: it is only polled through this pin or dropped in place, there is no
        // `Drop` of ours that could move it, and `Caught<F>` is `Unpin` only where `F` is.
        let (mut task, shard) = unsafe {
            let caught = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut caught.task), &caught.shard)
        };
        let polled = catch_unwind(AssertUnwindSafe(|| match task.as_mut().as_pin_mut() {
            Some(task) => task.poll(context),
            None => Poll::Ready(()),
        }));
        if let Ok(Poll::Pending) = polled {
            return Poll::Pending;
        }
        let dropped = catch_unwind(AssertUnwindSafe(|| task.set(None)));
        if let Err(panic) = polled.map(drop).and(dropped) {
            shard.panics.set(shard.panics.get() + 1);
            tracing::error!("a task panicked and was ended: {}", text_of(&*panic));
        }
        Poll::Ready(())
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}
