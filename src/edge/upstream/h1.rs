// SPDX-License-Identifier: Apache-2.0
//! Hot. HTTP/1 to endpoints: an exchange has the whole connection, which is kept alive for the next one.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::balance::EndpointIndex;
use crate::base::{Buf, Fault, FaultKind, Side, Tick};
use crate::config::plan::UpstreamPlan;
use crate::edge::flow::stream::{BodySource, Form, Remote};
use crate::edge::flow::watch::Link;
use crate::edge::protocol::h1::{BodyReader, BodyWriter};
use crate::edge::upstream::load::Open;
use crate::net::tls::Transport;
use crate::net::{Net, Peek, Stream};
use crate::wire::h1::{Caps, Parsed, Tolerance, response, write};
use crate::wire::h2::frame::ErrorCode;
use crate::wire::head::{BodyLength, Method, ResponseHead, Version};
use crate::wire::outgoing::OutgoingRequest;

/// Which kept connections are taken to be open and silent without a look, which is a system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    /// Those that rested for less than this,
    rested_max: Duration,
    /// that carried at least so many requests,
    requests_min: u32,
    /// and that were looked at within so many.
    unseen_max: u32,
    /// Others are used after a look.
    keeps: bool,
}

impl Trust {
    /// Those in the midst of work, whose endpoint has answered one by one so far.
    ///
    /// What such an endpoint sends unasked between the last read and the next request answers that request, and from
    /// there on each response is late by one. No look can exclude it: the bytes may come in the moment between the look
    /// and the request, and HTTP/1.1 does not say which request a response is for. But a late response usually lies in
    /// the socket when the next request comes, so each look is a chance to find it, and one comes every `unseen_max`
    /// requests.
    pub(crate) const BUSY: Trust =
        Trust { rested_max: Duration::from_millis(1), requests_min: 16, unseen_max: 16, keeps: true };

    /// No kept connection without a look.
    pub(crate) const LOOKED_AT: Trust = Trust { rested_max: Duration::ZERO, ..Trust::BUSY };

    /// No kept connection at all.
    pub(crate) const NONE: Trust = Trust { keeps: false, ..Trust::LOOKED_AT };

    /// May kept connections be used?
    pub(crate) fn in_kept(self) -> bool {
        self.keeps
    }

    /// May this connection be used without a look? Never where the last read filled its buffer: a response that nobody
    /// asked for may lie behind it (RFC 9112 section 9.2).
    pub(crate) fn covers<N: Net>(self, origin: &Http1Connection<N>, now: Tick) -> bool {
        let rested = now.since(origin.idle_since);
        let unseen = origin.requests - origin.looked_at;
        origin.requests >= self.requests_min
            && unseen < self.unseen_max
            && rested < self.rested_max
            && origin.stream.drained()
    }
}

/// A connection to an endpoint. Its drop closes it and decrements the count.
pub(crate) struct Http1Connection<N: Net> {
    open: Open,
    /// The connection.
    pub stream: Rc<Transport<N::Stream>>,
    /// When it was opened.
    pub opened: Tick,
    /// Since when it is idle.
    pub idle_since: Tick,
    /// Requests it has carried.
    pub requests: u32,
    /// How many it had carried when it was last looked at.
    looked_at: u32,
    /// What is accepted in responses against RFC 9112, by the plan under which it was opened.
    tolerance: Tolerance,
}

impl<N: Net> Remote for Http1Connection<N> {
    type Body = BodyReader<N::Stream>;
    type Upload = BodyWriter<N::Stream>;

    const VERSION: Version = Version::H11;

    fn form(&self, length: BodyLength) -> Form {
        Form::of(length)
    }

    fn compose(&self, out: &mut Vec<u8>, outgoing: &OutgoingRequest<'_>) -> Result<(), Fault> {
        write::request(out, outgoing);
        Ok(())
    }

    fn abort_handle(&self) -> Link {
        Link { connection: self.stream.clone(), stream: None }
    }

    fn upload(&self) -> BodyWriter<N::Stream> {
        BodyWriter { stream: self.stream.clone(), side: Side::Upstream }
    }

    async fn read(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.stream.read(buf, until).await
    }

    async fn readable(&self, until: Tick) -> io::Result<()> {
        loop {
            match self.stream.readable(until).await {
                // Nobody interrupts the wait for a response; an interruption before it is no news.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                waited => return waited,
            }
        }
    }

    async fn read_idle(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.stream.read_idle(buf, until).await
    }

    fn parse(&self, buf: &Buf, caps: &Caps, method: Method, head: &mut ResponseHead) -> Result<Parsed, FaultKind> {
        response::parse(buf.filled(), caps, method, head)
    }

    fn body(&self, length: BodyLength) -> BodyReader<N::Stream> {
        BodyReader::tolerant(self.stream.clone(), length, self.tolerance)
    }

    fn stands(&self, body: &BodyReader<N::Stream>) -> bool {
        body.done() && !body.has_leftover() && !body.deviates()
    }

    fn undelivered(&self) -> usize {
        self.stream.undelivered()
    }

    fn abort(&self) {
        self.stream.abort();
    }

    fn reset_code(&self) -> Option<ErrorCode> {
        None
    }
}

impl<N: Net> Http1Connection<N> {
    /// A connection that was just opened.
    pub(crate) fn opened(
        open: Open,
        stream: Transport<N::Stream>,
        tolerance: Tolerance,
        now: Tick,
    ) -> Http1Connection<N> {
        let stream = Rc::new(stream);
        Http1Connection { open, stream, opened: now, idle_since: now, requests: 0, looked_at: 0, tolerance }
    }

    /// Looks whether the endpoint has neither closed it nor sent anything since the last response.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.looked_at = self.requests;
        self.stream.peek() == Peek::Quiet
    }

    /// Which endpoint it leads to.
    pub(crate) fn index(&self) -> EndpointIndex {
        self.open.index
    }

    /// Is it old, idle for too long, or used up?
    pub(crate) fn is_worn(&self, plan: &UpstreamPlan, now: Tick) -> bool {
        let used_up = plan.requests_per_connection_max != 0 && self.requests >= plan.requests_per_connection_max;
        let too_old = plan.connection_age_max.is_some_and(|age| now.since(self.opened) >= age);
        used_up || too_old || now.since(self.idle_since) >= plan.idle_timeout
    }
}
