// SPDX-License-Identifier: Apache-2.0
//! Headers of both versions: forms, refusals, splits and round trips.

use proptest::prelude::*;

use super::*;

fn proxied(source: &str, destination: &str) -> Header {
    Header::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, family][..], &len, rest].concat()
}

#[test]
fn version_1() {
    let cases: [(&str, Header); 4] = [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n", proxied("192.0.2.1:4711", "192.0.2.2:80")),
        ("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", proxied("[2001:db8::1]:65535", "[::1]:0")),
        ("PROXY UNKNOWN\r\n", Header::Unknown),
        ("PROXY UNKNOWN ffff:f...f 1 2 what ever\r\n", Header::Unknown),
    ];
    for (text, expected) in cases {
        let bytes = [text.as_bytes(), b"GET /"].concat();
        assert_eq!(parse(&bytes), Ok(Some((expected, text.len()))), "{text}");
    }
}

#[test]
fn version_1_refused() {
    let bad = [
        "GET / HTTP/1.1\r\n",
        "PROXY\r\n",
        "PROXY TCP4\r\n",
        "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "proxy UNKNOWN\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UNKNOWN\rX\r\n",
        "PROXY TCP4 1.1.1.1 01.2.2.2 1 2\r\n",
    ];
    for text in bad {
        assert_eq!(parse(text.as_bytes()), Err(FaultKind::BadRequest), "{text:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(V1_BYTES_MAX));
    assert_eq!(parse(long.as_bytes()), Err(FaultKind::BadRequest));
}

#[test]
fn version_2() {
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0, 80];
    let bytes = v2(0x21, 0x11, &[&v4[..], &[1, 0, 2, b'h', b'2'], &[4, 0, 0]].concat());
    assert_eq!(parse(&bytes), Ok(Some((proxied("192.0.2.1:4711", "192.0.2.2:80"), bytes.len()))));
    assert_eq!(parse(&v2(0x20, 0x11, &[9; 5])), Ok(Some((Header::Local, 21))));
    assert_eq!(parse(&v2(0x21, 0x00, &[])), Ok(Some((Header::Unknown, 16))));
    assert_eq!(parse(&v2(0x21, 0x31, &[0; 216])), Ok(Some((Header::Unknown, 232))));
}

#[test]
fn version_2_refused() {
    let bad = [
        v2(0x11, 0x11, &[0; 12]),
        v2(0x22, 0x11, &[0; 12]),
        v2(0x21, 0x12, &[0; 12]),
        v2(0x21, 0x41, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x11, &[0; 14]),
        v2(0x21, 0x11, &[&[0; 12][..], &[1, 0, 9, 0]].concat()),
    ];
    for bytes in bad {
        assert_eq!(parse(&bytes), Err(FaultKind::BadRequest), "{bytes:?}");
    }
    assert_eq!(parse(&[V2_SIGNATURE, &[0x99][..]].concat()), Err(FaultKind::BadRequest));
    assert_eq!(parse(b"\r\n\r\n\0\r\nQUIX"), Err(FaultKind::BadRequest));
}

#[test]
fn tlvs_of_any_legal_length_are_passed_over() {
    let addresses = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2];
    // The longest: what the length field can say, less the addresses and the head of the TLV.
    for len in [0, 2_100, usize::from(u16::MAX) - 15] {
        let tlv = [&[0x20][..], &(len as u16).to_be_bytes(), &vec![7; len]].concat();
        let bytes = v2(0x21, 0x11, &[&addresses[..], &tlv].concat());
        assert_eq!(parse(&bytes), Ok(Some((proxied("192.0.2.1:1", "192.0.2.2:2"), bytes.len()))), "{len}");
        assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None), "{len}");
    }
}

#[test]
fn families_are_made_equal() {
    let mixed = proxied("192.0.2.1:1", "[2001:db8::1]:2");
    let mut out = Vec::new();
    write_v2(&mixed, &mut out);
    assert_eq!(parse(&out), Ok(Some((proxied("[::ffff:192.0.2.1]:1", "[2001:db8::1]:2"), 52))));
    out.clear();
    write_v1(&mixed, &mut out);
    assert_eq!(out, b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
}

fn header() -> impl Strategy<Value = Header> {
    let v4 = any::<([u8; 4], u16, [u8; 4], u16)>();
    let v4 = v4.prop_map(|(a, b, c, d)| Header::Proxied { source: (a, b).into(), destination: (c, d).into() });
    let v6 = any::<([u16; 8], u16, [u16; 8], u16)>();
    let v6 = v6.prop_map(|(a, b, c, d)| Header::Proxied { source: (a, b).into(), destination: (c, d).into() });
    prop_oneof![v4, v6, Just(Header::Unknown)]
}

proptest! {
    #[test]
    fn round_trip(header in header()) {
        for write in [write_v1, write_v2] {
            let mut out = Vec::new();
            write(&header, &mut out);
            prop_assert_eq!(parse(&out), Ok(Some((header, out.len()))));
            crate::wire::check::proxy(&out);
        }
    }

    #[test]
    fn garbage(bytes: Vec<u8>, command: u8, family: u8) {
        crate::wire::check::proxy(&bytes);
        crate::wire::check::proxy(&[b"PROXY TCP4 ", &bytes[..]].concat());
        crate::wire::check::proxy(&v2(command, family, &bytes[..bytes.len().min(3_000)]));
    }
}
