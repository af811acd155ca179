// SPDX-License-Identifier: Apache-2.0
//! Hot. Body sources and sinks: the traits that bodies are read from and written to, whatever the HTTP version.
//!
//! A `BodySource` yields a message's content without its framing, a `BodySink` takes it in the `Form` in which it
//! leaves. `Client` is the sink that also takes response heads.

use std::future::Future;
use std::io;

use crate::base::{Buf, Fault, FaultKind, Pace, Tick};
use crate::edge::flow::watch::Link;
use crate::wire::h1::{Caps, Parsed};
use crate::wire::h2::frame::ErrorCode;
use crate::wire::head::{BodyLength, Method, Response, ResponseHead, Version};
use crate::wire::outgoing::OutgoingRequest;
use crate::wire::patch::Patch;

/// What a sink is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Content bytes and nothing else.
    Plain,
    /// Content in the chunked coding of RFC 9112 section 7.1, with its trailers.
    Chunked,
}

impl Form {
    /// The form of an HTTP/1 body of that length.
    pub(crate) fn of(length: BodyLength) -> Form {
        match length {
            BodyLength::Chunked => Form::Chunked,
            BodyLength::None | BodyLength::Exact(_) | BodyLength::UntilClose => Form::Plain,
        }
    }
}

/// What one read of a body brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    /// Content bytes.
    pub content: u64,
    /// The body is complete.
    pub done: bool,
    /// The read filled all the room it was given: more is probably waiting.
    pub full: bool,
}

impl Portion {
    /// Nothing came, but more may.
    pub(crate) const NOTHING: Portion = Portion { content: 0, done: false, full: false };
}

/// Whether more of a body follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending<'a> {
    /// Yes.
    More,
    /// No. Behind it come these trailer fields, each a line with its CRLF; usually there are none. In the chunked form
    /// the bytes themselves hold them already.
    Last(&'a [u8]),
}

impl Ending<'_> {
    /// The end of a body without trailers.
    pub(crate) const BARE: Ending<'static> = Ending::Last(b"");
}

/// Yields the rest of a body.
pub(crate) trait BodySource {
    /// Ends its reads from outside.
    type Stopper: Stop;
    /// How long the body was said to be.
    fn length(&self) -> BodyLength;
    /// From now on a nudge ends a pending `read`, too.
    fn end_reads_on_nudge(&mut self);
    /// The whole body was seen.
    fn done(&self) -> bool;
    /// Takes bytes that were already read: `buf`'s window from `from` on. The content stays in the window; later bytes
    /// are kept as leftover.
    fn accept(&mut self, buf: &mut Buf, from: usize) -> Result<Portion, Fault>;
    /// Appends the next content to `buf`; there may be none, and the body goes on. After `done` it must not be called
    /// again.
    fn read(&mut self, buf: Buf, until: Tick) -> impl Future<Output = (Result<Portion, Fault>, Buf)>;
    /// Waits without a buffer until a `read` will not have to wait for long. A fault is what a `read` would have given.
    fn readable(&mut self, until: Tick) -> impl Future<Output = Result<(), Fault>>;
    /// Appends bytes after an upgrade, as they come. Zero is the peer's end; after `TimedOut` and `Interrupted` nothing
    /// is lost.
    fn read_open(&mut self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<usize>, Buf)>;
    /// The trailer fields of a complete body, each a line with its CRLF.
    fn trailers(&self) -> &[u8];
    /// Changes the trailer fields of a complete body, where it has some.
    fn change_trailers(&mut self, change: impl FnOnce(&mut Vec<u8>));
    /// A handle that makes a pending read fail as if the body had broken off.
    fn stopper(&self) -> Self::Stopper;
}

/// Ends a source's reads from outside, while the source itself is busy.
pub(crate) trait Stop {
    /// Makes a pending or later read fail as if the body had broken off.
    fn stop(&self);
    /// Makes a pending or the next `read_open` return soon with `Interrupted` or `TimedOut`, and a `read` that heeds it
    /// with nothing; nothing is lost.
    fn nudge(&self);
}

