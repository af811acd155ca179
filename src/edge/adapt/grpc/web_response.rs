// SPDX-License-Identifier: Apache-2.0
//! A server's answer as gRPC-Web: its head, and what a page of another origin may read of it.

use crate::edge::flow::stream::Outgoing;
use crate::wire::grpc::web::{self, Coding};
use crate::wire::grpc::{End, Media};
use crate::wire::patch::Patch;

/// An answer as gRPC-Web.
pub(crate) struct WebAnswer {
    /// Makes the frames.
    pub encoder: web::Encoder,
    /// What was sent so far ends with a message.
    pub between: bool,
    coding: Coding,
    content_type: Vec<u8>,
    /// The answer is one of gRPC, and no page of something else.
    pub framed: bool,
}

impl WebAnswer {
    /// For a caller that sent this `content-type`, whose answer's messages have at most `bytes_max` bytes each.
    pub(crate) fn new(media: Media, coding: Coding, asked: &[u8], bytes_max: u32) -> WebAnswer {
        let mut content_type = Vec::new();
        media.write(asked, &mut content_type);
        let encoder = web::Encoder::new(coding, bytes_max);
        WebAnswer { encoder, between: true, coding, content_type, framed: false }
    }

    /// Appends trailers that tell of a failure of ours. False where the client would take them for payload.
    pub(crate) fn fail(&self, end: &End<'_>, out: &mut Vec<u8>) -> bool {
        let mut lines = Vec::new();
        end.write_lines(&mut lines);
        // The encoder may have seen what was never sent.
        let told = web::Encoder::new(self.coding, 0).trailers(&lines, out);
        self.framed && self.between && told.is_ok()
    }

    /// The changes to a head of gRPC.
    pub(crate) fn patch(&self, outgoing: &Outgoing<'_>) -> Patch {
        let mut patch = outgoing.patch.clone();
        let fields = &outgoing.response.head.fields;
        patch.set(fields, outgoing.response.bytes, b"Content-Type", &self.content_type);
        expose(&mut patch);
        patch
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
