// SPDX-License-Identifier: Apache-2.0
//! The PROXY protocol, versions 1 and 2: a load balancer names the client of a connection that it passes on.
//!
//! The header is read once at the start of a connection from peers that are configured to send it, and these must send
//! it. If it were optional, any client could claim any address. A malformed header ends the connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::FaultKind;
use crate::base::ascii::{decimal, push_decimal};
use crate::wire::ip;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// The load balancer speaks for itself (a health check): the connection's own addresses hold.
    Local,
    /// The connection is proxied, but its addresses cannot be told (`UNKNOWN`, `UNSPEC`, a Unix socket).
    Unknown,
    /// The connection is proxied between these.
    Proxied {
        /// Where the client is.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
}

/// Longest version 1 line, with its CRLF.
const V1_BYTES_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;

/// Reads a header from the front of `bytes`: what it says and how long it is. `None` where it is not complete.
///
/// Errors with `BadRequest` for anything else.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, FaultKind> {
    let v1 = common(bytes, V1_START);
    let v2 = common(bytes, V2_SIGNATURE);
    if v1 == V1_START.len() {
        return parse_v1(bytes);
    }
    if v2 == V2_SIGNATURE.len() {
        return parse_v2(bytes);
    }
    if v1 == bytes.len() || v2 == bytes.len() { Ok(None) } else { Err(FaultKind::BadRequest) }
}

