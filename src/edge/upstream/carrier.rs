// SPDX-License-Identifier: Apache-2.0
//! Hot. Finds the upstream stream for a request: a keep-alive connection, an HTTP/2 stream, or a new connection.

use std::rc::Rc;

use crate::balance::EndpointIndex;
use crate::base::{Fault, FaultKind, Tick};
use crate::config::plan::{HttpVersions, UpstreamPlan};
use crate::edge::flow::signal::unless;
use crate::edge::flow::thread::Thread;
use crate::edge::upstream::dial::{self, Offer, ProxyPreface, Target};
use crate::edge::upstream::h1::{Http1Connection, Trust};
use crate::edge::upstream::h2::Speaks;
use crate::edge::upstream::h2_stream::Stream;
use crate::edge::upstream::pool::Upstream;
use crate::net::Net;
use crate::net::tls::Transport;

/// What carries one conversation.
pub(crate) enum UpstreamStream<N: Net> {
    /// A connection of HTTP/1.
    Connection(Http1Connection<N>),
    /// A stream of HTTP/2.
    Stream(Stream<N>),
}

/// Where to, and under which conditions.
pub(crate) struct ConnectionRequest<'a, N: Net> {
    /// The thread.
    pub thread: &'a Rc<Thread<N>>,
    /// This shard's side of the upstream.
    pub upstream: &'a Rc<Upstream<N>>,
    /// Its plan.
    pub plan: &'a UpstreamPlan,
    /// The endpoint.
    pub index: EndpointIndex,
    /// Which kept connections are taken without a look.
    pub trust: Trust,
    /// What it must be able to carry.
    pub purpose: Purpose,
}

/// What is to be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A request and its answer.
    Exchange,
    /// An upgrade, for which a stream of HTTP/2 needs an endpoint that takes an extended CONNECT (RFC 8441).
    Upgrade,
}

impl<N: Net> ConnectionRequest<'_, N> {
    /// What is there already.
    pub(crate) fn kept(&self, now: Tick) -> Option<UpstreamStream<N>> {
        let ConnectionRequest { upstream, plan, index, trust, .. } = *self;
        if plan.http != HttpVersions::Http1
            && let Some(stream) = upstream.sessions.find(index).map(Stream::on)
            && !self.declines(&stream)
        {
            return Some(UpstreamStream::Stream(stream));
        }
        if plan.http == HttpVersions::Http2 {
            return None;
        }
        upstream.take_idle(index, plan, trust, now).map(UpstreamStream::Connection)
    }

    /// A new connection, or a stream on one that others are opening at this moment.
    pub(crate) async fn open(&self, speaker: ProxyPreface, deadline: Tick) -> Result<UpstreamStream<N>, Fault> {
        let ConnectionRequest { thread, upstream, plan, index, .. } = *self;
        let declined = || upstream.sessions.find(index).map(Stream::on).is_some_and(|stream| self.declines(&stream));
        if plan.http == HttpVersions::Http1 || declined() {
            return self.open_http1(speaker, deadline).await;
        }
        let until = thread.net.now().after(plan.connect).min(deadline);
        while let Some(opened) = upstream.sessions.awaited(index) {
            // Whoever waits longer than connecting may take gets what the one who connects gets.
            if unless(&opened, thread.net.sleep_until(until)).await.is_some() {
                return Err(Fault::unsent(FaultKind::ConnectTimeout));
            }
            if let Some(connection) = upstream.sessions.find(index) {
                return Ok(UpstreamStream::Stream(Stream::on(connection)));
            }
        }
        let opening = upstream.sessions.open(index);
        upstream.make_room(index);
        let (transport, open) = dial::dial(thread, self.target(), speaker, deadline).await?;
        let speaks = speaks(plan, &transport);
        upstream.sessions.note(speaks);
        let carrier = match speaks {
            Speaks::Http2 => {
                let connection = upstream.sessions.opened(thread, plan, transport, open);
                UpstreamStream::Stream(Stream::on(connection))
            }
            Speaks::Http1 => {
                open.learn(1);
                let (tolerance, now) = (plan.response.tolerance, thread.net.now());
                UpstreamStream::Connection(Http1Connection::opened(open, transport, tolerance, now))
            }
        };
        drop(opening);
        Ok(carrier)
    }

    /// `carrier`, where it can carry what it is for. Where the endpoint's settings do not allow an upgrade on a stream,
    /// a connection of HTTP/1.1, if the upstream may be spoken to in it.
    pub(crate) async fn fit(
        &self,
        carrier: UpstreamStream<N>,
        speaker: ProxyPreface,
        deadline: Tick,
    ) -> Result<UpstreamStream<N>, Fault> {
        let UpstreamStream::Stream(stream) = &carrier else { return Ok(carrier) };
        if self.purpose == Purpose::Exchange {
            return Ok(carrier);
        }
        let now = self.thread.net.now();
        match stream.settled(now.after(self.plan.connect).min(deadline)).await? {
            true => Ok(carrier),
            false if self.plan.http == HttpVersions::Both => {
                match self.upstream.take_idle(self.index, self.plan, self.trust, now) {
                    Some(kept) => Ok(UpstreamStream::Connection(kept)),
                    None => self.open_http1(speaker, deadline).await,
                }
            }
            false => Err(Fault::last(FaultKind::NotImplemented)),
        }
    }

    /// A new HTTP/1.1 connection, whatever else the endpoint supports.
    async fn open_http1(&self, speaker: ProxyPreface, deadline: Tick) -> Result<UpstreamStream<N>, Fault> {
        let speaker = ProxyPreface { offer: Offer::Http1, ..speaker };
        self.upstream.make_room(self.index);
        let (transport, open) = dial::dial(self.thread, self.target(), speaker, deadline).await?;
        Ok(UpstreamStream::Connection(Http1Connection::opened(
            open,
            transport,
            self.plan.response.tolerance,
            self.thread.net.now(),
        )))
    }

    fn target(&self) -> Target<'_> {
        let ConnectionRequest { upstream, plan, index, .. } = *self;
        Target { load: &upstream.load, plan, tls: upstream.tls(plan), index }
    }

    /// Is this stream known to be unusable for the upgrade, while HTTP/1.1 may work?
    fn declines(&self, stream: &Stream<N>) -> bool {
        self.purpose == Purpose::Upgrade
            && self.plan.http == HttpVersions::Both
            && stream.takes_upgrades() == Some(false)
    }
}

/// Over TLS the endpoint chose (RFC 9113 section 3.2), without it the configuration knows (section 3.3).
fn speaks<S: crate::net::Stream>(plan: &UpstreamPlan, transport: &Transport<S>) -> Speaks {
    let chosen = transport.session().map(|session| session.alpn.as_deref() == Some(b"h2"));
    match (chosen, plan.http) {
        (Some(true), _) | (None, HttpVersions::Http2) => Speaks::Http2,
        (Some(false), _) | (None, HttpVersions::Http1 | HttpVersions::Both) => Speaks::Http1,
    }
}