/// Takes the rest of a body.
pub(crate) trait BodySink {
    /// It may keep what it was given, until more comes or `flush` is called.
    const HOLDS_BACK: bool = false;
    /// What is demanded of the peer in later writes.
    fn set_pace(&mut self, pace: Pace);
    /// Sends the whole window of `buf`, which may be empty at the end. A peer that takes it at the demanded pace may
    /// take until `until`.
    fn write(&mut self, buf: Buf, ending: Ending<'_>, until: Tick) -> impl Future<Output = (Result<(), Fault>, Buf)>;
    /// Sends what is held back: nothing more is there at the moment.
    fn flush(&mut self, _until: Tick) -> impl Future<Output = Result<(), Fault>> {
        debug_assert!(!Self::HOLDS_BACK, "a sink that holds back flushes");
        std::future::ready(Ok(()))
    }
    /// Ends our side of an upgraded connection.
    fn finish(&self);
    /// Aborts the connection or stream, so that the peer does not take what was sent for complete.
    fn abort(&self);
}

/// A response head on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    /// The head as received, or as made by us.
    pub response: Response<'a>,
    /// Changes to it; stages add theirs.
    pub patch: &'a mut Patch,
    /// How long the body will be.
    pub length: BodyLength,
    /// The connection leaves HTTP with it (101).
    pub upgrades: bool,
}

/// One exchange's way back to the client.
pub(crate) trait Client: BodySink {
    /// How a body of that length leaves, and in which form `Sink::write` wants it.
    fn framing(&self, length: BodyLength) -> (BodyLength, Form);
    /// May informational responses be sent (RFC 9110 section 15.2)?
    fn takes_interim(&self) -> bool;
    /// The connection cannot be used after this exchange. Say so in the head, if it is not sent yet.
    fn close_after(&mut self);
    /// Serialises a head and keeps it for `commit`.
    fn compose(&mut self, outgoing: Outgoing<'_>);
    /// The final head was composed, and `commit` sends it: from then on a fault can only break the response off. An
    /// adaptor that holds the head says no until it lets it go.
    fn begun(&self) -> bool;
    /// Counts a billed response itself, and waits before its end.
    fn bills(&self) -> bool {
        false
    }
    /// What was seen of the request when the response came: content bytes received, and microseconds that the upstream
    /// took. For a client that bills.
    fn note(&mut self, _received: u64, _upstream_us: u64) {}
    /// The head was sent, and the body will be long: frees the memory for heads. An adaptor that may still hold its
    /// head keeps everything.
    fn shed(&mut self) {}
    /// Sends the composed head and `first`, in one write where they fit together.
    fn commit(&mut self, first: Buf, ending: Ending<'_>, until: Tick)
    -> impl Future<Output = (Result<(), Fault>, Buf)>;
}

/// The endpoint's side of one exchange: takes a request and yields its response.
pub(crate) trait Remote {
    /// Yields the answer's body.
    type Body: BodySource;
    /// Takes the request's body.
    type Upload: BodySink;
    /// What is spoken with the endpoint.
    const VERSION: Version;
    /// The form in which `Upload` wants a body of that length.
    fn form(&self, length: BodyLength) -> Form;
    /// Serialises a request's head. What has to stand in front of the first bytes of the body is put into `out`.
    fn compose(&self, out: &mut Vec<u8>, outgoing: &OutgoingRequest<'_>) -> Result<(), Fault>;
    /// What to abort when the client disconnects. Only after the head is composed.
    fn abort_handle(&self) -> Link;
    /// Where the request's head and body go.
    fn upload(&self) -> Self::Upload;
    /// Reads more of the answer's head, appending to `buf`. Zero is the end; after `TimedOut` nothing more can be read.
    fn read(&self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<usize>, Buf)>;
    /// Waits without a buffer until a `read` will not have to wait for long; for a version whose `read` waits with one.
    /// After `TimedOut` it can be called again.
    fn readable(&self, until: Tick) -> impl Future<Output = io::Result<()>>;
    /// As `read`, but after `TimedOut` it can be called again.
    fn read_idle(&self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<usize>, Buf)>;
    /// Parses the head at the front of the buffer. Its spans are offsets from there.
    fn parse(&self, buf: &Buf, caps: &Caps, method: Method, head: &mut ResponseHead) -> Result<Parsed, FaultKind>;
    /// The body behind the head that was parsed last.
    fn body(&self, length: BodyLength) -> Self::Body;
    /// Is the connection at a message boundary after `body` was read, so that it can be reused?
    fn stands(&self, body: &Self::Body) -> bool;
    /// Bytes of the request that are written and have not reached the endpoint.
    fn undelivered(&self) -> usize;
    /// Aborts the exchange, so that the endpoint stops working on it.
    fn abort(&self);
    /// With which code the endpoint reset the conversation, where it did and the version has such a thing.
    fn reset_code(&self) -> Option<ErrorCode>;
}
