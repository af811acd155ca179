// SPDX-License-Identifier: Apache-2.0
//! A server's answer as JSON: one text, whose head waits for it, or a stream of texts.

use std::rc::Rc;

use crate::edge::adapt::grpc::call;
use crate::edge::flow::stream::{Client, Ending, Form, Outgoing};
use crate::wire::field::Known;
use crate::wire::grpc::json::{Flow, Refusal, Responses, Route, StreamForm, Transcoder};
use crate::wire::grpc::{Code, End, Media};
use crate::wire::head::{BodyLength, Method, Response, ResponseHead};
use crate::wire::patch::Patch;

/// Fields of the server's head that are about gRPC.
const OURS: [&[u8]; 7] = [
    b"content-type",
    b"content-length",
    b"grpc-status",
    b"grpc-message",
    b"grpc-status-details-bin",
    b"grpc-encoding",
    b"grpc-accept-encoding",
];

/// An answer in the making.
pub(crate) struct JsonAnswer {
    transcoder: Rc<Transcoder>,
    route: Route,
    stream: Option<Responses>,
    /// Of the request, since to HEAD no body is sent.
    method: Method,
    /// The server's head, until ours is made of it.
    head: Option<Head>,
    /// The one message, as far as it has come.
    body: Vec<u8>,
    /// The head was sent.
    begun: bool,
    next: Option<Sends>,
    status: u16,
    content_type: String,
    length: BodyLength,
}

/// A head that is kept until it can be sent.
struct Head {
    bytes: Vec<u8>,
    head: ResponseHead,
    patch: Patch,
}

/// What is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sends {
    /// The head goes first.
    pub head: bool,
    /// Nothing follows.
    pub last: bool,
}

impl JsonAnswer {
    /// For a request that matched `route`; a stream is written in `form`.
    pub(crate) fn new(transcoder: &Rc<Transcoder>, route: &Route, form: StreamForm, method: Method) -> JsonAnswer {
        let stream = match transcoder.call(route).responses {
            Flow::One => None,
            Flow::Many => Some(Responses::new(transcoder, route, form)),
        };
        JsonAnswer {
            transcoder: transcoder.clone(),
            route: route.clone(),
            stream,
            method,
            head: None,
            body: Vec::new(),
            begun: false,
            next: None,
            status: 200,
            content_type: String::new(),
            length: BodyLength::None,
        }
    }

    /// The status that was sent, once it was.
    pub(crate) fn sent_status(&self) -> Option<u16> {
        self.begun.then_some(self.status)
    }

    /// The server's head came.
    pub(crate) fn has_head(&self) -> bool {
        self.head.is_some() || self.begun
    }

    /// Keeps the server's head.
    pub(crate) fn head(&mut self, outgoing: Outgoing<'_>) {
        self.head = Some(Head {
            bytes: outgoing.response.bytes.to_vec(),
            head: outgoing.response.head.clone(),
            patch: outgoing.patch.clone(),
        });
    }

    /// Takes content of the server. What is to be sent is appended to `out`; `step` says whether that is so.
    pub(crate) fn push(&mut self, bytes: &[u8], ending: Ending<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if let Some(status) = self.foreign() {
            if ending != Ending::More {
                self.whole_error(&End::plain(Code::of_upstream(status), "the service gave no valid answer"), out);
            }
            return Ok(());
        }
        match &mut self.stream {
            None => {
                // A message that is too large is refused when its prefix is read, so this cannot grow without bound.
                self.body.extend_from_slice(bytes);
                self.bounded()?;
            }
            Some(stream) => stream.push(&self.transcoder, bytes, out).map_err(Refusal::of_server)?,
        }
        let trailers = match ending {
            Ending::More => {
                if !out.is_empty() {
                    self.stream_on(Ending::More);
                }
                return Ok(());
            }
            Ending::Last(trailers) => trailers,
        };
        let of_head = self.head.as_ref().map(|head| (head.head.fields.clone(), head.bytes.clone()));
        let in_head = of_head.as_ref().and_then(|(fields, bytes)| End::read(call::fields(fields, bytes)));
        let missing = End::plain(Code::Unknown, "the service did not say how the call ended");
        let end = End::read_lines(trailers).or(in_head).unwrap_or(missing);
        self.end(&end, out);
        Ok(())
    }

