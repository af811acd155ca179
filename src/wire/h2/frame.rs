// SPDX-License-Identifier: Apache-2.0
//! Hot. HTTP/2 frames (RFC 9113 sections 4 and 6): the nine bytes in front, types, flags, error codes, and the frames
//! that the connection itself writes.
//!
//! Nothing here depends on the state of a connection; `connection` decides what a received frame means.

/// What a client sends before its first frame (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame header.
pub const HEADER_BYTES: usize = 9;

/// Largest payload that we take, the initial SETTINGS_MAX_FRAME_SIZE, which we never raise: what is gathered of one
/// frame stays small. Above it FRAME_SIZE_ERROR.
pub const PAYLOAD_MAX: usize = 16_384;

/// Largest stream identifier, and largest window.
pub const MAX_31: u32 = 0x7fff_ffff;

/// Frame types (RFC 9113 section 6, RFC 9218 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DATA
    Data,
    /// HEADERS
    Headers,
    /// PRIORITY, deprecated
    Priority,
    /// RST_STREAM
    RstStream,
    /// SETTINGS
    Settings,
    /// PUSH_PROMISE
    PushPromise,
    /// PING
    Ping,
    /// GOAWAY
    GoAway,
    /// WINDOW_UPDATE
    WindowUpdate,
    /// CONTINUATION
    Continuation,
    /// PRIORITY_UPDATE
    PriorityUpdate,
    /// Any other; ignored (RFC 9113 section 4.1).
    Unknown,
}

impl Kind {
    const fn of(byte: u8) -> Kind {
        match byte {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::RstStream,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            16 => Kind::PriorityUpdate,
            _ => Kind::Unknown,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Kind::Data => 0,
            Kind::Headers => 1,
            Kind::Priority => 2,
            Kind::RstStream => 3,
            Kind::Settings => 4,
            Kind::PushPromise => 5,
            Kind::Ping => 6,
            Kind::GoAway => 7,
            Kind::WindowUpdate => 8,
            Kind::Continuation => 9,
            Kind::PriorityUpdate => 16,
            Kind::Unknown => 255,
        }
    }
}

/// ACK, of SETTINGS and PING.
pub const ACK: u8 = 0x1;
/// END_STREAM, of DATA and HEADERS.
pub const END_STREAM: u8 = 0x1;
/// END_HEADERS, of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 0x4;
/// PADDED, of DATA and HEADERS.
pub const PADDED: u8 = 0x8;
/// PRIORITY, of HEADERS.
pub const PRIORITY: u8 = 0x20;

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of payload.
    pub len: u32,
    /// The type.
    pub kind: Kind,
    /// Flags, with those that the type does not define.
    pub flags: u8,
    /// The stream, zero for the connection.
    pub stream: u32,
}

impl FrameHeader {
    /// Reads the nine bytes. The reserved bit is ignored (RFC 9113 section 4.1).
    pub const fn parse(bytes: [u8; HEADER_BYTES]) -> FrameHeader {
        let [len_2, len_1, len_0, kind, flags, stream_3, stream_2, stream_1, stream_0] = bytes;
        FrameHeader {
            len: u32::from_be_bytes([0, len_2, len_1, len_0]),
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes([stream_3, stream_2, stream_1, stream_0]) & MAX_31,
        }
    }

    /// The nine bytes.
    pub const fn bytes(self) -> [u8; HEADER_BYTES] {
        let [_, len_2, len_1, len_0] = self.len.to_be_bytes();
        let [stream_3, stream_2, stream_1, stream_0] = self.stream.to_be_bytes();
        [len_2, len_1, len_0, self.kind.byte(), self.flags, stream_3, stream_2, stream_1, stream_0]
    }

    /// Is the flag set?
    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Error codes (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// NO_ERROR
    NoError,
    /// PROTOCOL_ERROR
    Protocol,
    /// INTERNAL_ERROR
    Internal,
    /// FLOW_CONTROL_ERROR
    FlowControl,
    /// SETTINGS_TIMEOUT
    SettingsTimeout,
    /// STREAM_CLOSED
    StreamClosed,
    /// FRAME_SIZE_ERROR
    FrameSize,
    /// REFUSED_STREAM: certainly not processed.
    RefusedStream,
    /// CANCEL
    Cancel,
    /// COMPRESSION_ERROR
    Compression,
    /// CONNECT_ERROR
    Connect,
    /// ENHANCE_YOUR_CALM
    EnhanceYourCalm,
    /// INADEQUATE_SECURITY
    InadequateSecurity,
    /// HTTP_1_1_REQUIRED
    Http11Required,
    /// A code that no document gives a meaning; like INTERNAL_ERROR.
    Other(u32),
}

impl ErrorCode {
    /// The code's number.
    pub const fn number(self) -> u32 {
        match self {
            ErrorCode::NoError => 0,
            ErrorCode::Protocol => 1,
            ErrorCode::Internal => 2,
            ErrorCode::FlowControl => 3,
            ErrorCode::SettingsTimeout => 4,
            ErrorCode::StreamClosed => 5,
            ErrorCode::FrameSize => 6,
            ErrorCode::RefusedStream => 7,
            ErrorCode::Cancel => 8,
            ErrorCode::Compression => 9,
            ErrorCode::Connect => 10,
            ErrorCode::EnhanceYourCalm => 11,
            ErrorCode::InadequateSecurity => 12,
            ErrorCode::Http11Required => 13,
            ErrorCode::Other(number) => number,
        }
    }

