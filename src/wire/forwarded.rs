// SPDX-License-Identifier: Apache-2.0
//! Hot. Finds the client behind trusted proxies, and writes the fields that name it to the origin: the `X-Forwarded-`
//! fields, `X-Real-IP`, and `Forwarded` (RFC 7239).
//!
//! These fields count only if a trusted peer sent them. A list is read from its end, because each hop appends to it:
//! the first address that is not trusted is the client. An element that is no address (`unknown`, `_hidden`, garbage)
//! ends the search at the hop before it; empty elements are no elements (RFC 9110 section 5.6.1.2). If the peer is not
//! trusted, none of its forwarding fields is passed on.

mod element;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::base::Scheme;
use crate::base::ascii::{is_name, push_decimal};
use crate::base::limits::FORWARDED_HOPS_MAX;
use crate::wire::field::Known;
use crate::wire::head::Request;
use crate::wire::ip;
use crate::wire::patch::Patch;

/// Where a trusted peer says who the client is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientSource {
    /// Nowhere: the peer is the client.
    None,
    /// `X-Forwarded-For`
    #[default]
    XForwardedFor,
    /// `Forwarded`
    Forwarded,
    /// `X-Real-IP`: one address.
    XRealIp,
    /// Another field with one address, such as `CF-Connecting-IP`.
    Field(Box<[u8]>),
}

/// What happens to one of the fields in outgoing requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Treatment {
    /// Written by us. What a trusted peer sent is kept (`-Proto`, `-Host`, `-Port`) or appended to (lists).
    #[default]
    Write,
    /// Passed on from a trusted peer, removed from others.
    Keep,
    /// Always removed.
    Drop,
}

/// What a listener does about forwarding fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedPlan {
    /// Peers and hops that are believed.
    pub trusted: Box<[IpNet]>,
    /// Peers on Unix sockets are believed.
    pub trusts_unix: bool,
    /// Where they say who the client is.
    pub source: ClientSource,
    /// `X-Forwarded-For`
    pub x_forwarded_for: Treatment,
    /// `X-Forwarded-Proto`
    pub x_forwarded_proto: Treatment,
    /// `X-Forwarded-Host`
    pub x_forwarded_host: Treatment,
    /// `X-Forwarded-Port`
    pub x_forwarded_port: Treatment,
    /// `X-Real-IP`
    pub x_real_ip: Treatment,
    /// `Forwarded`
    pub forwarded: Treatment,
}

impl Default for ForwardedPlan {
    /// Nobody is trusted; the `X-` fields are written, `Forwarded` is not, so that it cannot be forged either.
    fn default() -> ForwardedPlan {
        ForwardedPlan {
            trusted: Box::default(),
            trusts_unix: false,
            source: ClientSource::default(),
            x_forwarded_for: Treatment::Write,
            x_forwarded_proto: Treatment::Write,
            x_forwarded_host: Treatment::Write,
            x_forwarded_port: Treatment::Write,
            x_real_ip: Treatment::Write,
            forwarded: Treatment::Keep,
        }
    }
}

/// The connection that a request came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Its other end (after a PROXY header); `None` for a Unix socket.
    pub peer: Option<IpAddr>,
    /// The scheme it was reached by.
    pub scheme: Scheme,
    /// Our port.
    pub port: u16,
}

/// Who sent a request, as far as it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address; `None` behind a Unix socket that says nothing.
    pub address: Option<IpAddr>,
    /// How the client reached the first trusted hop.
    pub scheme: Scheme,
    /// The peer is trusted.
    pub peer_trusted: bool,
}

impl ForwardedPlan {
    /// Finds the client of a request.
    pub fn client(&self, inbound: &Inbound, request: Request<'_>) -> Client {
        let peer = inbound.peer.map(|address| address.to_canonical());
        let peer_trusted = peer.map_or(self.trusts_unix, |address| self.trusts(address));
        if !peer_trusted {
            return Client { address: peer, scheme: inbound.scheme, peer_trusted };
        }
        let named = match &self.source {
            ClientSource::None => None,
            ClientSource::XForwardedFor => self.walk(addresses(request)),
            ClientSource::Forwarded => self.walk(element::addresses(request).iter()),
            ClientSource::XRealIp => only(request.head.fields.values(request.bytes, Known::XRealIp)),
            ClientSource::Field(name) => only(request.head.fields.named(request.bytes, name)),
        };
        let scheme = received_scheme(request).unwrap_or(inbound.scheme);
        Client { address: named.or(peer), scheme, peer_trusted }
    }

