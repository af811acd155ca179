// SPDX-License-Identifier: Apache-2.0
//! What must hold for any bytes whatsoever, one function for each fuzz target.
//!
//! The fuzz targets and the unit tests call the same functions, so that a seed that once broke something is tried on
//! every test run. A broken property panics; nothing here is part of the gateway.

mod blocks;
mod coding;
mod frames;
mod inspect;

use crate::base::{FaultKind, Scheme};
use crate::wire::field::Known;
use crate::wire::forwarded::{ClientSource, ForwardedPlan, Inbound, Treatment};
use crate::wire::h1::body::Body;
use crate::wire::h1::strict::{self, Offence};
use crate::wire::h1::write::{self, After, OutgoingRequest, OutgoingResponse};
use crate::wire::h1::{Caps, HeadScan, Parsed, RawUtf8, Tolerance, chunk, framing, request, response};
use crate::wire::head::{BodyLength, Fields, Method, Request, RequestHead, Response, ResponseHead, Version};
use crate::wire::outgoing::HostHeader;
use crate::wire::patch::Patch;
use crate::wire::resp::check_any_bytes;
use crate::wire::target::{Backslash, EncodedSlash, Normalised, PathRules, Semicolon, Slashes};
use crate::wire::{proxy as proxy_protocol, target as targets};

pub use blocks::blocks;
pub use coding::coding;
pub use frames::frames;
pub use inspect::inspect;

/// The host of requests that name none.
const HOST: &[u8] = b"origin.example";

/// Small enough that inputs reach them.
const SMALL: Caps =
    Caps { head_bytes: 512, request_line_bytes: 128, fields: 8, raw_utf8: RawUtf8::Reject, tolerance: Tolerance::NONE };

/// A request's head: both readings agree, splits do not matter, and what we write of it has one reading.
pub fn head(bytes: &[u8]) {
    for caps in [Caps::default(), SMALL] {
        let mut head = RequestHead::default();
        let verdict = request::parse(bytes, &caps, &mut head);
        match (verdict, strict::request(bytes, &caps)) {
            (Ok(Parsed::Partial), Ok(None)) => {}
            (Ok(Parsed::Complete), Ok(Some(reading))) => {
                assert_eq!(reading.len, head.len);
                let (mut ours, mut strict) = (pairs(&head.fields, bytes), strict::field_lines(bytes, reading));
                if !matches!(head.target.of(bytes), [b'/' | b'*', ..]) {
                    // The target names the host in the place of the field.
                    ours.retain(|(name, _)| !name.eq_ignore_ascii_case(b"host"));
                    strict.retain(|(name, _)| !name.eq_ignore_ascii_case(b"host"));
                }
                assert_eq!(ours, strict);
                read_by_others(bytes, &head);
                rewritten(bytes, &head);
            }
            // Grammatical, but refused for what it says.
            (Err(_), Ok(Some(_))) => {}
            (Err(kind), Err(offence)) => assert_eq!(kind, blamed(offence)),
            (verdict, reading) => panic!("{verdict:?} but {reading:?}"),
        }
        if let Some(encoded) = request::encode_target(bytes, &caps) {
            assert_eq!(verdict, Err(FaultKind::BadRequest));
            assert_eq!(request::encode_target(&encoded, &caps), None);
            assert_ne!(request::parse(&encoded, &caps, &mut head), Ok(Parsed::Partial));
        }
        splits(bytes, |piece| (request::parse(piece, &caps, &mut head), head.len), &caps);
    }
}