    /// The code of a number.
    pub const fn of(number: u32) -> ErrorCode {
        match number {
            0 => ErrorCode::NoError,
            1 => ErrorCode::Protocol,
            2 => ErrorCode::Internal,
            3 => ErrorCode::FlowControl,
            4 => ErrorCode::SettingsTimeout,
            5 => ErrorCode::StreamClosed,
            6 => ErrorCode::FrameSize,
            7 => ErrorCode::RefusedStream,
            8 => ErrorCode::Cancel,
            9 => ErrorCode::Compression,
            10 => ErrorCode::Connect,
            11 => ErrorCode::EnhanceYourCalm,
            12 => ErrorCode::InadequateSecurity,
            13 => ErrorCode::Http11Required,
            _ => ErrorCode::Other(number),
        }
    }

    /// The name that the simulator reports.
    #[cfg(any(test, feature = "sim"))]
    pub const fn name(self) -> &'static str {
        match self {
            ErrorCode::NoError => "no_error",
            ErrorCode::Protocol => "protocol_error",
            ErrorCode::Internal => "internal_error",
            ErrorCode::FlowControl => "flow_control_error",
            ErrorCode::SettingsTimeout => "settings_timeout",
            ErrorCode::StreamClosed => "stream_closed",
            ErrorCode::FrameSize => "frame_size_error",
            ErrorCode::RefusedStream => "refused_stream",
            ErrorCode::Cancel => "cancel",
            ErrorCode::Compression => "compression_error",
            ErrorCode::Connect => "connect_error",
            ErrorCode::EnhanceYourCalm => "enhance_your_calm",
            ErrorCode::InadequateSecurity => "inadequate_security",
            ErrorCode::Http11Required => "http_1_1_required",
            ErrorCode::Other(_) => "other",
        }
    }
}

/// Appends RST_STREAM.
pub fn rst_stream(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    header(out, 4, Kind::RstStream, 0, stream);
    out.extend_from_slice(&code.number().to_be_bytes());
}

/// Appends WINDOW_UPDATE; `increment` is not zero.
pub fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    debug_assert!(increment > 0 && increment <= MAX_31);
    header(out, 4, Kind::WindowUpdate, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Appends PING with `flags`.
pub fn ping(out: &mut Vec<u8>, flags: u8, payload: [u8; 8]) {
    header(out, 8, Kind::Ping, flags, 0);
    out.extend_from_slice(&payload);
}

/// Appends GOAWAY without debug data.
pub fn go_away(out: &mut Vec<u8>, last: u32, code: ErrorCode) {
    header(out, 8, Kind::GoAway, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.number().to_be_bytes());
}

/// Appends the acknowledgement of SETTINGS.
pub fn settings_ack(out: &mut Vec<u8>) {
    header(out, 0, Kind::Settings, ACK, 0);
}

/// Appends a frame header.
pub fn header(out: &mut Vec<u8>, len: usize, kind: Kind, flags: u8, stream: u32) {
    debug_assert!(len < 1 << 24);
    out.extend_from_slice(&FrameHeader { len: len as u32, kind, flags, stream }.bytes());
}

/// Makes frames of the header block that was written from `start + HEADER_BYTES` on, behind nine bytes to be filled:
/// one HEADERS where it fits into `payload_max`, else HEADERS and CONTINUATION (RFC 9113 section 6.10).
pub fn frame_block(out: &mut Vec<u8>, start: usize, head: FrameHeader, payload_max: usize) {
    let len = out.len() - start - HEADER_BYTES;
    let first = len.min(payload_max);
    let flags = if first == len { head.flags | END_HEADERS } else { head.flags };
    let opening = FrameHeader { len: first as u32, flags, ..head };
    out[start..start + HEADER_BYTES].copy_from_slice(&opening.bytes());
    if first == len {
        return;
    }
    let rest = out.split_off(start + HEADER_BYTES + first);
    let mut pieces = rest.chunks(payload_max).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        header(out, piece.len(), Kind::Continuation, flags, head.stream);
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_way_there_and_back() {
        for kind in 0..=255_u8 {
            let bytes = [1, 2, 3, kind, 0xff, 0x80 | 4, 5, 6, 7];
            let header = FrameHeader::parse(bytes);
            assert_eq!((header.len, header.flags, header.stream), (0x01_0203, 0xff, 0x0405_0607));
            if header.kind != Kind::Unknown {
                assert_eq!(header.bytes()[3], kind);
            }
        }
    }

    #[test]
    fn codes_and_numbers_agree() {
        for number in 0..20 {
            assert_eq!(ErrorCode::of(number).number(), number);
            assert_eq!(ErrorCode::of(number).name() == "other", number > 13);
        }
    }

    #[test]
    fn a_long_block_is_cut() {
        for (len, frames) in [(0, 1), (10, 1), (11, 2), (20, 2), (21, 3)] {
            let mut out = b"before".to_vec();
            let start = out.len();
            out.resize(start + HEADER_BYTES, 0);
            out.extend((0..len).map(|at| at as u8));
            let head = FrameHeader { len: 0, kind: Kind::Headers, flags: END_STREAM, stream: 5 };
            frame_block(&mut out, start, head, 10);
            let (mut at, mut block, mut count) = (start, Vec::new(), 0);
            while at < out.len() {
                let header = FrameHeader::parse(out[at..at + 9].try_into().unwrap());
                at += HEADER_BYTES + header.len as usize;
                block.extend_from_slice(&out[at - header.len as usize..at]);
                count += 1;
                assert_eq!(header.has(END_HEADERS), at == out.len());
                assert_eq!(header.kind == Kind::Headers, count == 1);
            }
            assert_eq!((block.len(), count), (len, frames));
        }
    }
}
