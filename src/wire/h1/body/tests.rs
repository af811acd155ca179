// SPDX-License-Identifier: Apache-2.0
//! Bodies of every length, chunks good and bad, and properties over any bytes.

use proptest::prelude::*;

use super::*;
use crate::base::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_EXTENSIONS_BYTES_MAX, TRAILER_BYTES_MAX};
use crate::wire::check;

fn decode(text: &str) -> Result<(String, String, bool), FaultKind> {
    check::chunked(text.as_bytes());
    let mut bytes = text.as_bytes().to_vec();
    let mut trailers = Vec::new();
    let found = Body::request(BodyLength::Chunked).decode(&mut bytes, &mut trailers)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ok((text(&bytes[found.start..][..found.kept]), text(&trailers), found.done))
}

#[test]
fn bodies_without_coding() {
    let read = |body: &mut Body, bytes: &[u8]| body.decode(&mut bytes.to_vec(), &mut Vec::new());
    let of = |kept, done| Ok(Decoded { start: 0, kept, consumed: kept, done });
    let mut none = Body::request(BodyLength::None);
    assert_eq!(read(&mut none, b"next"), of(0, true));
    let mut exact = Body::request(BodyLength::Exact(5));
    assert_eq!(read(&mut exact, b"abc"), of(3, false));
    assert_eq!(exact.finish(), Err(FaultKind::ClientClosed));
    assert_eq!(read(&mut exact, b"abc"), of(2, true));
    assert_eq!(exact.finish(), Ok(()));
    let mut open = Body::response(BodyLength::UntilClose);
    assert_eq!(read(&mut open, b"abc"), of(3, false));
    assert_eq!(open.finish(), Ok(()));
}

#[test]
fn chunks() {
    let ok = |data: &str, trailers: &str| Ok((data.to_owned(), trailers.to_owned(), true));
    assert_eq!(decode("0\r\n\r\n"), ok("", ""));
    assert_eq!(decode("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nnext"), ok("hello world", ""));
    assert_eq!(decode("00000000000000A\r\n0123456789\r\n000\r\n\r\n"), ok("0123456789", ""));
    assert_eq!(decode("5;a;b=c;d=\"x;\\\"y\\\\\"\r\nhello\r\n0;e\r\n\r\n"), ok("hello", ""));
    assert_eq!(decode("1\r\na\r\n0\r\nX-Sum: 1\r\nEtag:\r\n\r\n"), ok("a", "X-Sum: 1\r\nEtag:\r\n"));
    assert_eq!(decode("5\r\nhel"), Ok(("hel".to_owned(), String::new(), false)));
    assert_eq!(decode("1\r\na\r\n0\r\nX: 1\r\n\r"), Ok(("a".to_owned(), "X: 1\r\n".to_owned(), false)));
}

#[test]
fn chunks_refused() {
    let bad = [
        "\r\n",
        "g\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        "1_0\r\n",
        "5\nhello\r\n",
        "5\rhello\r\n",
        "5\r\r\nhello",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!!\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0",
        "5;\r\nhello",
        "5;;a\r\n",
        "5;a=\r\n",
        "5; a=b\r\n",
        "5 ;a\r\n",
        "5;a =b\r\n",
        "5;a b\r\n",
        "5;a=\"b\r\n",
        "5;a=\"\r\n\"\r\n",
        "5;a=\"b\"c\r\n",
        "5;a=\"\\\r\n",
        "5;a\rX\r\n",
        "5;a\nX\r\n",
        "5;\0a\r\n",
        "5;bad[=x\r\n",
        "FFFFFFFFFFFFFFFF0\r\n",
        "FFFFFFFFFFFFFFFF\r\n",
        "8000000000000000\r\n",
        "0\r\n\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\n X: 1\r\n\r\n",
        "0\r\nX: 1\n\r\n",
        "0\r\nX: 1\r\n y\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\n: 1\r\n\r\n",
        "0\r\n\rx",
    ];
    for text in bad {
        assert_eq!(decode(text), Err(FaultKind::BadRequest), "{text:?}");
    }
    let mut upstream = Body::response(BodyLength::Chunked);
    assert_eq!(upstream.finish(), Err(FaultKind::UpstreamTruncated));
    assert_eq!(upstream.decode(&mut b"x".to_vec(), &mut Vec::new()), Err(FaultKind::UpstreamProtocol));
}

#[test]
fn trailers_that_decide_are_refused() {
    let names = [
        "Content-Length",
        "transfer-encoding",
        "HOST",
        "Connection",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Content-Type",
        "X-Forwarded-For",
        "Cache-Control",
        "WWW-Authenticate",
        "Content_Length",
        "Te",
        "Content-Range",
    ];
    for name in names {
        assert_eq!(decode(&format!("0\r\nX: y\r\n{name}: 1\r\n\r\n")), Err(FaultKind::BadRequest), "{name}");
    }
    let long = format!("X-{}", "content-length".repeat(30));
    assert!(decode(&format!("0\r\n{long}: 1\r\n\r\n")).is_ok());
}

