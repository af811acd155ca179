// SPDX-License-Identifier: Apache-2.0
//! Hot. The `Forwarded` field (RFC 7239 section 4): `for=192.0.2.60;proto=http, for="[2001:db8::1]:80"`.

use std::net::IpAddr;

use crate::base::Scheme;
use crate::base::ascii::{is_name, is_token};
use crate::base::limits::FORWARDED_HOPS_MAX;
use crate::wire::field::Known;
use crate::wire::head::Request;
use crate::wire::ip;

/// The last hops of a list, with room for as many as are looked at.
pub(super) struct Hops {
    ring: [Option<IpAddr>; FORWARDED_HOPS_MAX],
    count: usize,
}

impl Hops {
    fn push(&mut self, hop: Option<IpAddr>) {
        self.ring[self.count % FORWARDED_HOPS_MAX] = hop;
        self.count += 1;
    }

    /// From the last to the first; `None` stands for what is no address.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<IpAddr>> {
        let kept = self.count.min(FORWARDED_HOPS_MAX);
        (1..=kept).map(|back| self.ring[(self.count - back) % FORWARDED_HOPS_MAX])
    }
}

/// The `for` parameters of all `Forwarded` lines. A line that does not follow the grammar counts as one hop without an
/// address, so that nothing before it is believed.
pub(super) fn addresses(request: Request<'_>) -> Hops {
    let mut hops = Hops { ring: [None; FORWARDED_HOPS_MAX], count: 0 };
    for value in request.head.fields.values(request.bytes, Known::Forwarded) {
        if read(value, &mut hops).is_none() {
            hops.push(None);
        }
    }
    hops
}

/// Reads one line. `None` where it does not follow the grammar.
fn read(value: &[u8], hops: &mut Hops) -> Option<()> {
    let mut rest = value;
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [] => return Some(()),
            // An empty element.
            [b',', behind @ ..] => {
                rest = behind;
                continue;
            }
            _ => {}
        }
        let mut address = None;
        loop {
            let pair = pair(rest.trim_ascii_start())?;
            if is_name(pair.name, b"for") {
                address = ip::parse(pair.value);
            }
            rest = pair.rest;
            match rest {
                [b';', behind @ ..] => rest = behind,
                _ => break,
            }
        }
        hops.push(address);
        match rest {
            [] => return Some(()),
            [b',', behind @ ..] => rest = behind,
            _ => return None,
        }
    }
}

struct Pair<'a> {
    name: &'a [u8],
    /// Without quotes; a value with a quoted pair is left as it is, and then is no address.
    value: &'a [u8],
    /// Empty, or starts with `;` or `,`.
    rest: &'a [u8],
}

/// `token "=" ( token / quoted-string )`. A bare `[` and `:` in a value are let pass, because many senders forget the
/// quotes around IPv6 addresses and ports.
fn pair(text: &[u8]) -> Option<Pair<'_>> {
    let mark = text.iter().position(|byte| *byte == b'=')?;
    let (name, behind) = (&text[..mark], &text[mark + 1..]);
    if !is_token(name) {
        return None;
    }
    let (value, rest) = if let Some(quoted) = behind.strip_prefix(b"\"") {
        let end = quoted_end(quoted)?;
        (&quoted[..end], &quoted[end + 1..])
    } else {
        let end = behind.iter().position(|byte| matches!(byte, b';' | b',')).unwrap_or(behind.len());
        let value = behind[..end].trim_ascii_end();
        if value.is_empty() || value.iter().any(|byte| matches!(byte, b'"' | b' ' | b'\t')) {
            return None;
        }
        (value, &behind[end..])
    };
    Some(Pair { name, value, rest: rest.trim_ascii_start() })
}

/// Where the closing quote is.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Appends one element.
pub(super) fn push(out: &mut Vec<u8>, peer: Option<IpAddr>, scheme: Scheme, host: &[u8]) {
    out.extend_from_slice(b"for=");
    match peer {
        None => out.extend_from_slice(b"unknown"),
        Some(address @ IpAddr::V4(_)) => ip::push(out, address),
        Some(address @ IpAddr::V6(_)) => {
            out.extend_from_slice(b"\"[");
            ip::push(out, address);
            out.extend_from_slice(b"]\"");
        }
    }
    if !host.is_empty() {
        // A validated authority has neither quotes nor backslashes.
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.push(b'"');
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(scheme.name().as_bytes());
}
