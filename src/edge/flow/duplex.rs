// SPDX-License-Identifier: Apache-2.0
//! Hot. Two futures in one task, so that an upload and its answer run at once without a spawn or a box.
//!
//! Neither future is ever dropped half-way: a read in flight owns its buffer. Whoever ends first may make the other end
//! soon, through the closures.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Runs both to their ends. `left_ended` and `right_ended` are called when one ends while the other still runs.
pub(crate) async fn duplex<L: Future, R: Future>(
    left: L,
    right: R,
    left_ended: impl Fn(&L::Output),
    right_ended: impl Fn(&R::Output),
) -> (L::Output, R::Output) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut left_output, mut right_output) = (None, None);
    poll_fn(move |context| {
        if left_output.is_none()
            && let Poll::Ready(output) = left.as_mut().poll(context)
        {
            if right_output.is_none() {
                left_ended(&output);
            }
            left_output = Some(output);
        }
        if right_output.is_none()
            && let Poll::Ready(output) = right.as_mut().poll(context)
        {
            if left_output.is_none() {
                right_ended(&output);
            }
            right_output = Some(output);
        }
        match (left_output.take(), right_output.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            (left, right) => {
                (left_output, right_output) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}