/// A response's head, likewise.
pub fn response_head(bytes: &[u8]) {
    for (caps, method) in [(Caps::default(), Method::Get), (SMALL, Method::Head)] {
        let mut head = ResponseHead::default();
        let verdict = response::parse(bytes, &caps, method, &mut head);
        match (verdict, strict::response(bytes, &caps)) {
            (Ok(Parsed::Partial), Ok(None)) => {}
            (Ok(Parsed::Complete), Ok(Some(reading))) => {
                assert_eq!(reading.len, head.len);
                assert_eq!(pairs(&head.fields, bytes), strict::field_lines(bytes, reading));
                response_read_by_others(bytes, &head);
                response_rewritten(bytes, &head, method);
            }
            (Err(FaultKind::UpstreamProtocol), Ok(Some(_))) => {}
            (Err(FaultKind::UpstreamHeadTooLarge), Err(Offence::LongHead)) => {}
            (Err(FaultKind::UpstreamTooManyFields), Err(Offence::ManyFields)) => {}
            (Err(FaultKind::UpstreamProtocol), Err(Offence::Syntax)) => {}
            (verdict, reading) => panic!("{verdict:?} but {reading:?}"),
        }
        splits(bytes, |piece| (response::parse(piece, &caps, method, &mut head), head.len), &caps);
    }
}

/// A chunked body: splits do not matter, both modes and another decoder agree, and encoding what was decoded gives it
/// back.
pub fn chunked(bytes: &[u8]) {
    let whole = decoded(bytes, bytes.len().max(1));
    for step in [1, 2, 3, 7] {
        assert_eq!(decoded(bytes, step), whole, "in steps of {step}");
    }
    let Ok(payload) = whole else { return };
    if !payload.done {
        return;
    }
    assert_eq!(plainly_decoded(&bytes[..payload.raw]), payload.data);
    let mut again = Vec::new();
    for part in payload.data.chunks(300) {
        chunk::write_header(part.len() as u64, &mut again);
        again.extend_from_slice(part);
        again.extend_from_slice(b"\r\n");
    }
    chunk::write_end(&payload.trailers, &mut again);
    let raw = again.len();
    assert_eq!(decoded(&again, 11), Ok(Payload { raw, ..payload }));
}

/// A path, by rules that the first byte chooses, and the rest as a query.
pub fn target(bytes: &[u8]) {
    let Some((choice, path)) = bytes.split_first() else { return };
    let rules = PathRules {
        semicolon: if choice & 0x20 != 0 { Semicolon::Reject } else { Semicolon::Keep },
        slashes: if choice & 1 != 0 { Slashes::Match } else { Slashes::Keep },
        encoded_slash: [EncodedSlash::Keep, EncodedSlash::Decode, EncodedSlash::Reject]
            [usize::from(choice >> 1 & 3) % 3],
        backslash: [Backslash::Reject, Backslash::Keep, Backslash::Slash][usize::from(choice >> 3 & 3) % 3],
    };
    self::path(path, &rules);
    for (name, value) in targets::parameters(path) {
        let mut decoded = Vec::new();
        targets::form_decode(value, &mut decoded);
        assert!(decoded.len() <= value.len() && name.len() + value.len() <= path.len(), "decoding never grows a value");
    }
}

/// A path: what comes out is a path, and normalising it again changes nothing.
pub fn path(path: &[u8], rules: &PathRules) {
    let mut once = Vec::new();
    match targets::normalise(path, rules, &mut once) {
        Err(kind) => return assert_eq!(kind, FaultKind::BadRequest),
        Ok(Normalised::Unchanged) => once = path.to_vec(),
        Ok(Normalised::Written) => assert_ne!(once, path),
    }
    assert_eq!(once.first(), Some(&b'/'));
    assert!(once.iter().all(|byte| byte.is_ascii_graphic() && !b"\\?#\"<>^`{|}".contains(byte)), "{once:?}");
    let mut segments = once[1..].split(|byte| *byte == b'/').rev();
    let last = segments.next();
    assert!(last != Some(b".") && last != Some(b".."));
    for segment in segments {
        assert!(
            segment != b"." && segment != b".." && !(rules.slashes != Slashes::Keep && segment.is_empty()),
            "{once:?}"
        );
    }
    let mut twice = Vec::new();
    assert_eq!(targets::normalise(&once, rules, &mut twice), Ok(Normalised::Unchanged), "{once:?}");
}

