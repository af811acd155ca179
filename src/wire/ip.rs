// SPDX-License-Identifier: Apache-2.0
//! Hot. IP addresses as header fields write them.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::ascii::decimal;

/// Reads an address with or without port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:80`. An IPv4 address in IPv6 form comes out as IPv4. `None` for anything else, `unknown` and
/// `_hidden` included.
pub(crate) fn parse(text: &[u8]) -> Option<IpAddr> {
    if let Some(inside) = text.strip_prefix(b"[") {
        let close = inside.iter().position(|byte| *byte == b']')?;
        let address: Ipv6Addr = std::str::from_utf8(&inside[..close]).ok()?.parse().ok()?;
        return is_port(&inside[close + 1..]).then_some(IpAddr::V6(address).to_canonical());
    }
    let mut colons = text.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    let (first, second) = (colons.next(), colons.next());
    let address = match (first, second) {
        (Some(colon), None) if is_port(&text[colon..]) => &text[..colon],
        (Some(_), None) => return None,
        (None, _) | (Some(_), Some(_)) => text,
    };
    let address: IpAddr = std::str::from_utf8(address).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// Nothing, or `:` and a port. RFC 7239 also allows an obfuscated port.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', b'_', name @ ..] => {
            !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
        }
        [b':', digits @ ..] => digits.len() <= 5 && decimal(digits).is_some_and(|port| port <= u64::from(u16::MAX)),
        _ => false,
    }
}

/// Appends `address` in its usual form, IPv6 without brackets.
pub(crate) fn push(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => push_v4(out, address),
        // The standard library knows RFC 5952; writing to a `Vec` does not fail, and IPv6 is the rarer case.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

fn push_v4(out: &mut Vec<u8>, address: Ipv4Addr) {
    // Four octets with their dots, put together before the vector is touched: this runs several times a request.
    let mut text = [0; 16];
    let mut at = 0;
    for octet in address.octets() {
        let (digits, len) = OCTETS[usize::from(octet)];
        text[at..at + 4].copy_from_slice(&digits);
        at += usize::from(len);
    }
    // A copy of fixed length, cut off behind the last digit.
    let end = out.len() + at - 1;
    out.extend_from_slice(&text);
    out.truncate(end);
}

/// The decimal digits of every octet with a dot behind them, and how many bytes that is.
const OCTETS: [([u8; 4], u8); 256] = octets();

const fn octets() -> [([u8; 4], u8); 256] {
    let mut table = [([0; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let (hundreds, tens, ones) = ((octet / 100) as u8, (octet / 10 % 10) as u8, (octet % 10) as u8);
        table[octet] = match octet {
            0..10 => ([b'0' + ones, b'.', 0, 0], 2),
            10..100 => ([b'0' + tens, b'0' + ones, b'.', 0], 3),
            _ => ([b'0' + hundreds, b'0' + tens, b'0' + ones, b'.'], 4),
        };
        octet += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms() {
        let address = |text: &str| parse(text.as_bytes()).map(|address| address.to_string());
        assert_eq!(address("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(address("192.0.2.1:8080").as_deref(), Some("192.0.2.1"));
        assert_eq!(address("192.0.2.1:_p.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(address("2001:DB8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(address("[2001:db8::1]:_x").as_deref(), Some("2001:db8::1"));
        assert_eq!(address("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
        for text in [
            "",
            "unknown",
            "_hidden",
            "1.2.3",
            "1.2.3.4:",
            "1.2.3.4:70000",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "::1%1",
            "01.2.3.4",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(octets: [u8; 4], segments: [u16; 8]) {
            for address in [IpAddr::from(octets), IpAddr::from(segments).to_canonical()] {
                let mut out = Vec::new();
                push(&mut out, address);
                prop_assert_eq!(&out, &address.to_string().into_bytes());
                prop_assert_eq!(parse(&out), Some(address));
            }
        }

        #[test]
        fn garbage(text: Vec<u8>) {
            let _ = parse(&text);
        }
    }
}