    /// Changes the forwarding fields of an outgoing request, as planned.
    pub fn apply(&self, inbound: &Inbound, client: &Client, request: Request<'_>, patch: &mut Patch) {
        let mut change = Change { request, patch, peer_trusted: client.peer_trusted };
        let peer = inbound.peer.map(|address| address.to_canonical());
        if change.clears(self.x_forwarded_for, Known::XForwardedFor) {
            change.append(Known::XForwardedFor, b"X-Forwarded-For: ", |out| match peer {
                Some(address) => ip::push(out, address),
                None => out.extend_from_slice(b"unknown"),
            });
        }
        if change.sets(self.x_forwarded_proto, Known::XForwardedProto) {
            let scheme = inbound.scheme.name().as_bytes();
            change.set(Known::XForwardedProto, b"X-Forwarded-Proto: ", |out| out.extend_from_slice(scheme));
        }
        // A request of HTTP/1.0 may name no host.
        if change.sets(self.x_forwarded_host, Known::XForwardedHost) && !request.authority().is_empty() {
            let host = request.authority();
            change.set(Known::XForwardedHost, b"X-Forwarded-Host: ", |out| out.extend_from_slice(host));
        }
        if change.sets(self.x_forwarded_port, Known::XForwardedPort) {
            let port = u64::from(inbound.port);
            change.set(Known::XForwardedPort, b"X-Forwarded-Port: ", |out| push_decimal(out, port));
        }
        if change.clears(self.x_real_ip, Known::XRealIp)
            && let Some(address) = client.address
        {
            change.set(Known::XRealIp, b"X-Real-IP: ", |out| ip::push(out, address));
        }
        if change.clears(self.forwarded, Known::Forwarded) {
            let host = request.authority();
            change.append(Known::Forwarded, b"Forwarded: ", |out| element::push(out, peer, inbound.scheme, host));
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// The client in a list that is read from its end: the first address that is not trusted, or else the last one
    /// before the list ends or stops making sense.
    fn walk(&self, hops: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut client = None;
        for hop in hops.take(FORWARDED_HOPS_MAX) {
            let Some(address) = hop else { break };
            client = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        client
    }
}

/// The elements of all `X-Forwarded-For` lines from the last to the first.
fn addresses(request: Request<'_>) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = request.head.fields.list.iter().rev().filter(|field| field.known == Known::XForwardedFor);
    let elements = lines.flat_map(move |field| field.value.of(request.bytes).rsplit(|byte| *byte == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()).map(ip::parse)
}

/// Appends a received list and the comma behind it, without its empty elements.
fn push_elements(out: &mut Vec<u8>, list: &[u8]) {
    // Within quotes (RFC 7239 section 4) a comma is no separator, so such a list stays as it is.
    let quoted = list.contains(&b'"');
    for element in list.split(|byte| *byte == b',' && !quoted).map(<[u8]>::trim_ascii) {
        if !element.is_empty() {
            out.extend_from_slice(element);
            out.extend_from_slice(b", ");
        }
    }
}

/// The address in the only field with this name. `None` where there are two, because one of them may be forged.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<IpAddr> {
    match (values.next(), values.next()) {
        (Some(value), None) => ip::parse(value),
        (None, _) | (Some(_), Some(_)) => None,
    }
}

fn received_scheme(request: Request<'_>) -> Option<Scheme> {
    let value = request.value(Known::XForwardedProto)?;
    if is_name(value, b"https") || is_name(value, b"wss") {
        return Some(Scheme::Https);
    }
    (is_name(value, b"http") || is_name(value, b"ws")).then_some(Scheme::Http)
}

/// One request's fields on their way into a patch.
struct Change<'a, 'p> {
    request: Request<'a>,
    patch: &'p mut Patch,
    peer_trusted: bool,
}

impl Change<'_, '_> {
    /// Removes the received fields unless they are kept. True where we are to write one.
    fn clears(&mut self, treatment: Treatment, known: Known) -> bool {
        if treatment != Treatment::Keep || !self.peer_trusted {
            self.patch.remove_known(&self.request.head.fields, known);
        }
        treatment == Treatment::Write
    }

    /// As `clears`, for a field of which a trusted peer's word stands.
    fn sets(&mut self, treatment: Treatment, known: Known) -> bool {
        let stands = self.peer_trusted && self.request.value(known).is_some();
        let treatment = if treatment == Treatment::Write && stands { Treatment::Keep } else { treatment };
        self.clears(treatment, known)
    }

    fn set<const LEN: usize>(&mut self, known: Known, start: &'static [u8; LEN], write: impl FnOnce(&mut Vec<u8>)) {
        // An arena without room means that the field is left out, never that half of it is written.
        let _ = self.patch.add_known(known, start, write);
    }

    /// Adds one field with what a trusted peer sent and what `write` adds.
    fn append<const LEN: usize>(&mut self, known: Known, start: &'static [u8; LEN], write: impl Fn(&mut Vec<u8>)) {
        let request = self.request;
        let received = self.peer_trusted;
        let added = self.patch.add_known(known, start, |out| {
            if received {
                for value in request.head.fields.values(request.bytes, known) {
                    push_elements(out, value);
                }
            }
            write(out);
        });
        if !added {
            self.set(known, start, write);
        }
    }
}

#[cfg(test)]
mod tests;
