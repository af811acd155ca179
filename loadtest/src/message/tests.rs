// SPDX-License-Identifier: Apache-2.0
//! Messages good and broken, whole and in pieces.

use super::{Progress, Reader, Role};

/// Feeds `stream` in pieces of `step` bytes; returns the bodies of the messages in it, or nothing where one is
/// malformed.
fn bodies(role: Role, stream: &[u8], step: usize) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut reader = Reader::new(role);
    let mut all = Vec::new();
    let mut body = Vec::new();
    for mut piece in stream.chunks(step) {
        while !piece.is_empty() {
            match reader.feed(piece, &mut |bytes| body.extend_from_slice(bytes)).ok()? {
                Progress::More => break,
                Progress::Done(used) => {
                    assert_eq!(reader.body_bytes(), body.len() as u64);
                    all.push((reader.head().status, std::mem::take(&mut body)));
                    piece = &piece[used..];
                }
            }
        }
    }
    if reader.ends_with_connection() {
        all.push((reader.head().status, body));
    }
    Some(all)
}

/// The same result for every size of the pieces.
fn same_in_all_splits(role: Role, stream: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let whole = bodies(role, stream, stream.len());
    for step in 1..stream.len() {
        assert_eq!(bodies(role, stream, step), whole, "in pieces of {step}");
    }
    whole
}

#[test]
fn lengths_chunks_and_nothing() {
    let stream = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello\
        HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let expected = [(200, &b"hello"[..]), (200, b"abc0123456789"), (204, b""), (200, b"")];
    let expected: Vec<_> = expected.iter().map(|(status, body)| (*status, body.to_vec())).collect();
    assert_eq!(same_in_all_splits(Role::Response, stream), Some(expected));
}

#[test]
fn a_response_without_length_lasts_until_the_end() {
    let stream = b"HTTP/1.0 200 OK\r\n\r\nsome words";
    assert_eq!(same_in_all_splits(Role::Response, stream), Some(vec![(200, b"some words".to_vec())]));
}

#[test]
fn requests_keep_their_target() {
    let mut reader = Reader::new(Role::Request);
    let stream = b"POST /count HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(reader.feed(stream, &mut |_| {}), Ok(Progress::Done(stream.len())));
    assert_eq!((&reader.head().method[..], &reader.head().target[..]), (&b"POST"[..], &b"/count"[..]));
    assert!(reader.head().closes && reader.is_between());
    let second = b"GET /b/1 HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(reader.feed(second, &mut |_| {}), Ok(Progress::Done(second.len())));
    assert!(!reader.head().closes);
}

#[test]
fn broken_messages_are_told() {
    for stream in [
        &b"HTTP/1.1 2x0 OK\r\n\r\n"[..],
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ] {
        assert_eq!(same_in_all_splits(Role::Response, stream), None, "{}", String::from_utf8_lossy(stream));
    }
}

#[test]
fn a_head_that_does_not_end_is_refused() {
    let endless = vec![b'a'; 1 << 20];
    assert!(bodies(Role::Response, &endless, 4096).is_none());
}
