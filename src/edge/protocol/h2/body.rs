// SPDX-License-Identifier: Apache-2.0
//! Hot. Body source and sink of an HTTP/2 stream.

use std::io;
use std::rc::Rc;

use crate::base::{Buf, Fault, FaultKind, Pace, Side, Tick};
use crate::edge::flow::stream::{BodySink, BodySource, Ending, Portion, Stop};
use crate::edge::protocol::h1::{read_fault, write_fault};
use crate::edge::protocol::h2::session::{Session, StreamClosed};
use crate::edge::protocol::h2::stream_state::{ReceiveState, StreamState};
use crate::net::Net;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::stream::Key;
use crate::wire::head::BodyLength;

/// Names a stream of a session, to break it off from outside.
pub(crate) struct Handle<N: Net> {
    /// The connection.
    pub session: Rc<Session<N>>,
    /// The stream.
    pub key: Key,
}

impl<N: Net> Clone for Handle<N> {
    fn clone(&self) -> Handle<N> {
        Handle { session: self.session.clone(), key: self.key }
    }
}

impl<N: Net> Handle<N> {
    /// Resets the stream: nobody wants it any more.
    pub(crate) fn abort(&self) {
        self.session.reset(self.key, ErrorCode::Cancel);
    }
}

impl<N: Net> Stop for Handle<N> {
    fn stop(&self) {
        self.session.with(self.key, |stream| {
            stream.stopped = true;
            stream.wake_reader();
        });
    }

    fn nudge(&self) {
        self.session.with(self.key, StreamState::nudge);
    }
}

/// Yields the content that `side` sends on a stream.
pub(crate) struct StreamBody<N: Net> {
    handle: Handle<N>,
    side: Side,
    length: BodyLength,
    done: bool,
    trailers: Vec<u8>,
}

impl<N: Net> StreamBody<N> {
    /// The content of a stream, said to be of `length`.
    pub(crate) fn new(handle: Handle<N>, side: Side, length: BodyLength) -> StreamBody<N> {
        StreamBody { handle, side, length, done: length == BodyLength::None, trailers: Vec::new() }
    }

    /// Notes the end, where everything was read.
    fn settle(&mut self) {
        let Handle { session, key } = &self.handle;
        let ended = session.with(*key, |stream| {
            let ended = stream.come == ReceiveState::All && stream.inbox.is_empty();
            ended.then(|| std::mem::take(&mut stream.trailers))
        });
        if let Some(Some(trailers)) = ended {
            self.done = true;
            self.trailers = trailers;
        }
    }
}

impl<N: Net> BodySource for StreamBody<N> {
    type Stopper = Handle<N>;

    fn length(&self) -> BodyLength {
        self.length
    }

    fn end_reads_on_nudge(&mut self) {
        // It always does.
    }

    fn done(&self) -> bool {
        self.done
    }

    fn accept(&mut self, buf: &mut Buf, from: usize) -> Result<Portion, Fault> {
        debug_assert_eq!(from, buf.len(), "content does not come with the head's bytes");
        let mut content = 0;
        while !self.done && buf.spare() > 0 {
            let taken = self.handle.session.read_now(self.handle.key, buf);
            if taken == 0 {
                break;
            }
            content += taken as u64;
        }
        self.settle();
        Ok(Portion { content, done: self.done, full: false })
    }

    async fn read(&mut self, mut buf: Buf, until: Tick) -> (Result<Portion, Fault>, Buf) {
        let Handle { session, key } = &self.handle;
        let read = session.read_heeding(*key, &mut buf, until).await;
        if read.is_none() && session.thread.net.now() < until {
            return (Ok(Portion::NOTHING), buf);
        }
        let result = match io_result(read) {
            Ok(count) => {
                self.settle();
                Ok(Portion { content: count as u64, done: self.done, full: false })
            }
            Err(error) => Err(read_fault(self.side, error.kind())),
        };
        (result, buf)
    }

    async fn readable(&mut self, until: Tick) -> Result<(), Fault> {
        let Handle { session, key } = &self.handle;
        match session.readable(*key, until).await {
            Some(()) => Ok(()),
            None => Err(read_fault(self.side, io::ErrorKind::TimedOut)),
        }
    }

    async fn read_open(&mut self, mut buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        let read = self.handle.session.read_open(self.handle.key, &mut buf, until).await;
        (io_result(read), buf)
    }

    fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn change_trailers(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        if !self.trailers.is_empty() {
            change(&mut self.trailers);
        }
    }

    fn stopper(&self) -> Handle<N> {
        self.handle.clone()
    }
}

/// What a stream gave, as a connection would give it.
pub(crate) fn io_result<T>(outcome: Option<Result<T, StreamClosed>>) -> io::Result<T> {
    match outcome {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(io::ErrorKind::ConnectionReset.into()),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Takes the content that goes to `side` on a stream.
pub(crate) struct StreamSink<N: Net> {
    /// The stream.
    pub handle: Handle<N>,
    /// Who gets it.
    pub side: Side,
    /// The stream has already ended, with its head or with the last content.
    pub ended: bool,
    /// What is demanded of the peer.
    pub pace: Pace,
}

impl<N: Net> BodySink for StreamSink<N> {
    async fn write(&mut self, buf: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        if self.ended || (buf.is_empty() && ending == Ending::More) {
            debug_assert!(buf.is_empty(), "nothing can follow the end");
            return (Ok(()), buf);
        }
        self.ended = ending != Ending::More;
        let (sent, buf) = self.handle.session.send(self.handle.key, buf, ending, (until, self.pace)).await;
        let fault = match sent {
            Some(Ok(())) => return (Ok(()), buf),
            Some(Err(_)) if self.handle.session.is_stuck() => write_fault(self.side, io::ErrorKind::TimedOut),
            Some(Err(cut)) => cut_fault(self.side, cut),
            None => write_fault(self.side, io::ErrorKind::TimedOut),
        };
        (Err(fault), buf)
    }

    fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    fn finish(&self) {
        if !self.ended {
            self.handle.session.finish(self.handle.key);
        }
    }

    fn abort(&self) {
        self.handle.session.reset(self.handle.key, ErrorCode::Internal);
    }
}

/// The fault of a stream that closed before a response arrived.
pub(crate) fn cut_fault(side: Side, cut: StreamClosed) -> Fault {
    match (side, cut.0) {
        // RFC 9113 section 8.7: certainly not processed.
        (Side::Upstream, ReceiveState::Reset(ErrorCode::RefusedStream)) => Fault::refused(FaultKind::UpstreamClosed),
        (side, ReceiveState::Open | ReceiveState::All | ReceiveState::Reset(_) | ReceiveState::Lost) => {
            write_fault(side, io::ErrorKind::ConnectionReset)
        }
    }
}
