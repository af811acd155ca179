// SPDX-License-Identifier: Apache-2.0
//! Hot. A caller's body on its way to the server: checked, or made into messages of gRPC.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use crate::base::{Buf, Fault, FaultKind, Tick};
use crate::edge::flow::stream::{BodySource, Portion};
use crate::wire::grpc::json::{Refusal, Requests, Transcoder};
use crate::wire::grpc::web;
use crate::wire::grpc::{End, Offence, Scanner};
use crate::wire::head::BodyLength;

/// Why a body was refused, for the words of the answer.
#[derive(Debug, Default)]
pub(crate) struct Wrong {
    /// It is no row of messages.
    offence: Cell<Option<Offence>>,
    /// It cannot be turned into messages, or into JSON.
    pub refusal: RefCell<Option<Refusal>>,
}

impl Wrong {
    /// Keeps why, and gives the fault that ends the exchange; `kind` where it is not about size.
    pub(crate) fn offend(&self, offence: Offence, kind: FaultKind) -> Fault {
        self.offence.set(Some(offence));
        Fault::last(kind)
    }

    /// As `offend`.
    pub(crate) fn refuse(&self, refusal: Refusal, kind: FaultKind) -> Fault {
        self.refusal.replace(Some(refusal));
        Fault::last(kind)
    }

    /// What the caller is told of an offence.
    pub(crate) fn end(&self) -> Option<End<'static>> {
        self.offence.get().map(|offence| End::plain(offence.code(), offence.text()))
    }
}

/// What a caller's bytes are.
pub(crate) enum RequestCodec {
    /// Messages, which are only looked at.
    Checked(Scanner),
    /// gRPC-Web.
    Web(web::Decoder),
    /// Nothing more is read: the one message is kept for the first attempt already.
    Given {
        /// Its length with its prefix.
        bytes: u64,
    },
    /// A stream of JSON texts.
    Json(Box<JsonStream>),
}

/// A stream of JSON texts that become messages.
pub(crate) struct JsonStream {
    /// The texts.
    pub requests: Requests,
    /// What turns them into messages.
    pub transcoder: Rc<Transcoder>,
}

/// A caller's body.
pub(crate) struct FromCaller<'a, S> {
    inner: &'a mut S,
    words: RequestCodec,
    out: Vec<u8>,
    wrong: &'a Wrong,
    length: BodyLength,
}

impl<'a, S: BodySource> FromCaller<'a, S> {
    /// The rest of `inner`, which says in these words what is to be said in messages.
    pub(crate) fn new(inner: &'a mut S, words: RequestCodec, wrong: &'a Wrong) -> FromCaller<'a, S> {
        let length = match words {
            RequestCodec::Checked(_) => inner.length(),
            RequestCodec::Given { bytes } => BodyLength::Exact(bytes),
            RequestCodec::Web(_) | RequestCodec::Json(_) => BodyLength::Chunked,
        };
        FromCaller { inner, words, out: Vec::new(), wrong, length }
    }

    /// The length that the upstream is told.
    pub(crate) fn told_length(&self) -> BodyLength {
        self.length
    }

    /// Makes messages of the bytes behind `from`.
    fn recode(&mut self, buf: &mut Buf, from: usize, portion: Portion) -> Result<Portion, Fault> {
        self.out.clear();
        let fresh = &buf.filled()[from..];
        match &mut self.words {
            RequestCodec::Checked(scanner) => {
                let end = |scanner: &Scanner| if portion.done { scanner.finish() } else { Ok(()) };
                let checked = scanner.advance(fresh).and_then(|()| end(scanner));
                return match checked {
                    Ok(()) => Ok(portion),
                    Err(offence) => Err(self.wrong.offend(offence, of_client(offence))),
                };
            }
            RequestCodec::Web(decoder) => {
                let pushed = decoder.push(fresh, &mut self.out);
                let ended = pushed.and_then(|()| if portion.done { decoder.finish() } else { Ok(()) });
                ended.map_err(|offence| self.wrong.offend(offence, of_client(offence)))?;
            }
            RequestCodec::Given { .. } => {}
            RequestCodec::Json(stream) => {
                let made = stream.push(fresh, portion, &mut self.out);
                made.map_err(|refusal| self.wrong.refuse(refusal, FaultKind::BadRequest))?;
            }
        }
        buf.truncate(from);
        if !buf.append(&self.out) {
            // Above the largest class there is no pooled buffer; this one is freed after use.
            let mut roomy = Buf::with_capacity(buf.headroom() + from + self.out.len());
            roomy.reset(buf.headroom());
            let copied = roomy.append(buf.filled()) && roomy.append(&self.out);
            debug_assert!(copied, "room was made above");
            *buf = roomy;
        }
        Ok(Portion { content: self.out.len() as u64, ..portion })
    }
}

impl JsonStream {
    fn push(&mut self, mut bytes: &[u8], portion: Portion, out: &mut Vec<u8>) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let read = self.requests.push(&self.transcoder, bytes, out)?;
            bytes = &bytes[read..];
        }
        if portion.done { self.requests.finish(&self.transcoder, out) } else { Ok(()) }
    }
}

/// A caller's offence, as a fault of the client.
fn of_client(offence: Offence) -> FaultKind {
    match offence {
        Offence::TooLarge => FaultKind::BodyTooLarge,
        Offence::Flag | Offence::Truncated | Offence::Trailers | Offence::Base64 => FaultKind::BadRequest,
    }
}

impl<S: BodySource> BodySource for FromCaller<'_, S> {
    type Stopper = S::Stopper;

    fn length(&self) -> BodyLength {
        self.length
    }

    fn end_reads_on_nudge(&mut self) {
        self.inner.end_reads_on_nudge();
    }

    fn done(&self) -> bool {
        matches!(self.words, RequestCodec::Given { .. }) || self.inner.done()
    }

    fn accept(&mut self, buf: &mut Buf, from: usize) -> Result<Portion, Fault> {
        let portion = self.inner.accept(buf, from)?;
        self.recode(buf, from, portion)
    }

    async fn read(&mut self, buf: Buf, until: Tick) -> (Result<Portion, Fault>, Buf) {
        let from = buf.len();
        let (read, mut buf) = self.inner.read(buf, until).await;
        match read {
            Ok(portion) => (self.recode(&mut buf, from, portion), buf),
            Err(fault) => (Err(fault), buf),
        }
    }

    async fn read_open(&mut self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.inner.read_open(buf, until).await
    }

    fn trailers(&self) -> &[u8] {
        b""
    }

    fn stopper(&self) -> S::Stopper {
        self.inner.stopper()
    }
}
