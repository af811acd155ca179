// SPDX-License-Identifier: Apache-2.0
//! Hot. Reads an HTTP/1 body from a connection and writes one to it.
//!
//! `BodyReader` stands on either side. It yields the content of the body, checked, and keeps what comes after it; an
//! end that comes too early is a fault, never a short body.

use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::base::{Buf, Fault, FaultKind, Pace, Side, Tick};
use crate::edge::flow::stream::{BodySink, BodySource, Ending, Portion, Stop};
use crate::edge::flow::watch::Abort;
use crate::net::Stream;
use crate::net::tls::Transport;
use crate::wire::h1::Tolerance;
use crate::wire::h1::body::Body;
use crate::wire::h2::stream::Key;
use crate::wire::head::BodyLength;

/// Reads one body from a connection.
pub(crate) struct BodyReader<S: Stream> {
    stream: Rc<Transport<S>>,
    side: Side,
    body: Body,
    length: BodyLength,
    leftover: Buf,
    trailers: Vec<u8>,
    done: bool,
    /// Reads can be given up without losing bytes.
    heeds: bool,
}

impl<S: Stream> BodyReader<S> {
    /// A reader for a body of `length` that `side` sends.
    pub(crate) fn new(stream: Rc<Transport<S>>, side: Side, length: BodyLength) -> BodyReader<S> {
        BodyReader {
            stream,
            side,
            body: match side {
                Side::Client | Side::Gateway => Body::request(length),
                Side::Upstream => Body::response(length),
            },
            trailers: Vec::new(),
            length,
            leftover: Buf::empty(),
            done: length == BodyLength::None,
            heeds: false,
        }
    }

    /// A reader for a response's body of `length`, with what is tolerated in it.
    pub(crate) fn tolerant(stream: Rc<Transport<S>>, length: BodyLength, tolerance: Tolerance) -> BodyReader<S> {
        let body = Body::tolerant_response(length, tolerance);
        BodyReader { body, ..BodyReader::new(stream, Side::Upstream, length) }
    }

    /// Was something in it only tolerated? Then its connection is not used again.
    pub(crate) fn deviates(&self) -> bool {
        self.body.tolerated
    }

    /// Bytes that came behind the body: the start of the next message.
    pub(crate) fn take_leftover(&mut self) -> Buf {
        std::mem::take(&mut self.leftover)
    }

    /// Something came behind the body.
    pub(crate) fn has_leftover(&self) -> bool {
        !self.leftover.is_empty()
    }

    /// What came is not what the body's framing allows.
    #[cold]
    fn refused(&self, kind: FaultKind) -> Fault {
        let fault = Fault::last(kind);
        self.body.cause().map_or(fault, |cause| fault.because(cause))
    }

    fn ended(&mut self) -> Result<Portion, Fault> {
        self.body.finish().map_err(Fault::last)?;
        self.done = true;
        Ok(Portion { content: 0, done: true, full: false })
    }
}

/// Ends the reads of a `BodyReader`.
pub(crate) struct StopReading<S: Stream>(Rc<Transport<S>>);

impl<S: Stream> Stop for StopReading<S> {
    fn stop(&self) {
        self.0.interrupt();
        self.0.stop_reading();
    }

    fn nudge(&self) {
        self.0.interrupt();
    }
}

impl<S: Stream> BodySource for BodyReader<S> {
    type Stopper = StopReading<S>;

    fn length(&self) -> BodyLength {
        self.length
    }

    fn end_reads_on_nudge(&mut self) {
        self.heeds = true;
    }

    fn done(&self) -> bool {
        self.done
    }

