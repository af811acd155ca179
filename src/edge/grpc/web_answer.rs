//! A server's answer as gRPC-Web: its head, and what a page of another origin may read of it.

use crate::edge::stream::Outgoing;
use crate::wire::grpc::{Media, web};
use crate::wire::patch::Patch;

/// An answer as gRPC-Web.
pub struct WebAnswer {
    /// Of the request.
    pub media: Media,
    /// Makes the frames.
    pub encoder: web::Encoder,
    /// The answer is one of gRPC, and no page of something else.
    pub framed: bool,
}

impl WebAnswer {
    /// For a caller of this kind.
    pub fn new(media: Media, encoder: web::Encoder) -> WebAnswer {
        WebAnswer { media, encoder, framed: false }
    }

    /// The changes to a head of gRPC with this `content-type`.
    pub fn patch(&self, outgoing: &Outgoing<'_>, content_type: &[u8]) -> Patch {
        let mut patch = outgoing.patch.clone();
        let mut value = Vec::new();
        self.media.write(content_type, &mut value);
        patch.set(&outgoing.response.head.fields, outgoing.response.bytes, b"Content-Type", &value);
        expose(&mut patch);
        patch
    }
}

/// Where a policy lets a page of another origin read the answer, it can read how the call ended, too.
pub fn expose(patch: &mut Patch) {
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
