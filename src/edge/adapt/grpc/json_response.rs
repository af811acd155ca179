// SPDX-License-Identifier: Apache-2.0
//! The stage that makes JSON of a response of gRPC: one text, whose head waits for it, or a stream of texts.

use std::borrow::Cow;
use std::rc::Rc;

use crate::base::{Fault, FaultKind};
use crate::edge::adapt::grpc::call;
use crate::edge::adapt::transform::{HeldHead, Transform, Treatment};
use crate::edge::flow::stream::Outgoing;
use crate::wire::coding::encoder::Step;
use crate::wire::field::Known;
use crate::wire::grpc::json::{Flow, Refusal, Responses, Route, StreamForm, Transcoder};
use crate::wire::grpc::{Code, End, Media};
use crate::wire::head::{BodyLength, Method};

/// Fields of the server's head that are about gRPC.
const OF_GRPC: [&[u8]; 7] = [
    b"content-type",
    b"content-length",
    b"grpc-status",
    b"grpc-message",
    b"grpc-status-details-bin",
    b"grpc-encoding",
    b"grpc-accept-encoding",
];

/// A response as JSON.
pub(crate) struct JsonResponse {
    transcoder: Rc<Transcoder>,
    route: Route,
    stream: Option<Responses>,
    /// Of the request, since to HEAD no body is sent.
    method: Method,
    /// The server's head, until `release` gives it away.
    server_head: Option<Box<HeldHead>>,
    /// The one message, as far as it has come.
    message: Vec<u8>,
    /// What the head says, once that is known.
    head: Option<JsonHead>,
    /// Why the response cannot be JSON, or why the request could not be gRPC.
    pub refusal: Option<Refusal>,
    out: Vec<u8>,
}

/// The head of a response in JSON.
#[derive(Clone, Debug)]
struct JsonHead {
    status: u16,
    content_type: Cow<'static, str>,
    length: BodyLength,
}

impl JsonResponse {
    /// For a request that matched `route`; a stream is written in `form`.
    pub(crate) fn new(transcoder: &Rc<Transcoder>, route: &Route, form: StreamForm, method: Method) -> JsonResponse {
        let stream = match transcoder.call(route).responses {
            Flow::One => None,
            Flow::Many => Some(Responses::new(transcoder, route, form)),
        };
        JsonResponse {
            transcoder: transcoder.clone(),
            route: route.clone(),
            stream,
            method,
            server_head: None,
            message: Vec::new(),
            head: None,
            refusal: None,
            out: Vec::new(),
        }
    }

    /// The status for the client, once it is known.
    pub(crate) fn status(&self) -> Option<u16> {
        self.head.as_ref().map(|head| head.status)
    }

    /// The server's head came.
    pub(crate) fn has_begun(&self) -> bool {
        self.server_head.is_some() || self.head.is_some()
    }

    /// The call failed at the gateway: makes an error in the place of the response, or as its last element. False where
    /// a text has been sent in part.
    pub(crate) fn fail(&mut self, end: &End<'_>) -> bool {
        let refusal = self.refusal.take();
        if self.head.is_none() {
            match refusal {
                Some(refusal) => {
                    let head = refusal.answer(&mut self.out);
                    self.whole(head.status, head.content_type);
                }
                None => self.whole_error(end),
            }
            return true;
        }
        let Some(stream) = &mut self.stream else { return false };
        match refusal {
            Some(refusal) => stream.break_off(&self.transcoder, &refusal, &mut self.out),
            None => stream.finish(&self.transcoder, end, &mut self.out),
        }
        true
    }

    /// The status of a response that is no gRPC.
    fn foreign(&self) -> Option<u16> {
        let HeldHead { head, bytes, .. } = self.server_head.as_deref()?;
        let content_type = head.fields.value(bytes, Known::ContentType).unwrap_or_default();
        let framed = head.status == 200 && Media::of(content_type) == Some(Media::Grpc);
        (!framed).then_some(head.status)
    }

