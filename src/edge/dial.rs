//! Opens connections to endpoints: TCP or Unix, PROXY header, TLS, all under one deadline.

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::balance::{Endpoint, EndpointIndex};
use crate::base::{Address, Buf, BufPool, Fault, FaultKind, Tick};
use crate::config::plan::{UpstreamPlan, UpstreamTlsPlan};
use crate::edge::upstream::{Origin, Upstream};
use crate::net::{Net, Stream, Tls, Transport};
use crate::wire::proxy;

/// Who the PROXY header says is speaking: the client's address and the one it came to.
#[derive(Clone, Copy, Debug)]
pub struct Speaker<'a> {
    /// The client.
    pub client: &'a Address,
    /// Our listener.
    pub local: &'a Address,
}

/// Opens a connection to the endpoint `index`. Every fault of it means that the request was not sent.
pub async fn dial<N: Net>(
    net: &N,
    pool: &BufPool,
    upstream: &Rc<Upstream<N>>,
    plan: &UpstreamPlan,
    index: EndpointIndex,
    speaker: Speaker<'_>,
) -> Result<Origin<N>, Fault> {
    let endpoint = upstream.cluster.borrow().endpoint(index).cloned();
    let Some(endpoint) = endpoint else { return Err(Fault::unsent(FaultKind::NoEndpoint)) };
    upstream.connection_opening(index)?;
    let opening = Opening { upstream, index, armed: true };
    let until = net.now().after(plan.connect);
    let stream = connect(net, pool, plan, &endpoint, speaker, until).await?;
    opening.done();
    Ok(upstream.opened(index, stream, net.now()))
}

/// Takes the count back where opening fails.
struct Opening<'a, N: Net> {
    upstream: &'a Rc<Upstream<N>>,
    index: EndpointIndex,
    armed: bool,
}

impl<N: Net> Opening<'_, N> {
    fn done(mut self) {
        self.armed = false;
    }
}

impl<N: Net> Drop for Opening<'_, N> {
    fn drop(&mut self) {
        if self.armed {
            self.upstream.connection_closed(self.index);
        }
    }
}

async fn connect<N: Net>(
    net: &N,
    pool: &BufPool,
    plan: &UpstreamPlan,
    endpoint: &Endpoint,
    speaker: Speaker<'_>,
    until: Tick,
) -> Result<Transport<N::Stream>, Fault> {
    let stream = net.connect(&endpoint.address, until).await.map_err(|error| connect_fault(error.kind()))?;
    if let Some(version) = plan.proxy_protocol {
        let mut header = Vec::with_capacity(proxy::HEADER_MAX);
        proxy::write(version, speaker.client, speaker.local, &mut header);
        let (written, _) = stream.write(Buf::copied(&header), until).await;
        written.map_err(|error| connect_fault(error.kind()))?;
    }
    let Some(tls) = &plan.tls else { return Ok(Transport::Plain(stream)) };
    let name = server_name(tls, endpoint)?;
    let secured = Tls::connect(stream, Arc::clone(&tls.config), name, pool.clone(), until).await;
    secured.map(|tls| Transport::Tls(Box::new(tls))).map_err(|error| match error.kind() {
        ErrorKind::TimedOut => Fault::unsent(FaultKind::ConnectTimeout),
        _ => Fault::unsent(FaultKind::UpstreamTls),
    })
}

fn connect_fault(error: ErrorKind) -> Fault {
    Fault::unsent(if error == ErrorKind::TimedOut { FaultKind::ConnectTimeout } else { FaultKind::ConnectFailed })
}

/// The configured name, or the endpoint's without its port.
fn server_name(tls: &UpstreamTlsPlan, endpoint: &Endpoint) -> Result<ServerName<'static>, Fault> {
    if let Some(name) = &tls.server_name {
        return Ok(name.clone());
    }
    let host = endpoint.name.rsplit_once(':').map_or(&*endpoint.name, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| Fault::unsent(FaultKind::UpstreamTls))
}
