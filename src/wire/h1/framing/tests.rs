// SPDX-License-Identifier: Apache-2.0
//! Tables of lengths: what is accepted, and with which fault the rest is refused.

use super::*;
use crate::base::Span;
use crate::wire::head::Field;

fn fields(lines: &[(&str, &str)]) -> (Vec<u8>, Fields) {
    let mut bytes = Vec::new();
    let mut fields = Fields::default();
    for (name, value) in lines {
        let start = bytes.len();
        bytes.extend_from_slice(name.as_bytes());
        let middle = bytes.len();
        bytes.extend_from_slice(value.as_bytes());
        let known = Known::of(name.as_bytes());
        let value = Span::new(middle, bytes.len());
        fields.push(Field { name: Span::new(start, middle), value, known });
    }
    (bytes, fields)
}

fn asked(lines: &[(&str, &str)], version: Version) -> Result<BodyLength, FaultKind> {
    let (bytes, fields) = fields(lines);
    request(LENGTHS, &fields, &bytes, version)
}

fn answered(lines: &[(&str, &str)], status: u16, method: Method) -> Result<BodyLength, FaultKind> {
    let (bytes, fields) = fields(lines);
    response(LENGTHS, &fields, &bytes, Version::H11, status, method)
}

const CL: &str = "Content-Length";
const TE: &str = "Transfer-Encoding";

#[test]
fn request_lengths() {
    let cases = [
        (&[][..], Ok(BodyLength::None)),
        (&[(CL, "0")], Ok(BodyLength::None)),
        (&[(CL, "5")], Ok(BodyLength::Exact(5))),
        (&[(CL, "9223372036854775807")], Ok(BodyLength::Exact(i64::MAX as u64))),
        (&[(TE, "chunked")], Ok(BodyLength::Chunked)),
        (&[(TE, "Chunked")], Ok(BodyLength::Chunked)),
    ];
    for (lines, expected) in cases {
        assert_eq!(asked(lines, Version::H11), expected, "{lines:?}");
    }
}

#[test]
fn request_lengths_refused() {
    for value in
        ["", "00", "005", "+5", "-0", "5,5", "5, 5", "5 5", "0x5", "0o5", "1_0", "5;", "a", "9223372036854775808"]
    {
        assert_eq!(asked(&[(CL, value)], Version::H11), Err(FaultKind::BadRequest), "{value}");
    }
    assert_eq!(asked(&[(CL, "5"), (CL, "5")], Version::H11), Err(FaultKind::BadRequest));
    assert_eq!(asked(&[(CL, "5"), (TE, "chunked")], Version::H11), Err(FaultKind::BadRequest));
    assert_eq!(asked(&[(TE, "chunked"), (TE, "chunked")], Version::H11), Err(FaultKind::BadRequest));
    assert_eq!(asked(&[(TE, "chunked")], Version::H10), Err(FaultKind::BadRequest));
}

#[test]
fn transfer_codings() {
    for value in ["gzip", "xchunked", "identity", "gzip, chunked", "gzip,deflate , chunked"] {
        assert_eq!(asked(&[(TE, value)], Version::H11), Err(FaultKind::NotImplemented), "{value}");
    }
    let malformed = [
        "",
        ",",
        ", chunked",
        "chunked,",
        "chunked, chunked",
        "chunked, gzip",
        "gzip, deflate",
        "chunked;a=b",
        "chun ked",
    ];
    for value in malformed {
        assert_eq!(asked(&[(TE, value)], Version::H11), Err(FaultKind::BadRequest), "{value}");
    }
}

#[test]
fn response_lengths() {
    let cases = [
        (&[][..], 200, Method::Get, Ok(BodyLength::UntilClose)),
        (&[(CL, "5")], 200, Method::Get, Ok(BodyLength::Exact(5))),
        (&[(CL, "005")], 200, Method::Get, Ok(BodyLength::Exact(5))),
        (&[(CL, "5")], 200, Method::Head, Ok(BodyLength::None)),
        (&[(CL, "5")], 304, Method::Get, Ok(BodyLength::None)),
        (&[], 204, Method::Get, Ok(BodyLength::None)),
        (&[], 101, Method::Get, Ok(BodyLength::None)),
        (&[(TE, "chunked")], 200, Method::Get, Ok(BodyLength::Chunked)),
        (&[(TE, "chunked")], 200, Method::Head, Ok(BodyLength::None)),
        (&[(TE, "gzip, chunked")], 200, Method::Get, Err(FaultKind::UpstreamProtocol)),
        (&[(TE, "gzip")], 200, Method::Get, Err(FaultKind::UpstreamProtocol)),
        (&[(TE, "chunked"), (CL, "5")], 200, Method::Get, Err(FaultKind::UpstreamProtocol)),
        (&[(TE, "chunked"), (CL, "5")], 304, Method::Get, Err(FaultKind::UpstreamProtocol)),
        (&[(CL, "5"), (CL, "5")], 200, Method::Get, Err(FaultKind::UpstreamProtocol)),
        (&[(CL, "5, 5")], 200, Method::Get, Err(FaultKind::UpstreamProtocol)),
    ];
    for (lines, status, method, expected) in cases {
        assert_eq!(answered(lines, status, method), expected, "{lines:?} {status} {method:?}");
    }
    let (bytes, fields) = fields(&[(TE, "chunked")]);
    assert_eq!(response(LENGTHS, &fields, &bytes, Version::H10, 200, Method::Get), Err(FaultKind::UpstreamProtocol));
}