    fn end(&mut self, end: &End<'_>) {
        match &mut self.stream {
            None => {
                let head = self.transcoder.answer(&self.route, &self.message, end, &mut self.out);
                self.whole(head.status, head.content_type);
            }
            Some(stream) if stream.is_empty() && self.head.is_none() && end.code != Code::Ok => self.whole_error(end),
            Some(stream) => {
                stream.finish(&self.transcoder, end, &mut self.out);
                self.streams();
            }
        }
    }

    fn whole_error(&mut self, end: &End<'_>) {
        let head = self.transcoder.error(end, &mut self.out);
        self.whole(head.status, head.content_type);
    }

    /// The response is what was made, and nothing follows.
    fn whole(&mut self, status: u16, content_type: Cow<'static, str>) {
        let bodiless = self.out.is_empty() || self.method == Method::Head;
        let length = if bodiless { BodyLength::None } else { BodyLength::Exact(self.out.len() as u64) };
        self.head = Some(JsonHead { status, content_type, length });
    }

    /// What was made is a part of a stream.
    fn streams(&mut self) {
        let Some(stream) = self.stream.as_ref().filter(|_| self.head.is_none()) else { return };
        let content_type = Cow::Owned(stream.content_type().to_owned());
        self.head = Some(JsonHead { status: 200, content_type, length: BodyLength::Chunked });
    }

    /// Takes content of the server.
    fn take(&mut self, content: &[u8]) -> Result<(), Refusal> {
        let Some(stream) = &mut self.stream else {
            // A message that is too large is refused when its prefix is read, so this cannot grow without bound.
            self.message.extend_from_slice(content);
            let most = self.transcoder.response_bytes_max() as usize;
            let within = self.message.len() <= most.saturating_add(crate::wire::grpc::message::PREFIX_BYTES);
            return if within { Ok(()) } else { Err(Refusal::internal("the server's message is larger than allowed")) };
        };
        stream.push(&self.transcoder, content, &mut self.out).map_err(Refusal::of_server)?;
        if !self.out.is_empty() {
            self.streams();
        }
        Ok(())
    }
}

impl Transform for JsonResponse {
    fn head(&mut self, outgoing: &mut Outgoing<'_>) -> Treatment {
        self.server_head = Some(Box::new(HeldHead::of(outgoing)));
        Treatment::Holds
    }

    fn push(&mut self, content: &[u8]) -> Result<Step, Fault> {
        if self.foreign().is_none() {
            let made = self.out.len();
            self.take(content).map_err(|refusal| {
                self.out.truncate(made);
                self.refusal = Some(refusal);
                Fault::last(FaultKind::UpstreamProtocol)
            })?;
        }
        Ok(Step::took(content))
    }

    fn finish(&mut self, trailers: &mut Cow<'_, [u8]>) -> Result<Step, Fault> {
        let lines = std::mem::replace(trailers, Cow::Borrowed(b""));
        if let Some(status) = self.foreign() {
            self.whole_error(&End::plain(Code::of_upstream(status), "the service gave no valid answer"));
            return Ok(Step::ALL);
        }
        let server_head = self.server_head.take();
        let of_head = server_head.as_ref().map(|head| call::fields(&head.head.fields, &head.bytes));
        let missing = End::plain(Code::Unknown, "the service did not say how the call ended");
        let end = End::read_lines(&lines).or_else(|| of_head.and_then(End::read)).unwrap_or(missing);
        self.end(&end);
        self.server_head = server_head;
        Ok(Step::ALL)
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn release(&mut self) -> Option<Box<HeldHead>> {
        let JsonHead { status, content_type, length } = self.head.as_ref()?;
        let mut held = self.server_head.take()?;
        let HeldHead { bytes, head, patch, .. } = &mut *held;
        for name in OF_GRPC {
            patch.remove(&head.fields, bytes, name);
        }
        patch.add(b"Content-Type", content_type.as_bytes());
        (head.status, head.body, held.length) = (*status, *length, *length);
        Some(held)
    }
}
