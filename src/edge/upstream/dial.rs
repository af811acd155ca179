// SPDX-License-Identifier: Apache-2.0
//! Opens connections to endpoints: TCP or Unix, PROXY header, TLS, all under one deadline.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::balance::{Endpoint, EndpointIndex};
use crate::base::{Address, Buf, Cause, Fault, FaultKind, Tick};
use crate::config::plan::{ProxyVersion, UpstreamPlan, UpstreamTlsPlan};
use crate::edge::flow::thread::Thread;
use crate::edge::upstream::load::{Load, Open};
use crate::net::tls::{self, Transport};
use crate::net::{Net, Stream, lacks_descriptors};
use crate::wire::proxy::{self, Header};

/// What an endpoint hears before the first request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyPreface {
    /// The client and our listener, for the PROXY header; `None` where one of them is a Unix socket.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// What is offered by ALPN.
    pub offer: Offer,
}

/// Which versions of HTTP an endpoint may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Those of the configuration.
    Configured,
    /// HTTP/1.1 alone.
    Http1,
}

impl ProxyPreface {
    fn header(self) -> Header {
        match self.ends {
            Some((source, destination)) => Header::Proxied { source, destination },
            None => Header::Unknown,
        }
    }
}

/// An endpoint, and how connections to it are opened.
pub(crate) struct Target<'a> {
    /// The load of its upstream.
    pub load: &'a Rc<Load>,
    /// The upstream's plan.
    pub plan: &'a UpstreamPlan,
    /// What TLS handshakes use, where there is TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Which endpoint.
    pub index: EndpointIndex,
}

/// Opens a connection, which counts as open until the guard is dropped. Every fault of it means that the request was
/// not sent.
pub(crate) async fn dial<N: Net>(
    thread: &Thread<N>,
    target: Target<'_>,
    speaker: ProxyPreface,
    deadline: Tick,
) -> Result<(Transport<N::Stream>, Open), Fault> {
    let endpoint = target.load.cluster.borrow().endpoint(target.index).cloned();
    let Some(endpoint) = endpoint else { return Err(Fault::unsent(FaultKind::NoEndpoint)) };
    let open = target.load.open(target.index)?;
    let until = thread.net.now().after(target.plan.connect).min(deadline);
    let stream = connect(thread, target, &endpoint, speaker, until).await?;
    Ok((stream, open))
}

async fn connect<N: Net>(
    thread: &Thread<N>,
    Target { plan, tls, .. }: Target<'_>,
    endpoint: &Endpoint,
    speaker: ProxyPreface,
    until: Tick,
) -> Result<Transport<N::Stream>, Fault> {
    let stream = open_stream(thread, &endpoint.address, until).await.map_err(|error| connect_fault(&error))?;
    if let Some(version) = plan.proxy_protocol {
        let mut header = Vec::new();
        match version {
            ProxyVersion::V1 => proxy::write_v1(&speaker.header(), &mut header),
            ProxyVersion::V2 => proxy::write_v2(&speaker.header(), &mut header),
        }
        let (written, _) = stream.write(Buf::copied(&header), until).await;
        written.map_err(|error| connect_fault(&error))?;
    }
    let (Some(plan_tls), Some(config)) = (&plan.tls, tls) else { return Ok(Transport::Plain(stream)) };
    let name = server_name(plan_tls, endpoint)?;
    let config = match speaker.offer {
        Offer::Configured => config,
        Offer::Http1 => {
            let mut http1 = ClientConfig::clone(&config);
            http1.alpn_protocols.retain(|protocol| protocol == b"http/1.1");
            Arc::new(http1)
        }
    };
    let secured = tls::connect(stream, config, name, thread.pool.clone(), until).await;
    secured.map(|tls| Transport::Tls(Box::new(tls))).map_err(|failure| {
        let kind =
            if failure.kind() == ErrorKind::TimedOut { FaultKind::ConnectTimeout } else { FaultKind::UpstreamTls };
        Fault::unsent(kind).because(failure.cause())
    })
}

/// Opens the connection itself. Where no descriptor is free, it waits a little for one.
async fn open_stream<N: Net>(thread: &Thread<N>, to: &Address, until: Tick) -> io::Result<N::Stream> {
    let mut give_up = Tick::NEVER;
    loop {
        match thread.net.connect(to, until).await {
            Err(error) if lacks_descriptors(&error) => {
                thread.descriptors.lack();
                let now = thread.net.now();
                give_up = give_up.min(now.after_ms(DESCRIPTOR_WAIT_MS).min(until));
                let again = now.after_ms(DESCRIPTOR_RETRY_MS);
                if again >= give_up {
                    return Err(error);
                }
                thread.net.sleep_until(again).await;
            }
            opened => return opened,
        }
    }
}

/// Longest wait for a free descriptor, and the time between two attempts to get one.
const DESCRIPTOR_WAIT_MS: u64 = 1_000;
const DESCRIPTOR_RETRY_MS: u64 = 5;

fn connect_fault(error: &io::Error) -> Fault {
    if lacks_descriptors(error) {
        // This process is at its limit, and no endpoint is to blame or could do better.
        return Fault::last(FaultKind::Overloaded).because(Cause::Descriptors);
    }
    let cause = match error.kind() {
        ErrorKind::TimedOut => return Fault::unsent(FaultKind::ConnectTimeout),
        ErrorKind::ConnectionRefused => Cause::Refused,
        ErrorKind::NotFound => Cause::NoSocket,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => Cause::Unreachable,
        ErrorKind::PermissionDenied => Cause::NotPermitted,
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => Cause::Ports,
        _ => Cause::ConnectFailed,
    };
    Fault::unsent(FaultKind::ConnectFailed).because(cause)
}

/// The configured name, or the endpoint's without its port.
fn server_name(tls: &UpstreamTlsPlan, endpoint: &Endpoint) -> Result<ServerName<'static>, Fault> {
    if let Some(name) = &tls.server_name {
        return Ok(name.clone());
    }
    let host = endpoint.name.rsplit_once(':').map_or(&*endpoint.name, |(host, _)| host);
    tls::server_name(host).map_err(|_| Fault::unsent(FaultKind::UpstreamTls).because(Cause::CertificateName))
}
