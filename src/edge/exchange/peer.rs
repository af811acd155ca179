// SPDX-License-Identifier: Apache-2.0
//! Who is at the other end of a client's connection.

use std::net::IpAddr;

use crate::base::{Address, Scheme};
use crate::edge::upstream::dial::{Offer, ProxyPreface};
use crate::net::tls::Session;
use crate::wire;
use crate::wire::forwarded::Inbound;

/// Who is at the other end, as far as the connection itself tells.
pub(crate) struct Peer {
    /// The client's or the last proxy's address; loopback for Unix sockets.
    pub ip: IpAddr,
    /// The same as text.
    pub text: Box<[u8]>,
    /// Its port; zero for Unix sockets.
    pub port: u16,
    /// The port it came to.
    pub local_port: u16,
    /// The address it came to; `None` for Unix sockets.
    pub local_ip: Option<IpAddr>,
    /// The same for forwarding fields.
    pub inbound: Inbound,
    /// What TLS told, if there is TLS.
    pub tls: Option<Box<Session>>,
}

impl Peer {
    /// A peer without TLS.
    pub(crate) fn of(address: &Address, local: &Address) -> Peer {
        let (ip, port) = match address {
            Address::Inet(inet) => (inet.ip().to_canonical(), inet.port()),
            Address::Unix(_) => (IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0),
        };
        let (local_ip, local_port) = match local {
            Address::Inet(inet) => (Some(inet.ip().to_canonical()), inet.port()),
            Address::Unix(_) => (None, 0),
        };
        let mut text = Vec::with_capacity(40);
        wire::ip::push(&mut text, ip);
        let known = matches!(address, Address::Inet(_)).then_some(ip);
        let inbound = Inbound { peer: known, scheme: Scheme::Http, port: local_port };
        Peer { ip, text: text.into(), port, local_port, local_ip, inbound, tls: None }
    }

    /// Who an upstream is told is speaking.
    pub(crate) fn speaker(&self) -> ProxyPreface {
        let ends = self.inbound.peer.zip(self.local_ip);
        let ends = ends.map(|(ip, local)| ((ip, self.port).into(), (local, self.local_port).into()));
        ProxyPreface { ends, offer: Offer::Configured }
    }
}