    fn end(&mut self, end: &End<'_>, out: &mut Vec<u8>) {
        match &mut self.stream {
            None => {
                let answer = self.transcoder.answer(&self.route, &self.body, end, out);
                self.whole(answer.status, answer.content_type.into_owned(), out.len());
            }
            Some(stream) if stream.is_empty() && !self.begun && end.code != Code::Ok => self.whole_error(end, out),
            Some(stream) => {
                stream.finish(&self.transcoder, end, out);
                self.stream_on(Ending::BARE);
            }
        }
    }

    /// The call failed on our side: an error in the place of the answer, or as its last element.
    pub(crate) fn fail(&mut self, refusal: Option<Refusal>, end: &End<'_>, out: &mut Vec<u8>) {
        if !self.begun {
            match refusal {
                Some(refusal) => {
                    let answer = refusal.answer(out);
                    self.whole(answer.status, answer.content_type.into_owned(), out.len());
                }
                None => self.whole_error(end, out),
            }
            return;
        }
        let Some(stream) = &mut self.stream else { return };
        match refusal {
            Some(refusal) => stream.break_off(&self.transcoder, &refusal, out),
            None => stream.finish(&self.transcoder, end, out),
        }
        self.stream_on(Ending::BARE);
    }

    /// What is to be sent now, once.
    pub(crate) fn step(&mut self) -> Option<Sends> {
        let sends = self.next.take();
        self.begun |= sends.is_some();
        sends
    }

    /// Composes our head from the server's.
    pub(crate) fn compose<K: Client>(&mut self, client: &mut K, form: &mut Form) {
        let (length, client_form) = client.framing(self.length);
        *form = if length == BodyLength::None { Form::Plain } else { client_form };
        let Some(Head { bytes, mut head, mut patch }) = self.head.take() else { return };
        for name in OURS {
            patch.remove(&head.fields, &bytes, name);
        }
        patch.add(b"Content-Type", self.content_type.as_bytes());
        (head.status, head.body) = (self.status, length);
        let response = Response { bytes: &bytes, head: &head };
        client.compose(Outgoing { response, patch: &patch, length, upgrades: false, encoding: None });
    }

    /// The status of an answer that is none of gRPC.
    fn foreign(&self) -> Option<u16> {
        let Head { head, bytes, .. } = self.head.as_ref()?;
        let content_type = head.fields.value(bytes, Known::ContentType).unwrap_or_default();
        let framed = head.status == 200 && Media::of(content_type) == Some(Media::Grpc);
        (!framed).then_some(head.status)
    }

    fn bounded(&self) -> Result<(), Refusal> {
        let most = self.transcoder.response_bytes_max() as usize;
        let within = self.body.len() <= most.saturating_add(crate::wire::grpc::message::PREFIX_BYTES);
        if within { Ok(()) } else { Err(Refusal::internal("the server's message is larger than allowed")) }
    }

    fn whole_error(&mut self, end: &End<'_>, out: &mut Vec<u8>) {
        let answer = self.transcoder.error(end, out);
        self.whole(answer.status, answer.content_type.into_owned(), out.len());
    }

    /// The answer is what was made, and nothing follows.
    fn whole(&mut self, status: u16, content_type: String, bytes: usize) {
        let bodiless = bytes == 0 || self.method == Method::Head;
        (self.status, self.content_type) = (status, content_type);
        self.length = if bodiless { BodyLength::None } else { BodyLength::Exact(bytes as u64) };
        self.next = Some(Sends { head: true, last: true });
    }

    /// What was made is the next part of a stream.
    fn stream_on(&mut self, ending: Ending<'_>) {
        if !self.begun {
            self.content_type = self.stream.as_ref().map_or("", |stream| stream.content_type()).to_owned();
            self.length = BodyLength::Chunked;
        }
        self.next = Some(Sends { head: !self.begun, last: ending != Ending::More });
    }

    /// No body may follow the head.
    pub(crate) fn is_bodiless(&self) -> bool {
        self.length == BodyLength::None
    }
}