/// A PROXY header: splits do not matter, and what was read can be written and read again.
pub fn proxy(bytes: &[u8]) {
    let whole = proxy_protocol::parse(bytes);
    for cut in 0..bytes.len().min(300) {
        match proxy_protocol::parse(&bytes[..cut]) {
            Ok(None) => {}
            early => assert_eq!(early, whole, "cut at {cut}"),
        }
    }
    let Ok(Some((header, len))) = whole else { return };
    assert!(len <= bytes.len());
    for write in [proxy_protocol::write_v1, proxy_protocol::write_v2] {
        let mut out = Vec::new();
        write(&header, &mut out);
        assert!(matches!(proxy_protocol::parse(&out), Ok(Some((_, len))) if len == out.len()));
    }
}

/// Replies of a Redis.
pub fn resp(bytes: &[u8]) {
    check_any_bytes(bytes);
}

/// A value of `X-Forwarded-For`, `Forwarded` and `X-Real-IP`: a client is found, and what we write is a field.
pub fn forwarded(value: &[u8]) {
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto", "Forwarded"] {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    let mut head = RequestHead::default();
    if request::parse(&bytes, &Caps::default(), &mut head) != Ok(Parsed::Complete) {
        return;
    }
    let received = Request { bytes: &bytes, head: &head };
    let inbound = Inbound { peer: Some([127, 0, 0, 1].into()), scheme: Scheme::Http, port: 80 };
    for source in [
        ClientSource::XForwardedFor,
        ClientSource::Forwarded,
        ClientSource::XRealIp,
        ClientSource::Field((*b"forwarded").into()),
    ] {
        let trusted = ["127.0.0.0/8".parse().expect("a network"), "10.0.0.0/8".parse().expect("a network")];
        let plan = ForwardedPlan { trusted: trusted.into(), source, forwarded: Treatment::Write, ..Default::default() };
        let client = plan.client(&inbound, received);
        assert!(client.peer_trusted && client.address.is_some());
        let mut patch = Patch::default();
        plan.apply(&inbound, &client, received, &mut patch);
        assert!(patch.added().count() >= 5);
        let mut out = Vec::new();
        write::request(&mut out, &outgoing(received, &patch));
        let mut again = RequestHead::default();
        assert_eq!(request::parse(&out, &Caps::default(), &mut again), Ok(Parsed::Complete));
    }
}

/// Heads as they would be forwarded without any change of ours.
pub(crate) fn outgoing<'a>(request: Request<'a>, patch: &'a Patch) -> OutgoingRequest<'a> {
    let named = !request.head.authority.is_empty();
    OutgoingRequest {
        request,
        method: request.method_text(),
        target: b"/",
        host: if named { HostHeader::Received } else { HostHeader::Is(HOST) },
        patch,
        body: request.head.body,
        after: if request.head.upgrade { After::Upgrade } else { After::KeepAlive },
        via: Some(b"turnpike"),
    }
}