/// RFC 9110 section 6.5.1: a recipient ignores what it cannot merge.
#[test]
fn a_response_loses_only_trailers_that_would_harm() {
    let mut bytes =
        b"0\r\nX-Request-Id: 7\r\nSet-Cookie: a=b\r\nCache-Control: no-store\r\nContent_Length: 5\r\n\r\n".to_vec();
    let mut trailers = Vec::new();
    let found = Body::response(BodyLength::Chunked).decode(&mut bytes, &mut trailers).unwrap();
    assert!(found.done);
    assert_eq!(trailers, b"X-Request-Id: 7\r\nCache-Control: no-store\r\n");
    assert_eq!(decode("0\r\nX_User: root\r\nX-Sum: 1\r\n\r\n"), Ok((String::new(), "X-Sum: 1\r\n".to_owned(), true)));
}

#[test]
fn caps() {
    let extended = |len: usize| format!("1;{}\r\na\r\n", "x".repeat(len - 1));
    assert!(decode(&extended(CHUNK_EXTENSION_BYTES_MAX - 1)).is_ok());
    assert_eq!(decode(&extended(CHUNK_EXTENSION_BYTES_MAX + 1)), Err(FaultKind::BadRequest));
    let many = extended(CHUNK_EXTENSION_BYTES_MAX / 2).repeat(CHUNK_EXTENSIONS_BYTES_MAX / CHUNK_EXTENSION_BYTES_MAX);
    assert!(decode(&many).is_ok());
    assert_eq!(decode(&many.repeat(3)), Err(FaultKind::BadRequest));
    let trailer = |len: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(len));
    assert!(decode(&trailer(TRAILER_BYTES_MAX - 10)).is_ok());
    assert_eq!(decode(&trailer(TRAILER_BYTES_MAX)), Err(FaultKind::BadRequest));
}

#[test]
fn spaces_behind_a_chunk_size_are_tolerated_only_where_asked() {
    let decoded = |text: &str, tolerance: &[Deviation], step: usize| {
        let tolerance = tolerance.iter().copied().collect();
        let mut body = Body::tolerant_response(BodyLength::Chunked, tolerance);
        let (mut content, mut trailers, mut done) = (Vec::new(), Vec::new(), false);
        for piece in text.as_bytes().chunks(step) {
            let mut piece = piece.to_vec();
            let found = body.decode(&mut piece, &mut trailers)?;
            content.extend_from_slice(&piece[found.start..found.start + found.kept]);
            done = found.done;
        }
        assert!(done, "{text:?}");
        Ok((content, body.tolerated))
    };
    let spaces = [Deviation::ChunkSizeSpaces];
    let others = [Deviation::LengthWithChunked, Deviation::RepeatedLength];
    for step in [1, 2, 3, 100] {
        for padded in ["2   \r\nok\r\n0\r\n\r\n", "2\t ;a=b\r\nok\r\n0 \r\n\r\n"] {
            assert_eq!(decoded(padded, &others, step), Err(FaultKind::UpstreamProtocol), "{padded:?}");
            assert_eq!(decoded(padded, &spaces, step), Ok((b"ok".to_vec(), true)), "{padded:?}");
        }
        assert_eq!(decoded("2\r\nok\r\n0\r\n\r\n", &spaces, step), Ok((b"ok".to_vec(), false)));
        for wrong in
            [" 2\r\nok\r\n0\r\n\r\n", "2 2\r\nok\r\n0\r\n\r\n", "2 \nok\r\n0\r\n\r\n", "2; a\r\nok\r\n0\r\n\r\n"]
        {
            assert_eq!(decoded(wrong, &spaces, step), Err(FaultKind::UpstreamProtocol), "{wrong:?}");
        }
        let flood = format!("2{}\r\nok\r\n0\r\n\r\n", " ".repeat(300));
        assert_eq!(decoded(&flood, &spaces, step), Err(FaultKind::UpstreamProtocol));
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        check::chunked(&bytes);
    }

    #[test]
    fn almost_chunks(
        text in concat!(
            "(0|1|2|a|F|;|=|\"|\\\\|x|X: y\r\n|\r\n|\r\n|\r|\n| ",
            "|1\r\na\r\n|2;x=y\r\nab\r\n|0\r\n|\r\n\r\n|content-length: 1){0,12}",
        ),
    ) {
        check::chunked(text.as_bytes());
    }

    #[test]
    fn encoded_is_decoded(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6)) {
        let mut bytes = Vec::new();
        for part in &parts {
            crate::wire::h1::chunk::write_header(part.len() as u64, &mut bytes);
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(crate::wire::h1::chunk::END);
        check::chunked(&bytes);
        let found = Body::request(BodyLength::Chunked).decode(&mut bytes, &mut Vec::new()).unwrap();
        prop_assert!(found.done);
        prop_assert_eq!(&bytes[found.start..][..found.kept], parts.concat());
    }
}