/// How many bytes at their front are the same.
fn common(bytes: &[u8], expected: &[u8]) -> usize {
    bytes.iter().zip(expected).take_while(|(byte, expected)| byte == expected).count()
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 4711 80` and CRLF.
fn parse_v1(bytes: &[u8]) -> Result<Option<(Header, usize)>, FaultKind> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(line_feed) = window.iter().position(|byte| *byte == b'\n') else {
        // A CR is the last byte but one, so that with one inside the line something else than LF follows it.
        let broken = window.len() == V1_BYTES_MAX || window[..window.len() - 1].contains(&b'\r');
        return if broken { Err(FaultKind::BadRequest) } else { Ok(None) };
    };
    let line = window[..line_feed].strip_suffix(b"\r").ok_or(FaultKind::BadRequest)?;
    if line.contains(&b'\r') {
        return Err(FaultKind::BadRequest);
    }
    let header = v1_header(&line[V1_START.len()..]).ok_or(FaultKind::BadRequest)?;
    Ok(Some((header, line_feed + 1)))
}

fn v1_header(text: &[u8]) -> Option<Header> {
    let mut words = text.split(|byte| *byte == b' ');
    let family = words.next()?;
    if family == b"UNKNOWN" {
        return Some(Header::Unknown);
    }
    let mut address = || -> Option<IpAddr> {
        let word = std::str::from_utf8(words.next()?).ok()?;
        match family {
            b"TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            b"TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, destination) = (address()?, address()?);
    let source = SocketAddr::new(source, v1_port(words.next()?)?);
    let destination = SocketAddr::new(destination, v1_port(words.next()?)?);
    words.next().is_none().then_some(Header::Proxied { source, destination })
}

fn v1_port(word: &[u8]) -> Option<u16> {
    if word.len() > 1 && word[0] == b'0' {
        return None;
    }
    u16::try_from(decimal(word)?).ok()
}

fn parse_v2(bytes: &[u8]) -> Result<Option<(Header, usize)>, FaultKind> {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED>() else {
        let version_wrong = bytes.get(12).is_some_and(|byte| !matches!(byte, 0x20 | 0x21));
        return if version_wrong { Err(FaultKind::BadRequest) } else { Ok(None) };
    };
    let [.., command, family, high, low] = *fixed;
    let len = usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) {
        return Err(FaultKind::BadRequest);
    }
    let Some(rest) = bytes.get(V2_FIXED..V2_FIXED + len) else { return Ok(None) };
    let (header, extra) = v2_header(command, family, rest).ok_or(FaultKind::BadRequest)?;
    if !are_tlvs(extra) {
        return Err(FaultKind::BadRequest);
    }
    Ok(Some((header, V2_FIXED + len)))
}

/// What the part behind the fixed one says, and what follows the addresses.
fn v2_header(command: u8, family: u8, rest: &[u8]) -> Option<(Header, &[u8])> {
    if command == 0x20 {
        // The addresses of LOCAL are to be ignored, whatever they are.
        return Some((Header::Local, &[]));
    }
    match family {
        0x00 => Some((Header::Unknown, &[])),
        0x11 => {
            let (addresses, extra) = rest.split_first_chunk::<12>()?;
            let [s0, s1, s2, s3, d0, d1, d2, d3, sp0, sp1, dp0, dp1] = *addresses;
            let source = SocketAddr::from(([s0, s1, s2, s3], u16::from_be_bytes([sp0, sp1])));
            let destination = SocketAddr::from(([d0, d1, d2, d3], u16::from_be_bytes([dp0, dp1])));
            Some((Header::Proxied { source, destination }, extra))
        }
        0x21 => {
            let (source, rest) = rest.split_first_chunk::<16>()?;
            let (destination, rest) = rest.split_first_chunk::<16>()?;
            let (ports, extra) = rest.split_first_chunk::<4>()?;
            let [sp0, sp1, dp0, dp1] = *ports;
            let source = SocketAddr::from((*source, u16::from_be_bytes([sp0, sp1])));
            let destination = SocketAddr::from((*destination, u16::from_be_bytes([dp0, dp1])));
            Some((Header::Proxied { source, destination }, extra))
        }
        // Datagrams have no place here; a Unix socket has two paths of 108 bytes, and no address.
        0x31 => Some((Header::Unknown, rest.get(216..)?)),
        _ => None,
    }
}

/// A run of type, length and value. None is looked at.
fn are_tlvs(mut rest: &[u8]) -> bool {
    while let Some(([_, high, low], behind)) = rest.split_first_chunk::<3>() {
        let Some(next) = behind.get(usize::from(u16::from_be_bytes([*high, *low]))..) else { return false };
        rest = next;
    }
    rest.is_empty()
}

/// Appends a version 1 line. Addresses of two families become IPv6.
pub(crate) fn write_v1(header: &Header, out: &mut Vec<u8>) {
    let Some((source, destination)) = same_family(header) else {
        return out.extend_from_slice(b"PROXY UNKNOWN\r\n");
    };
    out.extend_from_slice(if source.is_ipv4() { b"PROXY TCP4 " } else { b"PROXY TCP6 " });
    ip::push(out, source.ip());
    out.push(b' ');
    ip::push(out, destination.ip());
    out.push(b' ');
    push_decimal(out, u64::from(source.port()));
    out.push(b' ');
    push_decimal(out, u64::from(destination.port()));
    out.extend_from_slice(b"\r\n");
}

/// Appends a version 2 header. Addresses of two families become IPv6.
pub(crate) fn write_v2(header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(V2_SIGNATURE);
    let Some((source, destination)) = same_family(header) else {
        let command = if *header == Header::Local { 0x20 } else { 0x21 };
        return out.extend_from_slice(&[command, 0x00, 0, 0]);
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
        }
        (source, destination) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&mapped(source).octets());
            out.extend_from_slice(&mapped(destination).octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

/// The addresses of a header, both IPv4 or both IPv6.
fn same_family(header: &Header) -> Option<(SocketAddr, SocketAddr)> {
    match *header {
        Header::Local | Header::Unknown => None,
        Header::Proxied { source, destination } if source.is_ipv4() == destination.is_ipv4() => {
            Some((source, destination))
        }
        Header::Proxied { source, destination } => {
            let widen = |address: SocketAddr| SocketAddr::new(IpAddr::V6(mapped(address.ip())), address.port());
            Some((widen(source), widen(destination)))
        }
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests;
