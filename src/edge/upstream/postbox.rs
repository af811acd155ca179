// SPDX-License-Identifier: Apache-2.0
//! Messages about caps that the upstreams of a shard have for other shards, until they are sent.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::balance::QuotaMessage;
use crate::edge::flow::notice::Notice;
use crate::link::UpstreamKey;

/// One shard's messages about caps.
#[derive(Debug, Default)]
pub(crate) struct Postbox {
    mail: RefCell<VecDeque<Letter>>,
    /// Raised where something is to be sent.
    pub sent: Notice,
}

/// A message with its receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    /// The shard that it is for.
    pub to: u32,
    /// The upstream.
    pub upstream: UpstreamKey,
    /// What it says.
    pub message: QuotaMessage,
}

impl Postbox {
    /// Leaves a message.
    pub(crate) fn post(&self, letter: Letter) {
        self.mail.borrow_mut().push_back(letter);
        self.sent.raise();
    }

    /// The next message.
    pub(crate) fn next(&self) -> Option<Letter> {
        self.mail.borrow_mut().pop_front()
    }
}
