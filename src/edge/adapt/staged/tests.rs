// SPDX-License-Identifier: Apache-2.0
//! What a client gets through a stage, call by call.

use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use flate2::read::GzDecoder;

use crate::base::limits::{ENCODERS_MAX, STAGE_OUT_BYTES};
use crate::base::{Buf, BufPool, Fault, FaultKind, Side, Span, Tick};
use crate::edge::adapt::coding::Coding;
use crate::edge::adapt::encoders::Encoders;
use crate::edge::adapt::grpc::json_response::JsonResponse;
use crate::edge::adapt::grpc::messages::Messages;
use crate::edge::adapt::grpc::web_response::WebResponse;
use crate::edge::adapt::stage::Stage;
use crate::edge::adapt::staged::Staged;
use crate::edge::flow::hold::Hold;
use crate::edge::flow::stream::{BodySink, Client, Ending, Form, Outgoing};
use crate::wire::coding::response::Eligible;
use crate::wire::coding::{ContentCoding, MediaRange, MediaRanges, Offer, Vary, Wanted};
use crate::wire::field::Known;
use crate::wire::grpc::json::{Lookup, Options, StreamForm, sample};
use crate::wire::grpc::web::{self, TrailersFrame};
use crate::wire::grpc::{Code, End, Media};
use crate::wire::h1::framing;
use crate::wire::head::{BodyLength, Field, Method, Response, ResponseHead, Version};
use crate::wire::patch::Patch;

/// Whether a policy offers a content coding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coded {
    Yes,
    No,
}

/// A client that takes everything at once, and remembers each call.
struct Recorder {
    version: Version,
    /// Field lines and length of the head composed last.
    head: (String, BodyLength),
    calls: Vec<Call>,
}

/// One write, with or without the head in front.
struct Call {
    with_head: bool,
    bytes: Vec<u8>,
    last: bool,
}

impl Recorder {
    fn new(version: Version) -> Recorder {
        Recorder { version, head: (String::new(), BodyLength::None), calls: Vec::new() }
    }

    fn note(&mut self, with_head: bool, buf: &Buf, ending: Ending<'_>) {
        self.calls.push(Call { with_head, bytes: buf.filled().to_vec(), last: ending != Ending::More });
    }

    /// Which calls brought the head, and which the end.
    fn shape(&self) -> Vec<(bool, bool)> {
        self.calls.iter().map(|call| (call.with_head, call.last)).collect()
    }

    fn sent(&self) -> Vec<u8> {
        self.calls.iter().flat_map(|call| call.bytes.clone()).collect()
    }
}

impl BodySink for Recorder {
    async fn write(&mut self, buf: Buf, ending: Ending<'_>, _: Tick) -> (Result<(), Fault>, Buf) {
        self.note(false, &buf, ending);
        (Ok(()), buf)
    }

    fn set_pace(&mut self, _: crate::base::Pace) {}

    fn finish(&self) {}

    fn abort(&self) {}
}

impl Client for Recorder {
    fn framing(&self, length: BodyLength) -> (BodyLength, Form) {
        let length = framing::to_client(length, self.version);
        (length, if self.version == Version::H2 { Form::Plain } else { Form::of(length) })
    }

    fn takes_interim(&self) -> bool {
        true
    }

    fn begun(&self) -> bool {
        self.calls.iter().any(|call| call.with_head)
    }

    fn close_after(&mut self) {}

