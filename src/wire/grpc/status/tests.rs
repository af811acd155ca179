// SPDX-License-Identifier: Apache-2.0
//! Codes against gRPC's documents, messages both ways, ends of calls.

use proptest::prelude::*;

use super::*;

#[test]
fn codes_by_number_and_name() {
    for (number, code) in Code::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(code.number()), number);
        assert_eq!(Code::of(number as u64), Some(code));
        assert_eq!(Code::named(code.name()), Some(code));
        assert_eq!(Code::read(number.to_string().as_bytes()), code);
    }
    for value in [&b"17"[..], b"-1", b"", b"x", b"99999999999999999999999"] {
        assert_eq!(Code::read(value), Code::Unknown);
    }
    assert_eq!((Code::of(17), Code::named("ok")), (None, None));
}

#[test]
fn statuses_of_upstreams_and_of_ours() {
    let table = [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (500, 2)];
    for (status, code) in table {
        assert_eq!(Code::of_upstream(status).number(), code, "{status}");
    }
    assert_eq!(Code::of_upstream(200), Code::Unknown);
    assert_eq!(Code::of_answer(429), Code::ResourceExhausted);
    assert_eq!(Code::of_answer(404), Code::Unimplemented);
    assert_eq!(Code::of_answer(204), Code::Ok);
    assert_eq!(Code::of_answer(302), Code::Unknown);
    assert_eq!((Code::of_reset(7), Code::of_reset(8)), (Code::Unavailable, Code::Cancelled));
    assert_eq!((Code::of_reset(11), Code::of_reset(99)), (Code::ResourceExhausted, Code::Unknown));
    assert_eq!(Code::of_fault(FaultKind::TotalTimeout), Code::DeadlineExceeded);
    assert_eq!(Code::of_fault(FaultKind::NoEndpoint), Code::Unavailable);
    assert_eq!(Code::of_fault(FaultKind::BodyTooLarge), Code::ResourceExhausted);
}

#[test]
fn faults_as_the_only_head() {
    let end = End::of_fault(FaultKind::ConnectFailed);
    let fields: Vec<_> = end.fields().collect();
    let text = &b"the service cannot answer right now"[..];
    assert_eq!(fields, [("grpc-status", &b"14"[..]), ("grpc-message", text)]);
    for kind in [FaultKind::NoRoute, FaultKind::TotalTimeout, FaultKind::HeadTooLarge, FaultKind::Internal] {
        let end = End::of_fault(kind);
        assert_eq!(end.code, Code::of_fault(kind));
        // Nothing in it needs to be encoded.
        let mut encoded = Vec::new();
        encode_message(str::from_utf8(end.message).unwrap(), &mut encoded);
        assert_eq!(encoded, end.message);
    }
}

#[test]
fn sets_of_codes() {
    let mut set = CodeSet::of(&[Code::Unavailable, Code::Ok]);
    set.insert(Code::Unauthenticated);
    let held: Vec<Code> = Code::ALL.into_iter().filter(|code| set.has(*code)).collect();
    assert_eq!(held, [Code::Ok, Code::Unavailable, Code::Unauthenticated]);
    assert!(Code::ALL.into_iter().all(|code| code.text() == code.number().to_string()));
}

#[test]
fn messages() {
    let encoded = |text: &str| {
        let mut out = Vec::new();
        encode_message(text, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(encoded("no such thing: 100%\r\n"), "no such thing: 100%25%0D%0A");
    assert_eq!(encoded("\u{e9}~\u{7f}"), "%C3%A9~%7F");
    assert_eq!(encoded(&"a".repeat(5_000)).len(), GRPC_TEXT_BYTES_MAX);
    assert_eq!(encoded(&"\u{1F600}".repeat(5_000)).len(), GRPC_TEXT_BYTES_MAX / 12 * 12);
    let decoded = |value: &str| {
        let mut out = Vec::new();
        decode_message(value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(decoded("100%25 %c3%A9"), "100% \u{e9}");
    assert_eq!(decoded("100% %zz %4"), "100% %zz %4");
}

#[test]
fn ends() {
    let text = b"grpc-status: 5\r\ngrpc-message:gone%21\r\nx: y\r\nGrpc-Status-Details-Bin: CAU\r\n";
    let end = End::read_lines(text).unwrap();
    assert_eq!(end, End { code: Code::NotFound, message: b"gone%21", details: b"CAU" });
    let mut out = Vec::new();
    end.write_lines(&mut out);
    assert_eq!(out, b"grpc-status: 5\r\ngrpc-message: gone%21\r\ngrpc-status-details-bin: CAU\r\n");
    assert_eq!(End::read_lines(&out), Some(end));
    assert_eq!(End::read_lines(b"grpc-message: x\r\n"), None);
    assert_eq!(End::read_lines(b"grpc-status: 0\r\ngrpc-status: 5\r\n"), None);
    let mut out = Vec::new();
    End::plain(Code::Ok, "").write_lines(&mut out);
    assert_eq!(out, b"grpc-status: 0\r\n");
}

#[test]
fn lines_that_may_be_trailers() {
    for good in [&b""[..], b"a: b\r\n", b"a:\r\nb: c\t d\r\n"] {
        assert!(are_lines(good), "{}", good.escape_ascii());
    }
    for bad in [&b"a: b"[..], b"a: b\n", b": b\r\n", b"a b: c\r\n", b"a: b\0\r\n", b"a: b\rc\r\n", b"\r\n", b"a\r\n"] {
        assert!(!are_lines(bad), "{}", bad.escape_ascii());
    }
}

proptest! {
    #[test]
    fn messages_come_back(text in ".{0,200}") {
        let mut value = Vec::new();
        encode_message(&text, &mut value);
        prop_assert!(value.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let mut out = Vec::new();
        decode_message(&value, &mut out);
        prop_assert!(text.as_bytes().starts_with(&out));
        prop_assert!(out.len() == text.len() || value.len() + 12 > GRPC_TEXT_BYTES_MAX);
    }

    #[test]
    fn garbage(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (End::read_lines(&bytes), are_lines(&bytes));
        decode_message(&bytes, &mut Vec::new());
    }
}