/// Writes an accepted request and reads it again, with `httparse` and with our own two readings.
pub(crate) fn rewritten(bytes: &[u8], head: &RequestHead) -> Vec<u8> {
    let patch = Patch::default();
    let mut out = Vec::new();
    write::request(&mut out, &outgoing(Request { bytes, head }, &patch));

    let mut slots = [httparse::EMPTY_HEADER; 300];
    let mut found = httparse::Request::new(&mut slots);
    assert_eq!(found.parse(&out), Ok(httparse::Status::Complete(out.len())));
    let theirs: Vec<_> = found.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();

    let caps = Caps { head_bytes: 60_000, request_line_bytes: 60_000, fields: 256, ..Caps::default() };
    let mut again = RequestHead::default();
    if theirs.len() <= caps.fields && out.len() <= 48 * 1024 {
        assert_eq!(request::parse(&out, &caps, &mut again), Ok(Parsed::Complete), "{}", out.escape_ascii());
        assert_eq!(pairs(&again.fields, &out), theirs);
        assert_eq!((again.len, again.body), (out.len(), head.body));
        assert_eq!(again.method_text.of(&out), head.method_text.of(bytes));
        assert_eq!(again.upgrade, head.upgrade);
        assert_eq!(again.expects_continue, head.expects_continue);
        let host = if head.authority.is_empty() { HOST } else { head.authority.of(bytes) };
        assert_eq!(again.authority.of(&out), host);
    }
    for known in [Known::Host, Known::ContentLength, Known::TransferEncoding] {
        let count = theirs.iter().filter(|(name, _)| Known::of(name) == known).count();
        assert!(count <= 1, "{known:?} {count} times");
    }
    // What went through is a part of what came, in its order.
    let mut received = pairs(&head.fields, bytes).into_iter();
    for field in theirs.iter().filter(|(name, _)| Known::of(name) == Known::Other) {
        assert!(received.any(|candidate| candidate == *field), "{field:?} came from nowhere");
    }
    out
}

/// `httparse` accepts what we accept, and sees the same in it.
fn read_by_others(bytes: &[u8], head: &RequestHead) {
    let mut slots = [httparse::EMPTY_HEADER; 300];
    let mut found = httparse::Request::new(&mut slots);
    match found.parse(bytes) {
        Ok(read) => assert_eq!(read, httparse::Status::Complete(head.len)),
        // It knows no later minor version.
        Err(error) => return assert_eq!(error, httparse::Error::Version, "{}", bytes.escape_ascii()),
    }
    assert_eq!(found.method.map(str::as_bytes), Some(head.method_text.of(bytes)));
    let host = |name: &[u8]| name.eq_ignore_ascii_case(b"host");
    let theirs = found.headers.iter().map(|header| (header.name.as_bytes(), header.value));
    // A target that names a host has it in the place of the field's.
    let ours = pairs(&head.fields, bytes).into_iter().filter(|(name, _)| !host(name));
    assert!(ours.eq(theirs.filter(|(name, _)| !host(name))), "{}", bytes.escape_ascii());
}

/// The same for a response.
fn response_read_by_others(bytes: &[u8], head: &ResponseHead) {
    let mut slots = [httparse::EMPTY_HEADER; 300];
    let mut found = httparse::Response::new(&mut slots);
    match found.parse(bytes) {
        Ok(read) => assert_eq!(read, httparse::Status::Complete(head.len)),
        Err(error) => return assert_eq!(error, httparse::Error::Version, "{}", bytes.escape_ascii()),
    }
    assert_eq!(found.code, Some(head.status));
    let theirs = found.headers.iter().map(|header| (header.name.as_bytes(), header.value));
    assert!(pairs(&head.fields, bytes).into_iter().eq(theirs), "{}", bytes.escape_ascii());
}

fn response_rewritten(bytes: &[u8], head: &ResponseHead, method: Method) {
    let patch = Patch::default();
    for client in [Version::H10, Version::H11] {
        let body = framing::to_client(head.body, client);
        let after = match (head.status, body) {
            (101, _) => After::Upgrade,
            (_, BodyLength::UntilClose) => After::Close,
            (_, BodyLength::None | BodyLength::Exact(_) | BodyLength::Chunked) => After::KeepAlive,
        };
        let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
        let response = Response { bytes, head };
        let mut out = Vec::new();
        let outgoing = OutgoingResponse { response, patch: &patch, body, method, client, after, date, via: None };
        write::response(&mut out, &outgoing);

        let mut slots = [httparse::EMPTY_HEADER; 300];
        let mut found = httparse::Response::new(&mut slots);
        assert_eq!(found.parse(&out), Ok(httparse::Status::Complete(out.len())), "{}", out.escape_ascii());
        let theirs: Vec<_> = found.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
        let caps = Caps { head_bytes: 48 * 1024, request_line_bytes: 0, fields: 256, ..Caps::default() };
        let mut again = ResponseHead::default();
        if theirs.len() <= caps.fields && out.len() <= caps.head_bytes {
            assert_eq!(
                response::parse(&out, &caps, method, &mut again),
                Ok(Parsed::Complete),
                "{}",
                out.escape_ascii()
            );
            assert_eq!(pairs(&again.fields, &out), theirs);
            assert_eq!((again.status, again.body, again.len), (head.status, body, out.len()));
            assert_eq!(again.keep_alive, after != After::Close, "{}", out.escape_ascii());
        }
    }
}

