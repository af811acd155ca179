// SPDX-License-Identifier: Apache-2.0
//! Hot. The state of one stream: received heads and content, content to be sent, and the wakers of both sides.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::base::{Buf, BufPool, FaultKind, Judge};
use crate::edge::flow::watch::Watch;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::head::{Method, ResponseHead};

/// How far the receiving side of a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReceiveState {
    /// More may come.
    #[default]
    Open,
    /// Everything has come.
    All,
    /// It was reset, with this code.
    Reset(ErrorCode),
    /// The whole connection is over.
    Lost,
}

/// The head of an answer.
#[derive(Debug, Default)]
pub(crate) struct ReceivedHead {
    /// The bytes that its spans point into.
    pub bytes: Vec<u8>,
    /// The head.
    pub head: ResponseHead,
    /// It is above this limit, and only its beginning is here.
    pub refused: Option<FaultKind>,
}

/// Content that waits for its turn to be sent.
pub(crate) struct QueuedContent {
    /// The content, consumed from its front.
    pub buf: Buf,
    /// It is the last.
    pub last: bool,
    /// Trailer lines behind it.
    pub trailers: Vec<u8>,
}

/// One stream's place.
pub(crate) struct StreamState {
    /// The stream; zero where the place is nobody's.
    pub id: u32,
    /// Received content.
    pub inbox: VecDeque<Buf>,
    /// Received heads of an answer, interim ones first.
    pub heads: VecDeque<Box<ReceivedHead>>,
    /// The request's method, which the response's framing depends on.
    pub method: Method,
    /// How far the receiving side is.
    pub come: ReceiveState,
    /// The peer reset the stream, with this code.
    pub peer_reset: Option<ErrorCode>,
    /// Nothing can be sent any more: the stream was reset, or the connection is over.
    pub closed: bool,
    /// Received trailers as lines.
    pub trailers: Vec<u8>,
    /// The exchange wants nothing more.
    pub stopped: bool,
    /// Whoever reads is to look up.
    pub nudged: bool,
    /// What waits to be sent.
    pub outgoing: Option<QueuedContent>,
    /// The buffer of what was sent, for the exchange to take back.
    pub sent: Option<Buf>,
    /// Whether the peer keeps pace with what is sent.
    pub judge: Judge,
    /// Content that waited to be sent, in all.
    pub offered: i64,
    /// What breaks the exchange off when the client goes.
    pub watch: Option<Rc<Watch>>,
    reader: Option<Waker>,
    sender: Option<Waker>,
}

impl Default for StreamState {
    fn default() -> StreamState {
        StreamState {
            id: 0,
            inbox: VecDeque::new(),
            heads: VecDeque::new(),
            method: Method::Get,
            come: ReceiveState::Open,
            peer_reset: None,
            closed: false,
            trailers: Vec::new(),
            stopped: false,
            nudged: false,
            outgoing: None,
            sent: None,
            judge: Judge::default(),
            offered: 0,
            watch: None,
            reader: None,
            sender: None,
        }
    }
}

impl StreamState {
    /// Resets the state for stream `id`, or for no stream.
    pub(crate) fn reset(&mut self, id: u32, pool: &BufPool) {
        self.id = id;
        self.inbox.drain(..).for_each(|buf| pool.put(buf));
        self.heads.clear();
        self.come = ReceiveState::Open;
        self.peer_reset = None;
        self.closed = false;
        self.trailers.clear();
        self.stopped = false;
        self.nudged = false;
        for buf in [self.outgoing.take().map(|outgoing| outgoing.buf), self.sent.take()].into_iter().flatten() {
            pool.put(buf);
        }
        self.judge = Judge::default();
        self.offered = 0;
        self.watch = None;
        self.reader = None;
        self.sender = None;
    }

    /// This waits to be sent.
    pub(crate) fn offer(&mut self, content: QueuedContent) {
        self.offered += content.buf.len() as i64;
        self.outgoing = Some(content);
    }

    /// Keeps received content.
    pub(crate) fn push(&mut self, mut bytes: &[u8], pool: &BufPool) {
        if let Some(last) = self.inbox.back_mut() {
            let (fits, rest) = bytes.split_at(bytes.len().min(last.spare()));
            let copied = last.append(fits);
            debug_assert!(copied, "no more than fits");
            bytes = rest;
        }
        while !bytes.is_empty() {
            let mut buf = pool.take(HEADROOM + bytes.len());
            buf.reset(HEADROOM);
            let (fits, rest) = bytes.split_at(bytes.len().min(buf.spare()));
            let copied = buf.append(fits);
            debug_assert!(copied, "no more than fits");
            bytes = rest;
            self.inbox.push_back(buf);
        }
    }

    /// Moves content into `buf`, by handing a whole buffer over where that can be. Zero where there is none.
    pub(crate) fn take(&mut self, buf: &mut Buf, pool: &BufPool) -> usize {
        let Some(front) = self.inbox.front_mut() else { return 0 };
        let count = front.len().min(buf.spare());
        if buf.is_empty() && count == front.len() && front.headroom() >= buf.headroom() {
            std::mem::swap(buf, front);
        } else {
            let copied = buf.append(&front.filled()[..count]);
            debug_assert!(copied, "no more than fits");
            front.consume(count);
            if !front.is_empty() {
                return count;
            }
        }
        if let Some(empty) = self.inbox.pop_front() {
            pool.put(empty);
        }
        count
    }

    /// Whoever reads waits.
    pub(crate) fn wait_to_read(&mut self, context: &Context<'_>) {
        keep(&mut self.reader, context);
    }

    /// Whoever sends waits.
    pub(crate) fn wait_to_send(&mut self, context: &Context<'_>) {
        keep(&mut self.sender, context);
    }

    /// There is something to read, or never will be.
    pub(crate) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Whoever reads has something else to do.
    pub(crate) fn nudge(&mut self) {
        self.nudged = true;
        self.wake_reader();
    }

    /// Something was sent, or never will be.
    pub(crate) fn wake_sender(&mut self) {
        if let Some(waker) = self.sender.take() {
            waker.wake();
        }
    }

    /// The connection is closed in both directions. Bodies that were complete before stay complete.
    pub(crate) fn cut(&mut self, come: ReceiveState) {
        self.closed = true;
        if self.come == ReceiveState::Open {
            self.come = come;
        }
        self.wake_reader();
        self.wake_sender();
        if let Some(watch) = &self.watch {
            watch.break_off();
        }
    }
}

/// Room in front of received content for what relaying puts there.
const HEADROOM: usize = 64;

fn keep(place: &mut Option<Waker>, context: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *place = Some(context.waker().clone());
    }
}