    fn accept(&mut self, buf: &mut Buf, from: usize) -> Result<Portion, Fault> {
        let fresh = &mut buf.filled_mut()[from..];
        let decoded = match self.body.decode(fresh, &mut self.trailers) {
            Ok(decoded) => decoded,
            Err(kind) => return Err(self.refused(kind)),
        };
        self.done = decoded.done;
        let behind = from + decoded.consumed;
        if behind < buf.len() {
            self.leftover = Buf::copied(&buf.filled()[behind..]);
        }
        let content = from + decoded.start..from + decoded.start + decoded.kept;
        if from == 0 {
            buf.truncate(content.end);
            buf.consume(content.start);
        } else {
            buf.filled_mut().copy_within(content, from);
            buf.truncate(from + decoded.kept);
        }
        Ok(Portion { content: decoded.kept as u64, done: self.done, full: false })
    }

    async fn read(&mut self, buf: Buf, until: Tick) -> (Result<Portion, Fault>, Buf) {
        let (from, room) = (buf.len(), buf.spare());
        let (result, mut buf) = match self.heeds {
            false => self.stream.read(buf, until).await,
            true => self.stream.read_idle(buf, until).await,
        };
        let count = match result {
            Ok(0) => return (self.ended(), buf),
            Ok(count) => count,
            Err(error) if self.heeds && error.kind() == ErrorKind::Interrupted => return (Ok(Portion::NOTHING), buf),
            Err(error) => return (Err(read_fault(self.side, error.kind())), buf),
        };
        match self.accept(&mut buf, from) {
            Ok(portion) => (Ok(Portion { full: count == room, ..portion }), buf),
            Err(fault) => (Err(fault), buf),
        }
    }

    async fn readable(&mut self, until: Tick) -> Result<(), Fault> {
        loop {
            match self.stream.readable(until).await {
                Ok(()) => return Ok(()),
                // Whoever nudged is heeded by the read that follows.
                Err(error) if error.kind() == ErrorKind::Interrupted && self.heeds => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(read_fault(self.side, error.kind())),
            }
        }
    }

    async fn read_open(&mut self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.stream.read_idle(buf, until).await
    }

    fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn change_trailers(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        if !self.trailers.is_empty() {
            change(&mut self.trailers);
        }
    }

    fn stopper(&self) -> StopReading<S> {
        StopReading(self.stream.clone())
    }
}

/// Writes body bytes to a connection as they are.
pub(crate) struct BodyWriter<S: Stream> {
    /// Where to.
    pub stream: Rc<Transport<S>>,
    /// Whose connection it is.
    pub side: Side,
}

impl<S: Stream> BodySink for BodyWriter<S> {
    async fn write(&mut self, buf: Buf, _: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        let (result, buf) = self.stream.write(buf, until).await;
        (result.map_err(|error| write_fault(self.side, error.kind())), buf)
    }

    fn set_pace(&mut self, pace: Pace) {
        self.stream.set_pace(pace);
    }

    fn finish(&self) {
        self.stream.finish();
    }

    fn abort(&self) {
        self.stream.abort();
    }
}

/// The conversation has the whole connection.
impl<S: Stream> Abort for Transport<S> {
    fn abort_stream(&self, _: Option<Key>) {
        self.abort();
    }
}

/// What a failed read of a body from `side` means.
pub(crate) fn read_fault(side: Side, error: ErrorKind) -> Fault {
    let timed_out = error == ErrorKind::TimedOut;
    Fault::last(match side {
        Side::Client | Side::Gateway if timed_out => FaultKind::RequestTimeout,
        Side::Client | Side::Gateway => FaultKind::ClientClosed,
        Side::Upstream if timed_out => FaultKind::IdleTimeout,
        Side::Upstream => FaultKind::UpstreamTruncated,
    })
}

/// What a failed write to `side` means.
pub(crate) fn write_fault(side: Side, error: ErrorKind) -> Fault {
    let timed_out = error == ErrorKind::TimedOut;
    Fault::last(match side {
        Side::Client | Side::Gateway if timed_out => FaultKind::ClientTooSlow,
        Side::Client | Side::Gateway => FaultKind::ClientClosed,
        Side::Upstream if timed_out => FaultKind::IdleTimeout,
        Side::Upstream => FaultKind::UpstreamClosed,
    })
}