fn blamed(offence: Offence) -> FaultKind {
    match offence {
        Offence::Syntax => FaultKind::BadRequest,
        Offence::LongLine => FaultKind::TargetTooLong,
        Offence::LongHead | Offence::ManyFields => FaultKind::HeadTooLarge,
        Offence::Version => FaultKind::VersionNotSupported,
    }
}

fn pairs<'a>(fields: &Fields, bytes: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
    fields.list.iter().map(|field| (field.name.of(bytes), field.value.of(bytes))).collect()
}

/// The verdict on a prefix is `Partial` or that on the whole, and `HeadScan` leads to the same verdict.
fn splits(bytes: &[u8], mut parse: impl FnMut(&[u8]) -> (Result<Parsed, FaultKind>, usize), caps: &Caps) {
    let whole = parse(bytes);
    for cut in 0..bytes.len().min(700) {
        let early = parse(&bytes[..cut]);
        match early.0 {
            Ok(Parsed::Partial) => {}
            Ok(Parsed::Complete) => assert_eq!(early, whole, "cut at {cut}"),
            Err(_) => assert_eq!(early.0, whole.0, "cut at {cut}"),
        }
    }
    let mut scan = HeadScan::default();
    for len in 1..=bytes.len().min(2_000) {
        if scan.ready(&bytes[..len], caps) {
            let (verdict, _) = parse(&bytes[..len]);
            if verdict != Ok(Parsed::Partial) {
                return assert_eq!(verdict, whole.0);
            }
        }
    }
    if bytes.len() <= 2_000 {
        assert_eq!(whole.0.unwrap_or(Parsed::Partial), Parsed::Partial, "never parsed: {}", bytes.escape_ascii());
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Payload {
    data: Vec<u8>,
    trailers: Vec<u8>,
    raw: usize,
    done: bool,
}

fn decoded(bytes: &[u8], step: usize) -> Result<Payload, FaultKind> {
    let mut body = Body::request(BodyLength::Chunked);
    let mut payload = Payload { data: Vec::new(), trailers: Vec::new(), raw: 0, done: false };
    for piece in bytes.chunks(step) {
        let mut piece = piece.to_vec();
        let behind = piece.clone();
        let found = body.decode(&mut piece, &mut payload.trailers)?;
        assert!(found.start + found.kept <= found.consumed && found.consumed <= piece.len());
        assert_eq!(piece[found.consumed..], behind[found.consumed..]);
        payload.data.extend_from_slice(&piece[found.start..][..found.kept]);
        payload.raw += found.consumed;
        if found.done {
            payload.done = true;
            break;
        }
        assert_eq!(found.consumed, piece.len());
    }
    Ok(payload)
}

/// A complete chunked body in the plainest way, with another library's reading of sizes.
fn plainly_decoded(mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(bytes).expect("accepted by us");
        let (start, len) = size.unwrap();
        bytes = &bytes[start..];
        if len == 0 {
            assert!(bytes.ends_with(b"\r\n"));
            return data;
        }
        data.extend_from_slice(&bytes[..len as usize]);
        assert_eq!(&bytes[len as usize..][..2], b"\r\n");
        bytes = &bytes[len as usize + 2..];
    }
}
