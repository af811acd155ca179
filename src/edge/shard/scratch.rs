// SPDX-License-Identifier: Apache-2.0
//! Hot. The scratch memory of an exchange. The shard reuses it, so that serving allocates nothing.

use std::cell::RefCell;
use std::rc::Rc;

use crate::balance::EndpointIndex;
use crate::base::limits::TRIED_MAX;
use crate::base::{Fault, Tick};
use crate::edge::shard::attributes::Attributes;
use crate::edge::shard::kept::{KeptBody, KeptBytes};
use crate::edge::shard::record::Record;
use crate::edge::shard::usage::Bill;
use crate::policy::{Effects, PolicyMemo};
use crate::wire::grpc::End;
use crate::wire::h1::HeadScan;
use crate::wire::head::{BodyLength, RequestHead, ResponseHead};
use crate::wire::patch::Patch;
use crate::wire::ws::frame::Extensions;

/// Free scratch that a shard keeps; above it, scratch is freed.
const KEEP: usize = 256;
/// A vector with a larger capacity is freed instead of kept.
const VECTOR_KEEP: usize = 64 * 1024;

/// What one busy connection works in.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The request's head.
    pub request: RequestHead,
    /// How far the search for a head's end has come.
    pub scan: HeadScan,
    /// Serialised response head.
    pub out: Vec<u8>,
    /// The bytes of a head that came over HTTP/2.
    pub arena: Vec<u8>,
    /// The rest.
    pub state: RequestState,
}

/// What serving works in, beside the request's head.
#[derive(Debug, Default)]
pub(crate) struct RequestState {
    /// What is remembered of the exchange.
    pub record: Record,
    /// What is known of the request.
    pub attributes: Attributes,
    /// What policies and rules change.
    pub effects: Effects,
    /// What policies remember of this request, in the order in which they are asked.
    pub memos: Vec<PolicyMemo>,
    /// The response's head.
    pub response: ResponseHead,
    /// What the ends of a WebSocket agreed on; set before it opens.
    pub extensions: Extensions,
    /// The rewritten target.
    pub target: Vec<u8>,
    /// Serialised request head.
    pub out: Vec<u8>,
    /// One template's value.
    pub value: Vec<u8>,
    /// Body bytes that were sent, kept for another attempt.
    pub replay: KeptBody,
    /// Where the request's body is.
    pub body: RequestBody,
    /// Attempts that failed, `TRIED_MAX` at most.
    pub failed: Vec<FailedAttempt>,
    /// Where the record of a billed request stands.
    pub bill: Bill,
    /// The status for the caller, where it is more specific than the kind of the fault.
    pub said: Option<End<'static>>,
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedAttempt {
    /// Where it was sent; `None` where there was no endpoint.
    pub endpoint: Option<EndpointIndex>,
    /// Why it failed.
    pub why: WhyFailed,
    /// When it began.
    pub began: Tick,
    /// When it was over.
    pub ended: Tick,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WhyFailed {
    /// There was no response.
    Fault(Fault),
    /// The response had a status that is retried.
    Status(u16),
}

/// Where a request's body is. What `replay` holds of it counts where it is `Kept` or `Waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RequestBody {
    /// With the client, or in what came with the head.
    #[default]
    Untouched,
    /// Bytes of it were read and not kept: it cannot be sent again.
    Passed,
    /// What was read is kept. If that is not all, the rest was lost with the attempt that read it.
    Kept,
    /// What was read is kept, and the rest was left with the client.
    Waiting,
}

/// Has the client's side nothing more to read of a body?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The body was read to its end.
    Whole,
    /// It was not.
    Partly,
}

impl RequestBody {
    /// Bytes of it were read.
    pub(crate) fn is_begun(self) -> bool {
        self != RequestBody::Untouched
    }

    /// All bytes that were read are kept.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, RequestBody::Kept | RequestBody::Waiting)
    }
}

/// Can a request be sent once more, as far as its body is concerned?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    /// It has none, or all of it is kept or can still be read.
    Possible,
    /// Bytes of it are gone.
    Impossible,
}

impl RequestState {
    /// Can a request with a body of this length be sent once more?
    pub(crate) fn resend(&self, length: BodyLength, read: Read) -> Resend {
        let kept = match self.body {
            RequestBody::Untouched | RequestBody::Waiting => true,
            RequestBody::Kept => read == Read::Whole,
            RequestBody::Passed => false,
        };
        if length == BodyLength::None || kept { Resend::Possible } else { Resend::Impossible }
    }

    /// Remembers that the last attempt failed.
    #[cold]
    pub(crate) fn note_failure(&mut self, why: WhyFailed, now: Tick) {
        if self.failed.len() < TRIED_MAX {
            let Record { endpoint, attempted: began, .. } = self.record;
            self.failed.push(FailedAttempt { endpoint, why, began, ended: now });
        }
    }

    /// Frees what is not needed while a stream of events is relayed. To be called only after the response's head was
    /// sent, when there is no other attempt.
    pub(crate) fn shed(&mut self) {
        self.out = Vec::new();
        self.value = Vec::new();
        self.replay.clear_to(0);
        self.effects.to_upstream = Patch::default();
    }

    /// Ready for the next exchange; keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.record = Record::default();
        self.failed.clear();
        self.bill = Bill::None;
        self.attributes.clear();
        self.effects.clear();
        self.memos.clear();
        for bytes in [&mut self.target, &mut self.out, &mut self.value] {
            bytes.clear();
            if bytes.capacity() > VECTOR_KEEP {
                *bytes = Vec::new();
            }
        }
        self.replay.clear_to(VECTOR_KEEP);
        self.body = RequestBody::Untouched;
        self.said = None;
    }
}

/// A shard's free scratch.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "scratch is lent as a box, so that lending it moves a pointer")]
pub(crate) struct ScratchPool {
    free: RefCell<Vec<Box<Scratch>>>,
    /// Bodies in all scratch, also in what is lent.
    pub kept: Rc<KeptBytes>,
}

impl ScratchPool {
    /// Scratch, cleared.
    pub(crate) fn take(&self) -> Box<Scratch> {
        self.free.borrow_mut().pop().unwrap_or_else(|| self.fresh())
    }

    #[cold]
    fn fresh(&self) -> Box<Scratch> {
        let mut scratch = Box::<Scratch>::default();
        scratch.state.replay = KeptBody::new(&self.kept);
        scratch
    }

    /// Frees all scratch that waits for use.
    pub(crate) fn trim(&self) {
        *self.free.borrow_mut() = Vec::new();
    }

    /// Gives scratch back.
    pub(crate) fn put(&self, mut scratch: Box<Scratch>) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEEP {
            scratch.state.clear();
            free.push(scratch);
        }
    }
}