    fn compose(&mut self, outgoing: Outgoing<'_>) {
        let lines = outgoing
            .patch
            .added()
            .map(|(name, value)| format!("{}: {}\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        self.head = (lines.collect(), outgoing.length);
    }

    async fn commit(&mut self, first: Buf, ending: Ending<'_>, _: Tick) -> (Result<(), Fault>, Buf) {
        self.note(true, &first, ending);
        (Ok(()), first)
    }
}

/// What a future that waits for nothing gives.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// The head of a response of that status, with content of a type that is coded.
fn compose(client: &mut impl Client, status: u16, length: BodyLength) {
    compose_of(client, status, "text/plain", length);
}

fn compose_of(client: &mut impl Client, status: u16, content_type: &str, length: BodyLength) {
    let line = format!("content-type: {content_type}\r\n");
    let mut head = ResponseHead { status, body: length, ..ResponseHead::default() };
    let (name, value) = (Span::new(0, 12), Span::new(14, line.len() - 2));
    head.fields.push(Field { name, value, known: Known::ContentType });
    let (length, _) = client.framing(length);
    let response = Response { bytes: line.as_bytes(), head: &head };
    client.compose(Outgoing { response, patch: &mut Patch::default(), length, upgrades: false });
}

fn commit(client: &mut impl Client, content: &[u8], ending: Ending<'_>) {
    let (sent, buf) = at_once(client.commit(Buf::copied(content), ending, Tick::NEVER));
    assert!(sent.is_ok() && buf.capacity() == content.len(), "the buffer comes back");
}

fn write(client: &mut impl Client, content: &[u8], ending: Ending<'_>) {
    assert!(at_once(client.write(Buf::copied(content), ending, Tick::NEVER)).0.is_ok());
}

fn flush(client: &mut impl Client) {
    assert!(at_once(client.flush(Tick::NEVER)).is_ok());
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut content).expect("a whole coding");
    content
}

/// Runs `with` on a staged client of `version` and gives what came through.
fn through_to(version: Version, coded: Coded, with: impl FnOnce(&mut Staged<'_, Recorder>, &Encoders)) -> Recorder {
    let (mut recorder, pool, encoders) = (Recorder::new(version), BufPool::new(), Encoders::default());
    let eligible = Eligible { types: MediaRanges::new(vec![MediaRange::Any]), bytes_min: 1 };
    let wanted = Wanted { method: Method::Head, coding: Some(ContentCoding::Gzip) };
    let offer = Offer { wanted, eligible: &eligible, level: 6, vary: Vary::Omitted };
    let mut client = Staged::new(&mut recorder, &pool, ());
    if coded == Coded::Yes {
        client.chain().append(Stage::Coding(Coding::new(offer, &encoders)));
    }
    with(&mut client, &encoders);
    drop(client);
    recorder
}

/// As `through_to`, for a client of HTTP/2 that accepts gzip.
fn through(with: impl FnOnce(&mut Staged<'_, Recorder>)) -> Recorder {
    through_to(Version::H2, Coded::Yes, |client, _| with(client))
}

/// Was a response left uncoded because too many encoders are lent?
fn is_refused(client: &mut Staged<'_, Recorder>) -> bool {
    client.chain().stages().any(|stage| matches!(stage, Stage::Coding(coding) if coding.is_refused))
}

#[test]
fn a_whole_response_leaves_in_one_write() {
    let recorder = through(|client| {
        compose(client, 200, BodyLength::Exact(5));
        commit(client, b"hello", Ending::BARE);
    });
    assert_eq!(recorder.head, ("Content-Encoding: gzip\n".to_owned(), BodyLength::Chunked));
    assert_eq!(recorder.shape(), [(true, true)]);
    assert_eq!(decoded(&recorder.sent()), b"hello");
}

#[test]
fn the_head_waits_for_what_is_flushed_and_what_is_flushed_does_not_wait() {
    let recorder = through(|client| {
        compose(client, 200, BodyLength::Chunked);
        commit(client, b"data: 1\n\n", Ending::More);
        flush(client);
        flush(client);
        write(client, b"data: 2\n\n", Ending::More);
        flush(client);
        write(client, b"", Ending::Last(b"x-sum: 7\r\n"));
    });
    assert_eq!(recorder.shape(), [(true, false), (false, false), (false, true)]);
    let mut first = [0; 9];
    GzDecoder::new(&recorder.calls[0].bytes[..]).read_exact(&mut first).expect("what was flushed");
    assert_eq!(&first, b"data: 1\n\n");
    assert_eq!(decoded(&recorder.sent()), b"data: 1\n\ndata: 2\n\n");
}

#[test]
fn a_head_without_content_yet_is_not_kept() {
    let recorder = through(|client| {
        compose(client, 200, BodyLength::Chunked);
        commit(client, b"", Ending::More);
        flush(client);
    });
    assert_eq!(recorder.shape(), [(true, false)]);
    assert!(recorder.sent().is_empty());
}

#[test]
fn no_write_is_larger_than_a_stage_may_make() {
    let noise: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let recorder = through(|client| {
        compose(client, 200, BodyLength::UntilClose);
        commit(client, &noise[..100], Ending::More);
        noise[100..].chunks(60_000).for_each(|piece| write(client, piece, Ending::More));
        write(client, b"", Ending::BARE);
        assert!(client.sent.is_some_and(|sent| sent > 300_000));
    });
    assert!(recorder.calls.iter().all(|call| call.bytes.len() <= STAGE_OUT_BYTES));
    assert!(decoded(&recorder.sent()) == noise);
}

#[test]
fn to_head_goes_the_head_of_coded_content_and_no_content() {
    let recorder = through(|client| {
        compose(client, 200, BodyLength::None);
        commit(client, b"", Ending::BARE);
        assert_eq!(client.sent, None);
    });
    assert_eq!(recorder.head, ("Content-Encoding: gzip\n".to_owned(), BodyLength::None));
    assert_eq!((recorder.shape(), recorder.sent()), (vec![(true, true)], Vec::new()));
}

#[test]
fn an_interim_head_before_it_changes_nothing() {
    let recorder = through(|client| {
        compose(client, 103, BodyLength::None);
        commit(client, b"", Ending::More);
        compose(client, 200, BodyLength::Exact(2));
        commit(client, b"ok", Ending::BARE);
    });
    assert_eq!(recorder.shape(), [(true, false), (true, true)]);
    assert_eq!(decoded(&recorder.sent()), b"ok");
}

#[test]
fn content_without_a_coding_is_framed_as_the_client_wants_it() {
    let chunked = &b"5\r\nhello\r\n0\r\n\r\n"[..];
    for (version, framed) in [(Version::H11, chunked), (Version::H2, b"hello"), (Version::H10, b"hello")] {
        let recorder = through_to(version, Coded::No, |client, _| {
            compose(client, 200, BodyLength::Chunked);
            commit(client, b"", Ending::More);
            write(client, b"hello", Ending::More);
            flush(client);
            write(client, b"", Ending::BARE);
        });
        assert_eq!(recorder.sent(), framed);
    }
}

#[test]
fn coded_content_is_framed_as_the_client_wants_it() {
    let recorder = through_to(Version::H11, Coded::Yes, |client, _| {
        compose(client, 200, BodyLength::Exact(5));
        commit(client, b"hello", Ending::Last(b"X-Sum: 7\r\n"));
    });
    let sent = recorder.sent();
    let end = sent.windows(2).position(|pair| pair == b"\r\n").expect("a chunk's size");
    let size = usize::from_str_radix(std::str::from_utf8(&sent[..end]).expect("text"), 16).expect("a size");
    assert_eq!(decoded(&sent[end + 2..end + 2 + size]), b"hello");
    assert_eq!(&sent[end + 2 + size..], b"\r\n0\r\nX-Sum: 7\r\n\r\n");
}

#[test]
fn without_an_encoder_to_lend_content_leaves_as_it_is() {
    let recorder = through_to(Version::H2, Coded::Yes, |client, encoders| {
        encoders.count_as_lent(ENCODERS_MAX);
        compose(client, 200, BodyLength::Exact(5));
        commit(client, b"hello", Ending::BARE);
        assert!(is_refused(client) && client.sent.is_none());
        encoders.count_as_lent(0);
        compose(client, 200, BodyLength::Exact(5));
        commit(client, b"hello", Ending::BARE);
    });
    assert_eq!(recorder.calls[0].bytes, b"hello");
    assert_eq!(decoded(&recorder.calls[1].bytes), b"hello");
}

/// A message of gRPC with these bytes.
fn message(bytes: &[u8]) -> Vec<u8> {
    let prefix = u32::try_from(bytes.len()).expect("a short message").to_be_bytes();
    [&[0], &prefix[..], bytes].concat()
}

/// A book with this name.
fn book(name: &str) -> Vec<u8> {
    message(&[&[0x0a, u8::try_from(name.len()).expect("a short name")], name.as_bytes()].concat())
}

/// The stage for a GET of `path` of the sample service.
fn json(path: &[u8]) -> Stage<'static> {
    let transcoder = Rc::new(sample::transcoder(Options::default()));
    let Lookup::Found(route) = transcoder.find(b"GET", path) else { panic!("a path of the sample") };
    Stage::JsonResponse(Box::new(JsonResponse::new(&transcoder, &route, StreamForm::Lines, Method::Get)))
}

#[test]
fn json_is_made_of_grpc_first_and_then_coded() {
    let recorder = through(|client| {
        client.chain().prepend(json(b"/v1/books/x"));
        compose_of(client, 200, "application/grpc", BodyLength::Chunked);
        let (first, second) = (&book("one")[..4], &book("one")[4..]);
        commit(client, first, Ending::More);
        flush(client);
        write(client, second, Ending::More);
        flush(client);
        assert!(!client.begun(), "the head waits for the call's end");
        write(client, b"", Ending::Last(b"grpc-status: 0\r\n"));
    });
    let fields = "Content-Type: application/json\nContent-Encoding: gzip\n";
    assert_eq!(recorder.head, (fields.to_owned(), BodyLength::Chunked));
    assert_eq!(recorder.shape(), [(true, true)]);
    assert_eq!(decoded(&recorder.sent()), b"{\"name\":\"one\"}");
}

#[test]
fn json_that_is_not_coded_has_its_length() {
    let recorder = through_to(Version::H11, Coded::No, |client, _| {
        client.chain().prepend(json(b"/v1/books/x"));
        compose_of(client, 200, "application/grpc", BodyLength::Chunked);
        commit(client, &book("one"), Ending::Last(b"grpc-status: 5\r\ngrpc-message: none\r\n"));
    });
    let error = &b"{\"code\":5,\"message\":\"none\",\"details\":[]}"[..];
    assert_eq!(recorder.head, ("Content-Type: application/json\n".to_owned(), BodyLength::Exact(error.len() as u64)));
    assert_eq!((recorder.shape(), recorder.sent()), (vec![(true, true)], error.to_vec()));
}

#[test]
fn wherever_content_is_split_and_flushed_the_client_reads_the_same() {
    let books: Vec<u8> = (0..40).flat_map(|number| book(&format!("number {number}"))).collect();
    let lines: String = (0..40).map(|number| format!("{{\"name\":\"number {number}\"}}\n")).collect();
    for step in [1, 2, 3, 7, 50, books.len()] {
        let recorder = through(|client| {
            client.chain().prepend(json(b"/v1/shelves/1/watch"));
            compose_of(client, 200, "application/grpc", BodyLength::Chunked);
            commit(client, b"", Ending::More);
            for (number, piece) in books.chunks(step).enumerate() {
                write(client, piece, Ending::More);
                if number % 3 == 0 {
                    flush(client);
                }
            }
            write(client, b"", Ending::Last(b"grpc-status: 0\r\n"));
        });
        assert_eq!(String::from_utf8(decoded(&recorder.sent())).expect("text"), lines, "in steps of {step}");
        assert!(recorder.calls.iter().enumerate().all(|(at, call)| call.with_head == (at == 0)));
    }
}

#[test]
fn a_stream_that_fails_ends_as_json_and_as_a_whole_coding() {
    let recorder = through(|client| {
        client.chain().prepend(json(b"/v1/shelves/1/watch"));
        compose_of(client, 200, "application/grpc", BodyLength::Chunked);
        commit(client, &book("one"), Ending::More);
        let (refused, _) = at_once(client.write(Buf::copied(&[9; 9]), Ending::More, Tick::NEVER));
        assert_eq!(refused.map_err(|fault| fault.kind), Err(FaultKind::UpstreamProtocol));
        let Some(Stage::JsonResponse(response)) = client.chain().first() else { panic!("the first stage") };
        assert!(response.fail(&End::plain(Code::Internal, "not said")));
        assert!(at_once(client.end_with_failure(Tick::NEVER)).is_ok());
    });
    let text = String::from_utf8(decoded(&recorder.sent())).expect("text");
    let [first, last] = &text.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {text}") };
    assert_eq!(*first, "{\"name\":\"one\"}");
    assert!(last.contains("\"code\":13"), "{last}");
}

#[test]
fn messages_pass_untouched_and_uncoded_and_a_missing_status_is_supplied() {
    let recorder = through(|client| {
        client.chain().prepend(Stage::Messages(Messages::new(Side::Upstream, 100)));
        compose_of(client, 200, "application/grpc", BodyLength::Chunked);
        commit(client, &book("one"), Ending::More);
        flush(client);
        write(client, &book("two"), Ending::BARE);
        assert_eq!(client.sent, None);
        let Some(Stage::Messages(messages)) = client.chain().first() else { panic!("the first stage") };
        assert_eq!(messages.supplied().map(|end| end.code), Some(Code::Unknown));
    });
    assert_eq!(recorder.sent(), [book("one"), book("two")].concat());
    assert_eq!(recorder.head, (String::new(), BodyLength::Chunked));
}

#[test]
fn grpc_web_gets_its_trailers_as_a_frame_and_is_not_coded() {
    let recorder = through(|client| {
        let asked = b"application/grpc-web+proto";
        let response = WebResponse::new(Media::Web, web::Coding::Binary, asked, 100);
        client.chain().prepend(Stage::WebResponse(Box::new(response)));
        compose_of(client, 200, "application/grpc", BodyLength::Chunked);
        commit(client, &book("one"), Ending::More);
        flush(client);
        write(client, b"", Ending::Last(b"Grpc-Status: 0\r\n"));
    });
    assert_eq!(recorder.head.0, "Content-Type: application/grpc-web+proto\n");
    assert_eq!(recorder.shape(), [(true, false), (false, true)]);
    let mut decoder = web::Decoder::new(web::Coding::Binary, TrailersFrame::Taken, 100);
    let mut messages = Vec::new();
    decoder.push(&recorder.sent(), &mut messages).expect("sound frames");
    assert_eq!((messages, decoder.trailers()), (book("one"), &b"grpc-status: 0\r\n"[..]));
}

/// Nobody may end a response: what would end it fails.
#[derive(Default)]
struct Shut {
    asked: Vec<u64>,
    status: u16,
}

impl Hold for Shut {
    fn holds(&self) -> bool {
        true
    }

    fn begins(&mut self, status: u16) {
        self.status = status;
    }

    fn note(&mut self, _received: u64, _upstream_us: u64) {}

    async fn release(&mut self, sent: u64) -> Result<(), Fault> {
        self.asked.push(sent);
        Err(Fault::last(FaultKind::NotRecorded))
    }
}

#[test]
fn nothing_that_looks_complete_leaves_before_it_is_released() {
    // The length, the portions, whether the end comes by itself behind them, what left, and the content at the release.
    type Case = (BodyLength, &'static [&'static [u8]], bool, &'static [u8], u64);
    const CASES: &[Case] = &[
        (BodyLength::None, &[b""], false, b"", 0),
        (BodyLength::Exact(5), &[b"hello"], false, b"", 5),
        (BodyLength::Exact(5), &[b"he", b"llo"], false, b"he", 5),
        // The length is reached before the end is said.
        (BodyLength::Exact(5), &[b"he", b"llo"], true, b"he", 5),
        (BodyLength::Chunked, &[b"he", b"llo"], true, b"2\r\nhe\r\n3\r\nllo\r\n", 5),
        (BodyLength::Chunked, &[b"he", b"llo"], false, b"2\r\nhe\r\n", 5),
        (BodyLength::Chunked, &[b"", b"llo"], false, b"", 3),
    ];
    for (length, portions, apart, left, content) in CASES {
        let (mut recorder, pool) = (Recorder::new(Version::H11), BufPool::new());
        let mut client = Staged::new(&mut recorder, &pool, Shut::default());
        compose(&mut client, 404, *length);
        let mut ended = Ok(());
        for (at, portion) in portions.iter().enumerate() {
            let last = at + 1 == portions.len() && !apart;
            let ending = if last { Ending::BARE } else { Ending::More };
            let buf = Buf::copied(portion);
            let sent = match at {
                0 => at_once(client.commit(buf, ending, Tick::NEVER)),
                _ => at_once(client.write(buf, ending, Tick::NEVER)),
            };
            ended = sent.0;
        }
        if ended.is_ok() {
            ended = at_once(client.write(Buf::empty(), Ending::BARE, Tick::NEVER)).0;
        }
        assert_eq!(ended.map_err(|fault| fault.kind), Err(FaultKind::NotRecorded), "{length:?}");
        assert_eq!((&client.hold().asked[..], client.hold().status), (&[*content][..], 404), "{length:?}");
        drop(client);
        assert_eq!(recorder.sent(), *left, "{length:?} {portions:?}");
        assert!(recorder.calls.iter().all(|call| !call.last));
    }
}

#[test]
fn what_ends_with_the_connection_and_a_switch_wait_before_the_head() {
    for (version, upgrades) in [(Version::H10, false), (Version::H11, true)] {
        let (mut recorder, pool) = (Recorder::new(version), BufPool::new());
        let mut client = Staged::new(&mut recorder, &pool, Shut::default());
        let head = ResponseHead { status: if upgrades { 101 } else { 200 }, ..ResponseHead::default() };
        let (length, _) = client.framing(if upgrades { BodyLength::None } else { BodyLength::UntilClose });
        let response = Response { bytes: b"", head: &head };
        client.compose(Outgoing { response, patch: &mut Patch::default(), length, upgrades });
        assert!(at_once(client.commit(Buf::copied(b"x"), Ending::More, Tick::NEVER)).0.is_err());
        assert_eq!(client.hold().status, head.status);
        drop(client);
        assert!(recorder.calls.is_empty());
    }
}
