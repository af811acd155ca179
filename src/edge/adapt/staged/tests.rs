// SPDX-License-Identifier: Apache-2.0
//! What a client gets through a stage, call by call.

use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use flate2::read::GzDecoder;

use crate::base::limits::{ENCODERS_MAX, STAGE_OUT_BYTES};
use crate::base::{Buf, BufPool, Fault, Tick};
use crate::edge::adapt::encoders::Encoders;
use crate::edge::adapt::staged::Staged;
use crate::edge::flow::stream::{BodySink, Client, Ending, Form, Outgoing};
use crate::wire::coding::{ContentCoding, Encoding};
use crate::wire::h1::framing;
use crate::wire::head::{BodyLength, Response, ResponseHead, Version};
use crate::wire::patch::Patch;

const GZIP: Option<Encoding> = Some(Encoding { coding: ContentCoding::Gzip, level: 6 });

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

fn compose(client: &mut impl Client, status: u16, length: BodyLength, encoding: Option<Encoding>) {
    let (length, _) = client.framing(length);
    let head = ResponseHead { status, ..ResponseHead::default() };
    let response = Response { bytes: b"", head: &head };
    client.compose(Outgoing { response, patch: &Patch::default(), length, upgrades: false, encoding });
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
fn through_to(version: Version, with: impl FnOnce(&mut Staged<'_, Recorder>, &Encoders)) -> Recorder {
    let (mut recorder, pool, encoders) = (Recorder::new(version), BufPool::new(), Encoders::default());
    with(&mut Staged::new(&mut recorder, &pool, &encoders), &encoders);
    recorder
}

/// As `through_to`, for a client of HTTP/2.
fn through(with: impl FnOnce(&mut Staged<'_, Recorder>)) -> Recorder {
    through_to(Version::H2, |client, _| with(client))
}

#[test]
fn a_whole_response_leaves_in_one_write() {
    let recorder = through(|client| {
        compose(client, 200, BodyLength::Exact(5), GZIP);
        commit(client, b"hello", Ending::BARE);
    });
    assert_eq!(recorder.head, ("Content-Encoding: gzip\n".to_owned(), BodyLength::Chunked));
    assert_eq!(recorder.shape(), [(true, true)]);
    assert_eq!(decoded(&recorder.sent()), b"hello");
}

#[test]
fn the_head_waits_for_what_is_flushed_and_what_is_flushed_does_not_wait() {
    let recorder = through(|client| {
        compose(client, 200, BodyLength::Chunked, GZIP);
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
        compose(client, 200, BodyLength::Chunked, GZIP);
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
        compose(client, 200, BodyLength::UntilClose, GZIP);
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
        compose(client, 200, BodyLength::None, GZIP);
        commit(client, b"", Ending::BARE);
        assert_eq!(client.sent, None);
    });
    assert_eq!(recorder.head, ("Content-Encoding: gzip\n".to_owned(), BodyLength::None));
    assert_eq!((recorder.shape(), recorder.sent()), (vec![(true, true)], Vec::new()));
}

#[test]
fn an_interim_head_before_it_changes_nothing() {
    let recorder = through(|client| {
        compose(client, 103, BodyLength::None, None);
        commit(client, b"", Ending::More);
        compose(client, 200, BodyLength::Exact(2), GZIP);
        commit(client, b"ok", Ending::BARE);
    });
    assert_eq!(recorder.shape(), [(true, false), (true, true)]);
    assert_eq!(decoded(&recorder.sent()), b"ok");
}

#[test]
fn content_without_a_coding_is_framed_as_the_client_wants_it() {
    let chunked = &b"5\r\nhello\r\n0\r\n\r\n"[..];
    for (version, framed) in [(Version::H11, chunked), (Version::H2, b"hello"), (Version::H10, b"hello")] {
        let recorder = through_to(version, |client, _| {
            compose(client, 200, BodyLength::Chunked, None);
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
    let recorder = through_to(Version::H11, |client, _| {
        compose(client, 200, BodyLength::Exact(5), GZIP);
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
    let recorder = through_to(Version::H2, |client, encoders| {
        encoders.count_as_lent(ENCODERS_MAX);
        compose(client, 200, BodyLength::Exact(5), GZIP);
        commit(client, b"hello", Ending::BARE);
        assert!(client.is_refused && client.sent.is_none());
        encoders.count_as_lent(0);
        compose(client, 200, BodyLength::Exact(5), GZIP);
        commit(client, b"hello", Ending::BARE);
    });
    assert_eq!(recorder.calls[0].bytes, b"hello");
    assert_eq!(decoded(&recorder.calls[1].bytes), b"hello");
}
