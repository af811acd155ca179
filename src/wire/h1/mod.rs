// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 messages (RFC 9112): heads, body framing, chunks, and writing them.
//!
//! ```text
//!   bytes ── scan ──► request / response ──► framing ──► body (chunk)
//!                          │ refused?                       │ payload, trailers
//!                          └─► strict: which fault          ▼
//!   bytes ◄── write ◄── head + patch + BodyLength ◄── what the gateway decided
//! ```
//! `lines` is the fast parser. `strict` parses byte by byte and reports the errors; both must accept the same heads. An
//! accepted head has exactly one reading: every line ends in CRLF, starts where the one before
//! ended, and has one colon directly behind its name. Tests compare them with `httparse`
//! (`docs/decisions/0005-own-head-reader.md`).

pub mod body;
pub mod chunk;
pub mod framing;
pub mod line_feeds;
pub mod request;
pub mod response;
pub mod scan;
pub mod tolerance;
pub mod write;

mod lines;
pub(crate) mod strict;

use crate::base::{FaultKind, Span, limits};
use crate::wire::head::RequestHead;

pub use scan::HeadScan;
pub use tolerance::{Deviation, Tolerance};

/// What happens to UTF-8 in a request target, which RFC 3986 does not allow as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RawUtf8 {
    /// It is percent-encoded before anything looks at it; other bytes above ASCII are refused.
    #[default]
    Encode,
    /// It is refused.
    Reject,
}

/// Caps on a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Bytes of the whole head with its empty line, at most `limits::HEAD_BYTES_MAX`; above it 431 (or 502).
    pub head_bytes: usize,
    /// Bytes of the request line without its CRLF; above it 414. Not used for responses.
    pub request_line_bytes: usize,
    /// Field lines, at most `limits::FIELDS_MAX`; above it 431 (or 502).
    pub fields: usize,
    /// What bytes above ASCII in a request target are. Not used for responses.
    pub raw_utf8: RawUtf8,
    /// What is accepted in responses against RFC 9112.
    pub tolerance: Tolerance,
}

impl Caps {
    /// What a head of another version is refused for. Its request line is as long as it would be in HTTP/1.1. The bytes
    /// of its fields have a cap that its own version counts by (RFC 9113 section 6.5.2).
    pub fn exceeded(&self, head: &RequestHead) -> Option<FaultKind> {
        let len = |span: Span| usize::from(span.end - span.start);
        let line = len(head.method_text) + len(head.target) + b"  HTTP/1.1".len();
        if line > self.request_line_bytes {
            return Some(FaultKind::TargetTooLong);
        }
        (head.fields.list.len() > self.fields).then_some(FaultKind::HeadTooLarge)
    }
}

impl Default for Caps {
    fn default() -> Caps {
        Caps {
            head_bytes: limits::HEAD_BYTES,
            request_line_bytes: limits::REQUEST_LINE_BYTES,
            fields: limits::FIELDS_MAX,
            raw_utf8: RawUtf8::Encode,
            tolerance: Tolerance::NONE,
        }
    }
}

/// How far a head was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Nothing wrong so far; more bytes are needed.
    Partial,
    /// The head is complete; its `len` says where the body starts.
    Complete,
}
