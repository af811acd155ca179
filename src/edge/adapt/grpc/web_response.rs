// SPDX-License-Identifier: Apache-2.0
//! The stage that makes gRPC-Web of a response of gRPC: its frames, its head, and what a page of another origin may
//! read of it. A response that is no gRPC stays as it is.

use std::borrow::Cow;

use crate::base::{Fault, FaultKind};
use crate::edge::adapt::grpc::messages::end_of;
use crate::edge::adapt::grpc::owed_status::OwedStatus;
use crate::edge::adapt::transform::{Transform, Treatment};
use crate::edge::flow::stream::Outgoing;
use crate::wire::coding::encoder::Step;
use crate::wire::field::Known;
use crate::wire::grpc::web::{self, Coding};
use crate::wire::grpc::{End, Media, Offence, status};
use crate::wire::head::BodyLength;
use crate::wire::patch::Patch;

/// A response as gRPC-Web.
pub(crate) struct WebResponse {
    encoder: web::Encoder,
    coding: Coding,
    content_type: Vec<u8>,
    status: OwedStatus,
    offence: Option<Offence>,
    /// There is content, and it is made into frames.
    framed: bool,
    /// What was made so far ends with a message.
    between: bool,
    out: Vec<u8>,
}

impl WebResponse {
    /// For a client that sent this `content-type`. The response's messages have at most `bytes_max` bytes each.
    pub(crate) fn new(media: Media, coding: Coding, asked: &[u8], bytes_max: u32) -> WebResponse {
        let mut content_type = Vec::new();
        media.write(asked, &mut content_type);
        WebResponse {
            encoder: web::Encoder::new(coding, bytes_max),
            coding,
            content_type,
            status: OwedStatus::default(),
            offence: None,
            framed: false,
            between: true,
            out: Vec::new(),
        }
    }

    /// How the call ends because of an offence in the response.
    pub(crate) fn end(&self) -> Option<End<'static>> {
        self.offence.map(end_of)
    }

    /// The status that the gateway sent, because the server ended without one.
    pub(crate) fn supplied(&self) -> Option<End<'static>> {
        self.status.supplied()
    }

    /// Makes the trailers of a call that failed at the gateway. False where the client would take them for payload.
    pub(crate) fn fail(&mut self, end: &End<'_>) -> bool {
        let mut lines = Vec::new();
        end.write_lines(&mut lines);
        // The encoder may have seen what was not made.
        let made = web::Encoder::new(self.coding, 0).trailers(&lines, &mut self.out);
        self.framed && self.between && made.is_ok()
    }

    fn refuse(&mut self, made: usize, offence: Offence) -> Fault {
        self.out.truncate(made);
        self.offence = Some(offence);
        Fault::last(FaultKind::UpstreamProtocol)
    }
}

impl Transform for WebResponse {
    fn head(&mut self, outgoing: &mut Outgoing<'_>) -> Treatment {
        self.status.head(outgoing);
        self.status.add_to_head(outgoing);
        let content_type = outgoing.response.value(Known::ContentType).unwrap_or_default();
        let is_grpc = Media::of(content_type) == Some(Media::Grpc);
        self.framed = is_grpc && outgoing.length != BodyLength::None;
        if is_grpc {
            let fields = &outgoing.response.head.fields;
            outgoing.patch.set(fields, outgoing.response.bytes, b"Content-Type", &self.content_type);
            expose(outgoing.patch);
        }
        if !self.framed {
            return Treatment::Skips;
        }
        outgoing.length = BodyLength::Chunked;
        Treatment::Recodes
    }

    fn push(&mut self, content: &[u8]) -> Result<Step, Fault> {
        let made = self.out.len();
        self.encoder.push(content, &mut self.out).map_err(|offence| self.refuse(made, offence))?;
        self.between = self.encoder.is_between();
        Ok(Step::took(content))
    }

    fn finish(&mut self, trailers: &mut Cow<'_, [u8]>) -> Result<Step, Fault> {
        self.status.add_to_trailers(trailers);
        // Names of trailers are in any case in HTTP/1, and in lower case in gRPC-Web.
        let mut lines = Vec::with_capacity(trailers.len());
        status::lines(trailers).for_each(|(name, value)| web::write_line(name, value, &mut lines));
        let made = self.out.len();
        self.encoder.trailers(&lines, &mut self.out).map_err(|offence| self.refuse(made, offence))?;
        *trailers = Cow::Borrowed(b"");
        Ok(Step::ALL)
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}

/// Where a policy lets a page of another origin read the answer, it can read how the call ended, too.
pub(crate) fn expose(patch: &mut Patch) {
    let named = |wanted: &[u8]| {
        let mut added = patch.added().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        added.next().map(|(_, value)| value.to_vec())
    };
    if named(b"Access-Control-Allow-Origin").is_none() {
        return;
    }
    let mut exposed = named(EXPOSE).unwrap_or_default();
    if !exposed.is_empty() {
        exposed.extend_from_slice(b", ");
    }
    exposed.extend_from_slice(b"grpc-status, grpc-message, grpc-status-details-bin");
    patch.set(&Default::default(), b"", EXPOSE, &exposed);
}

const EXPOSE: &[u8] = b"Access-Control-Expose-Headers";
