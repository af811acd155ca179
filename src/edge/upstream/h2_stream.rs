// SPDX-License-Identifier: Apache-2.0
//! Hot. One exchange on an HTTP/2 connection to an endpoint.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::base::limits::{BUF_CLASSES, HEADROOM};
use crate::base::{Buf, Fault, FaultKind, Pace, Side, Tick};
use crate::edge::flow::signal::unless;
use crate::edge::flow::stream::{BodySource, Form, Remote};
use crate::edge::flow::watch::Link;
use crate::edge::protocol::h2::body::{Handle, StreamBody, StreamSink};
use crate::edge::protocol::h2::session::StreamClosed;
use crate::edge::protocol::h2::stream_state::ReceiveState;
use crate::edge::upstream::h2::Http2Connection;
use crate::net::{Net, Stream as _};
use crate::wire::h1::{Caps, Parsed};
use crate::wire::h2::connection::Ending;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::stream::Key;
use crate::wire::h2::write;
use crate::wire::head::{BodyLength, Method, ResponseHead, Version};
use crate::wire::outgoing::{After, OutgoingRequest};

/// One exchange: a stream that is opened when the request's head is composed.
pub(crate) struct Stream<N: Net> {
    far: Rc<Http2Connection<N>>,
    key: Cell<Option<Key>>,
    /// The request ended with its head.
    ended: Cell<bool>,
}

impl<N: Net> Stream<N> {
    /// A stream that will be opened on `far`.
    pub(super) fn on(far: Rc<Http2Connection<N>>) -> Stream<N> {
        Stream { far, key: Cell::new(None), ended: Cell::new(false) }
    }

    /// Does the endpoint take an extended CONNECT (RFC 8441 section 3)? `None` where it has not said.
    pub(crate) fn takes_upgrades(&self) -> Option<bool> {
        let told = self.far.settled.is_raised();
        told.then(|| self.far.session.machine.borrow().peer().connect_protocol)
    }

    /// As `takes_upgrades`; `until` the endpoint may take its time. Before its settings have come, nothing may be asked
    /// for.
    ///
    /// # Errors
    /// The settings did not arrive in time, or the connection ended before.
    pub(crate) async fn settled(&self, until: Tick) -> Result<bool, Fault> {
        let session = &self.far.session;
        unless(&self.far.settled, session.thread.net.sleep_until(until)).await;
        match self.takes_upgrades() {
            _ if session.is_over() => Err(Fault::unsent(FaultKind::UpstreamClosed)),
            Some(taken) => Ok(taken),
            None => Err(Fault::unsent(FaultKind::ConnectTimeout)),
        }
    }

    fn handle(&self) -> Option<Handle<N>> {
        let session = self.far.session.clone();
        self.key.get().map(|key| Handle { session, key })
    }

    /// The handle of an open stream. Only `compose` comes before it is open.
    fn opened(&self) -> Handle<N> {
        self.handle().expect("a conversation begins with its request's head")
    }
}

impl<N: Net> Drop for Stream<N> {
    fn drop(&mut self) {
        if let Some(Handle { session, key }) = self.handle() {
            session.close_stream(key);
            self.far.idle_since.set(session.thread.net.now());
            let retired = self.far.retired.get() && session.machine.borrow().held_streams() == 0;
            if retired {
                session.interrupt();
            }
        }
    }
}

impl<N: Net> Remote for Stream<N> {
    type Body = StreamBody<N>;
    type Upload = StreamSink<N>;

    const VERSION: Version = Version::H2;

    fn form(&self, _: BodyLength) -> Form {
        Form::Plain
    }

    fn compose(&self, out: &mut Vec<u8>, outgoing: &OutgoingRequest<'_>) -> Result<(), Fault> {
        out.clear();
        let Http2Connection { session, scheme, streams, .. } = &*self.far;
        let ends = outgoing.body == BodyLength::None && outgoing.after != After::Upgrade;
        let ending = if ends { Ending::Last } else { Ending::More };
        let block = |out: &mut Vec<u8>, encoder: &mut _| write::request(out, encoder, *scheme, outgoing);
        let opened = session.machine.borrow_mut().open(ending, block);
        let key = opened.map_err(|_| Fault::unsent(FaultKind::UpstreamClosed))?;
        session.open_stream(key);
        let method = match outgoing.after {
            After::Upgrade => Method::Connect,
            After::KeepAlive | After::Close => outgoing.request.head.method,
        };
        session.with(key, |stream| stream.method = method);
        self.key.set(Some(key));
        self.ended.set(ends);
        streams.set(streams.get().saturating_add(1));
        session.wake_writer();
        Ok(())
    }

