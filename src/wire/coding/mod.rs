// SPDX-License-Identifier: Apache-2.0
//! Content codings (RFC 9110 section 8.4): which one a client prefers, which responses may be coded, what that changes
//! in their heads, and the encoders.
//!
//! Nothing here knows a connection. A coding is added by a variant of `ContentCoding` and of the codec in `encoder`;
//! negotiation and the rules for heads are the same for all.

pub(crate) mod accept;
pub(crate) mod encoder;
pub(crate) mod media;
pub(crate) mod offer;
pub(crate) mod response;

pub(crate) use accept::preferred;
pub(crate) use encoder::{EncodeError, Encoder};
pub(crate) use media::{MediaRange, MediaRanges};
pub(crate) use offer::{Offer, Vary, Wanted};

/// A content coding that the gateway can apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// `gzip` (RFC 1952), which old clients call `x-gzip` (RFC 9110 section 8.4.1.3).
    Gzip,
}

impl ContentCoding {
    /// Every one.
    pub const ALL: [ContentCoding; 1] = [ContentCoding::Gzip];

    /// Its name in `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            ContentCoding::Gzip => "gzip",
        }
    }

    /// The coding of that name, in any case.
    pub fn named(name: &[u8]) -> Option<ContentCoding> {
        if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(ContentCoding::Gzip);
        }
        None
    }
}

/// With which coding, and how hard it tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// The coding.
    pub coding: ContentCoding,
    /// From 1 (fast) to 9 (small).
    pub level: u8,
}
