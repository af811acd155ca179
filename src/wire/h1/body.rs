// SPDX-License-Identifier: Apache-2.0
//! Hot. Follows a message body through its raw bytes: how many of them belong to it, how much payload they carry, when
//! it is complete, and whether it may be passed on.
//!
//! `advance` is for passing bytes on as they are (chunk lines, extensions and trailers included); `decode_in_place` is
//! for a receiver that wants the payload alone. One body uses one of the two. Large chunks are skipped, never scanned.

use crate::base::{FaultKind, Side};
use crate::wire::h1::chunk::{Decoder, Malformed, Piece};
use crate::wire::head::BodyLength;

/// Where one body stands.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    progress: Progress,
    side: Side,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Complete.
    Done,
    /// So many bytes are missing.
    Exact(u64),
    Chunked(Decoder),
    UntilClose,
}

/// What `advance` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Bytes from the front of the input that belong to this body; what is behind them is the next message.
    pub raw: usize,
    /// How many of these are payload.
    pub data: usize,
    /// The body is complete.
    pub done: bool,
}

/// What `decode_in_place` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Payload bytes, now at the front of the input.
    pub kept: usize,
    /// Bytes of the input that belonged to this body; what is behind them is untouched.
    pub consumed: usize,
    /// The body is complete.
    pub done: bool,
}

impl Body {
    /// The body of a request. Its faults are the client's: `BadRequest`.
    pub const fn request(length: BodyLength) -> Body {
        Body::new(length, Side::Client)
    }

    /// The body of a response. Its faults are the upstream's: `UpstreamProtocol`.
    pub const fn response(length: BodyLength) -> Body {
        Body::new(length, Side::Upstream)
    }

    const fn new(length: BodyLength, side: Side) -> Body {
        let progress = match length {
            BodyLength::None | BodyLength::Exact(0) => Progress::Done,
            BodyLength::Exact(bytes) => Progress::Exact(bytes),
            BodyLength::Chunked => Progress::Chunked(Decoder::new()),
            BodyLength::UntilClose => Progress::UntilClose,
        };
        Body { progress, side }
    }

    /// Counts the next raw bytes of the connection. Errors where they are not what the body's framing allows; nothing
    /// of `bytes` may then be passed on.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Advance, FaultKind> {
        match &mut self.progress {
            Progress::Done => Ok(Advance { raw: 0, data: 0, done: true }),
            Progress::UntilClose => Ok(Advance { raw: bytes.len(), data: bytes.len(), done: false }),
            Progress::Exact(left) => {
                let count = take(left, bytes.len());
                let done = *left == 0;
                if done {
                    self.progress = Progress::Done;
                }
                Ok(Advance { raw: count, data: count, done })
            }
            Progress::Chunked(decoder) => {
                let advance = count_chunks(decoder, bytes).map_err(|Malformed| fault(self.side))?;
                if advance.done {
                    self.progress = Progress::Done;
                }
                Ok(advance)
            }
        }
    }

    /// As `advance`, but moves the payload to the front of `bytes` and appends trailer lines (with their CRLF) to
    /// `trailers`.
    pub fn decode_in_place(&mut self, bytes: &mut [u8], trailers: &mut Vec<u8>) -> Result<Decoded, FaultKind> {
        if let Progress::Chunked(decoder) = &mut self.progress {
            let decoded = compact(decoder, bytes, trailers).map_err(|Malformed| fault(self.side))?;
            if decoded.done {
                self.progress = Progress::Done;
            }
            return Ok(decoded);
        }
        let Advance { raw, data, done } = self.advance(bytes)?;
        Ok(Decoded { kept: data, consumed: raw, done })
    }

    /// The connection ended here. An error where the body was not complete: `ClientClosed` or `UpstreamTruncated`.
    pub fn finish(&mut self) -> Result<(), FaultKind> {
        match (&self.progress, self.side) {
            (Progress::Done | Progress::UntilClose, _) => {
                self.progress = Progress::Done;
                Ok(())
            }
            (Progress::Exact(_) | Progress::Chunked(_), Side::Client) => Err(FaultKind::ClientClosed),
            (Progress::Exact(_) | Progress::Chunked(_), Side::Upstream | Side::Gateway) => {
                Err(FaultKind::UpstreamTruncated)
            }
        }
    }
}

const fn fault(side: Side) -> FaultKind {
    match side {
        Side::Client => FaultKind::BadRequest,
        Side::Upstream | Side::Gateway => FaultKind::UpstreamProtocol,
    }
}

/// Takes up to `available` from `left`.
fn take(left: &mut u64, available: usize) -> usize {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= count as u64;
    count
}

fn count_chunks(decoder: &mut Decoder, bytes: &[u8]) -> Result<Advance, Malformed> {
    let mut advance = Advance { raw: 0, data: 0, done: false };
    while advance.raw < bytes.len() {
        match decoder.next(&bytes[advance.raw..])? {
            Piece::Overhead(count) | Piece::Trailer(count) => advance.raw += count,
            Piece::Data(count) => {
                advance.raw += count;
                advance.data += count;
            }
            Piece::End(count) => {
                advance.raw += count;
                advance.done = true;
                break;
            }
        }
    }
    Ok(advance)
}

fn compact(decoder: &mut Decoder, bytes: &mut [u8], trailers: &mut Vec<u8>) -> Result<Decoded, Malformed> {
    let mut decoded = Decoded { kept: 0, consumed: 0, done: false };
    while decoded.consumed < bytes.len() {
        let from = decoded.consumed;
        match decoder.next(&bytes[from..])? {
            Piece::Overhead(count) => decoded.consumed += count,
            Piece::Trailer(count) => {
                decoded.consumed += count;
                trailers.extend_from_slice(&bytes[from..from + count]);
            }
            Piece::Data(count) => {
                if from != decoded.kept {
                    bytes.copy_within(from..from + count, decoded.kept);
                }
                decoded.consumed += count;
                decoded.kept += count;
            }
            Piece::End(count) => {
                decoded.consumed += count;
                decoded.done = true;
                break;
            }
        }
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests;
