//! Hot. The HTTP/1 ends of a body: reading one from a connection, writing one to it.
//!
//! `BodyReader` stands on either side. It lets pass exactly the bytes that belong to the body, checked, and keeps what
//! comes after them; an end that comes too early is a fault, never a short body.

use std::io::ErrorKind;
use std::rc::Rc;

use crate::base::{Buf, Fault, FaultKind, Side, Tick};
use crate::edge::stream::{Form, Portion, Sink, Source};
use crate::net::{Stream, Transport};
use crate::wire::h1::Body;
use crate::wire::head::BodyLength;

/// Reads one body from a connection.
pub struct BodyReader<S: Stream> {
    stream: Rc<Transport<S>>,
    side: Side,
    body: Body,
    length: BodyLength,
    yields: Form,
    leftover: Buf,
    done: bool,
}

impl<S: Stream> BodyReader<S> {
    /// A reader for a body of `length` that `side` sends, yielding it in the form it has on the wire.
    pub fn new(stream: Rc<Transport<S>>, side: Side, length: BodyLength) -> BodyReader<S> {
        BodyReader {
            stream,
            side,
            body: Body::new(length),
            length,
            yields: Form::of(length),
            leftover: Buf::empty(),
            done: length == BodyLength::None,
        }
    }

    /// Yields content only, whatever the coding.
    pub fn decode(&mut self) {
        self.yields = Form::Plain;
    }

    /// The form of what it yields.
    pub fn form(&self) -> Form {
        self.yields
    }

    /// The whole body was seen.
    pub fn done(&self) -> bool {
        self.done
    }

    /// Bytes that came behind the body: the start of the next message.
    pub fn take_leftover(&mut self) -> Buf {
        std::mem::take(&mut self.leftover)
    }

    /// Something came behind the body.
    pub fn has_leftover(&self) -> bool {
        !self.leftover.is_empty()
    }

    /// Where the body stands, to come back to with `rewind` when the same bytes are taken in again.
    pub fn mark(&self) -> (Body, bool) {
        (self.body.clone(), self.done)
    }

    /// Goes back to where `mark` was taken.
    pub fn rewind(&mut self, (body, done): (Body, bool)) {
        self.body = body;
        self.done = done;
        self.leftover = Buf::empty();
    }

    /// Takes in the bytes of `buf`'s window from `from` on, which were read before. Only what belongs to the body stays in
    /// the window; what comes behind it is kept as leftover.
    pub fn accept(&mut self, buf: &mut Buf, from: usize) -> Result<Portion, Fault> {
        let (kept, consumed, content) = if self.done {
            (0, 0, 0)
        } else if self.yields == Form::of(self.length) {
            let step = self.body.advance(&buf.filled()[from..]).map_err(|kind| self.broken(kind))?;
            self.done = step.done;
            (step.raw, step.raw, step.data as u64)
        } else {
            let step = self.body.decode_in_place(&mut buf.filled_mut()[from..]).map_err(|kind| self.broken(kind))?;
            self.done = step.done;
            (step.kept, step.consumed, step.kept as u64)
        };
        let behind = from + consumed;
        if behind < buf.len() {
            self.leftover = Buf::copied(&buf.filled()[behind..]);
        }
        buf.truncate(from + kept);
        Ok(Portion { content, done: self.done, full: false })
    }

    /// A rule of framing was broken: the kind that the parser named, seen from our side.
    fn broken(&self, kind: FaultKind) -> Fault {
        Fault::last(match self.side {
            Side::Client | Side::Gateway => kind,
            Side::Upstream => FaultKind::UpstreamProtocol,
        })
    }

    fn ended(&mut self) -> Result<Portion, Fault> {
        if self.length == BodyLength::UntilClose {
            self.done = true;
            return Ok(Portion { content: 0, done: true, full: false });
        }
        Err(self.cut())
    }

    fn cut(&self) -> Fault {
        Fault::last(match self.side {
            Side::Client | Side::Gateway => FaultKind::ClientClosed,
            Side::Upstream => FaultKind::UpstreamTruncated,
        })
    }

    fn failed(&self, error: ErrorKind) -> Fault {
        if error != ErrorKind::TimedOut {
            return self.cut();
        }
        Fault::last(match self.side {
            Side::Client | Side::Gateway => FaultKind::RequestTimeout,
            Side::Upstream => FaultKind::IdleTimeout,
        })
    }
}

impl<S: Stream> Source for BodyReader<S> {
    async fn read(&mut self, buf: Buf, until: Tick) -> (Result<Portion, Fault>, Buf) {
        let (from, room) = (buf.len(), buf.spare());
        let (result, mut buf) = self.stream.read(buf, until).await;
        let count = match result {
            Ok(0) => return (self.ended(), buf),
            Ok(count) => count,
            Err(error) => return (Err(self.failed(error.kind())), buf),
        };
        match self.accept(&mut buf, from) {
            Ok(portion) => (Ok(Portion { full: count == room, ..portion }), buf),
            Err(fault) => (Err(fault), buf),
        }
    }

    fn stop(&self) {
        self.stream.stop_reading();
    }
}

/// Writes body bytes to a connection as they are.
pub struct BodyWriter<S: Stream> {
    /// Where to.
    pub stream: Rc<Transport<S>>,
    /// Whose connection it is.
    pub side: Side,
}

impl<S: Stream> Sink for BodyWriter<S> {
    async fn write(&mut self, buf: Buf, until: Tick) -> (Result<(), Fault>, Buf) {
        let (result, buf) = self.stream.write(buf, until).await;
        (result.map_err(|error| write_fault(self.side, error.kind())), buf)
    }
}

/// What a failed write to `side` means.
pub fn write_fault(side: Side, error: ErrorKind) -> Fault {
    let timed_out = error == ErrorKind::TimedOut;
    Fault::last(match side {
        Side::Client | Side::Gateway => FaultKind::ClientClosed,
        Side::Upstream if timed_out => FaultKind::IdleTimeout,
        Side::Upstream => FaultKind::UpstreamClosed,
    })
}
