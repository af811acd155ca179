// SPDX-License-Identifier: Apache-2.0
//! Hot. The parser's state: which part of a frame the next bytes belong to.

use crate::wire::h2::frame::FrameHeader;
use crate::wire::h2::stream::Key;

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// The client's preface.
    Preface,
    /// A frame header.
    Header,
    /// The payload of any frame but DATA.
    Payload(FrameHeader),
    /// The length of the padding of DATA.
    Padding(FrameHeader, Key),
    /// DATA.
    Content(Content),
    /// This many bytes that mean nothing.
    Skip(u32),
}

/// The rest of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    pub key: Key,
    /// Content to come.
    pub left: u32,
    /// Padding behind it.
    pub padding: u32,
    /// The frame ends its stream.
    pub end: bool,
}
