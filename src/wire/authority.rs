// SPDX-License-Identifier: Apache-2.0
//! Hot. Host and port as a `Host` field or an absolute-form target names them (RFC 9110 sections 4.2 and 7.2).
//!
//! Stricter than RFC 3986's `reg-name`: only letters, digits, `-`, `.`, `_` and `~`, or an IPv6 address in brackets. No
//! user information, no percent-encoding, no empty port: text that two parsers could read as two different
//! hosts is refused.

use std::net::Ipv6Addr;

use crate::base::ascii::alphanumeric_and;
use crate::base::limits::AUTHORITY_BYTES_MAX;

const NAME: [bool; 256] = alphanumeric_and(b"-._~");

/// A validated host with an optional port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    /// The host as received; an IPv6 address keeps its brackets.
    pub host: &'a [u8],
    /// The port, `1..=65535`.
    pub port: Option<u16>,
}

impl Authority<'_> {
    /// Do both name the same place, where a missing port means `default_port`?
    pub(crate) fn same(self, other: Authority<'_>, default_port: u16) -> bool {
        self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
            && self.host.eq_ignore_ascii_case(other.host)
    }
}

/// The host of an authority that was parsed before, without its port.
pub(crate) fn host_of(authority: &[u8]) -> &[u8] {
    // Only a port or an address in brackets has a colon, and a port has at most five digits.
    let end = authority.len();
    let port = (end.saturating_sub(6)..end).rev().find(|at| matches!(authority[*at], b':' | b']'));
    &authority[..port.filter(|at| authority[*at] == b':').unwrap_or(end)]
}

/// Reads `host [":" port]`. `None` where it is anything else.
pub(crate) fn parse(text: &[u8]) -> Option<Authority<'_>> {
    if text.len() > AUTHORITY_BYTES_MAX {
        return None;
    }
    let host_len = if text.first() == Some(&b'[') { bracketed(text)? } else { named(text)? };
    let (host, rest) = text.split_at(host_len);
    let port = match rest {
        [] => None,
        [b':', digits @ ..] => Some(port(digits)?),
        _ => return None,
    };
    Some(Authority { host, port })
}

/// Length of a registered name or IPv4 address at the front of `text`.
fn named(text: &[u8]) -> Option<usize> {
    let len = text.iter().position(|byte| !NAME[usize::from(*byte)]).unwrap_or(text.len());
    (len > 0).then_some(len)
}

/// Length of an IPv6 address in brackets at the front of `text`.
#[cold]
fn bracketed(text: &[u8]) -> Option<usize> {
    let close = text.iter().position(|byte| *byte == b']')?;
    let address = std::str::from_utf8(&text[1..close]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(close + 1)
}

/// A port without sign or leading zero, `1..=65535`.
fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || digits[0] == b'0' {
        return None;
    }
    let mut port: u32 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        port = port * 10 + u32::from(digit);
    }
    u16::try_from(port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_authority() {
        for text in ["a.example", "a.example:80", "[::1]", "[::1]:8080", "[2001:db8::1]:65535", "1.2.3.4:5", ""] {
            let parsed = parse(text.as_bytes()).map_or(&b""[..], |authority| authority.host);
            assert_eq!(host_of(text.as_bytes()), parsed, "{text}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        let parts = |text: &'static str| parse(text.as_bytes()).map(|found| (found.host, found.port));
        assert_eq!(parts("example.com"), Some((&b"example.com"[..], None)));
        assert_eq!(parts("Example.com.:8080"), Some((&b"Example.com."[..], Some(8080))));
        assert_eq!(parts("[::1]:443"), Some((&b"[::1]"[..], Some(443))));
        assert_eq!(parts("my_service"), Some((&b"my_service"[..], None)));
        assert_eq!(parts("127.0.0.1:65535"), Some((&b"127.0.0.1"[..], Some(65535))));
    }

    #[test]
    fn everything_else_is_refused() {
        let bad = [
            "",
            ":80",
            "a:",
            "a:0",
            "a:080",
            "a:65536",
            "a:8x",
            "a:+8",
            "a:80:80",
            "user@a",
            "a/b",
            "a?b",
            "a#b",
            "a, b",
            "a,b",
            "a b",
            "a\tb",
            "a%41",
            "[::1",
            "[::1]x",
            "[::1%25lo]",
            "[v1.a]",
            "[]",
            "::1",
            "a\0",
            "é",
            "a\\b",
            "a=b",
            "a;b",
            "[1.2.3.4]",
        ];
        for text in bad {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(&[b'a'; AUTHORITY_BYTES_MAX + 1]), None);
    }

    #[test]
    fn same_place() {
        let authority = |text: &'static str| parse(text.as_bytes()).unwrap();
        assert!(authority("A.example").same(authority("a.EXAMPLE:80"), 80));
        assert!(!authority("a.example").same(authority("a.example:80"), 443));
        assert!(!authority("a.example").same(authority("b.example"), 80));
    }
}