    fn abort_handle(&self) -> Link {
        let Handle { session, key } = self.opened();
        Link { connection: session, stream: Some(key) }
    }

    fn upload(&self) -> StreamSink<N> {
        StreamSink { handle: self.opened(), side: Side::Upstream, ended: self.ended.get(), pace: Pace::NONE }
    }

    /// A head waits in the stream's state, so `buf` is given back until there is one.
    async fn read(&self, mut buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        let Handle { session, key } = self.opened();
        debug_assert!(buf.is_empty(), "heads come one by one");
        session.thread.pool.put(std::mem::take(&mut buf));
        match session.headed(key, until).await {
            None => return (Err(ErrorKind::TimedOut.into()), buf),
            Some(Err(cut)) => return (Err(error_of(cut).into()), buf),
            Some(Ok(())) => {}
        }
        debug_assert!(buf.is_empty(), "heads come one by one");
        // The head itself waits until it is parsed.
        let taken = session.with(key, |stream| {
            let Some(answer) = stream.heads.front() else { return Err(ErrorKind::ConnectionReset) };
            match answer.refused {
                Some(FaultKind::UpstreamTooManyFields) => return Err(ErrorKind::ArgumentListTooLong),
                Some(_) => return Err(ErrorKind::FileTooLarge),
                None => {}
            }
            if buf.spare() < answer.bytes.len() {
                let size = (HEADROOM + answer.bytes.len()).max(BUF_CLASSES[1]);
                session.thread.pool.put(std::mem::replace(&mut buf, session.thread.pool.take(size)));
                buf.reset(HEADROOM);
            }
            let copied = buf.append(&answer.bytes);
            debug_assert!(copied, "room was made above");
            Ok(answer.bytes.len())
        });
        (taken.unwrap_or(Err(ErrorKind::ConnectionReset)).map_err(io::Error::from), buf)
    }

    /// `read` holds none.
    async fn readable(&self, _: Tick) -> io::Result<()> {
        Ok(())
    }

    async fn read_idle(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.read(buf, until).await
    }

    fn parse(&self, _: &Buf, caps: &Caps, _: Method, head: &mut ResponseHead) -> Result<Parsed, FaultKind> {
        let Handle { session, key } = self.opened();
        match session.with(key, |stream| stream.heads.pop_front()).flatten() {
            Some(answer) if answer.head.fields.list.len() > caps.fields => Err(FaultKind::UpstreamTooManyFields),
            Some(mut answer) => {
                std::mem::swap(head, &mut answer.head);
                self.far.recycle(answer);
                Ok(Parsed::Complete)
            }
            None => Ok(Parsed::Partial),
        }
    }

    fn body(&self, length: BodyLength) -> StreamBody<N> {
        StreamBody::new(self.opened(), Side::Upstream, length)
    }

    fn stands(&self, body: &StreamBody<N>) -> bool {
        body.done()
    }

    fn undelivered(&self) -> usize {
        self.far.session.transport.undelivered()
    }

    fn abort(&self) {
        if let Some(handle) = self.handle() {
            handle.abort();
        }
    }

    fn reset_code(&self) -> Option<ErrorCode> {
        let Handle { session, key } = self.handle()?;
        session.with(key, |stream| stream.peer_reset).flatten()
    }
}

/// The error of reading a closed stream; `Answering` turns it into a fault.
fn error_of(cut: StreamClosed) -> ErrorKind {
    match cut.0 {
        ReceiveState::Reset(ErrorCode::RefusedStream) => ErrorKind::ConnectionRefused,
        ReceiveState::Reset(ErrorCode::Protocol) => ErrorKind::InvalidData,
        ReceiveState::Open | ReceiveState::All | ReceiveState::Reset(_) | ReceiveState::Lost => {
            ErrorKind::ConnectionReset
        }
    }
}
