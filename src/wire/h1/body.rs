// SPDX-License-Identifier: Apache-2.0
//! Hot. Follows a message body through the bytes of its connection: which of them are payload, and when it is complete.
//!
//! The chunked coding is taken off, and its trailer section is kept apart, so that a body leaves in framing of our own
//! and complete trailers. Large chunks are skipped, never scanned.

use crate::base::{Cause, FaultKind, Side};
use crate::wire::h1::chunk::{Decoder, Malformed, Piece, Spaces};
use crate::wire::h1::{Deviation, Tolerance};
use crate::wire::head::BodyLength;
use crate::wire::rules;

/// Where one body stands.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    progress: Progress,
    side: Side,
    /// Something in it was only tolerated.
    pub tolerated: bool,
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

/// What `decode` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Where the payload begins.
    pub start: usize,
    /// Payload bytes.
    pub kept: usize,
    /// Bytes of the input that belonged to this body; what is behind them is untouched.
    pub consumed: usize,
    /// The body is complete.
    pub done: bool,
}

impl Body {
    /// The body of a request. Its faults are the client's: `BadRequest`.
    pub const fn request(length: BodyLength) -> Body {
        Body::new(length, Side::Client, Spaces::Refused)
    }

    /// The body of a response. Its faults are the upstream's: `UpstreamProtocol`.
    pub const fn response(length: BodyLength) -> Body {
        Body::new(length, Side::Upstream, Spaces::Refused)
    }

    /// As `response`, with what is tolerated in it.
    pub const fn tolerant_response(length: BodyLength, tolerance: Tolerance) -> Body {
        let spaces = if tolerance.has(Deviation::ChunkSizeSpaces) { Spaces::Accepted } else { Spaces::Refused };
        Body::new(length, Side::Upstream, spaces)
    }

    /// Which rule of the chunked coding was broken, where `decode` refused a response.
    #[cold]
    pub fn cause(&self) -> Option<Cause> {
        match (&self.progress, self.side) {
            (Progress::Chunked(decoder), Side::Upstream) => Some(decoder.refused_at()),
            (Progress::Chunked(_), Side::Client | Side::Gateway)
            | (Progress::Done | Progress::Exact(_) | Progress::UntilClose, _) => None,
        }
    }

    /// Was something in what has come only tolerated? Known until it is done.
    const fn deviates(&self) -> bool {
        match &self.progress {
            Progress::Chunked(decoder) => decoder.saw_spaces(),
            Progress::Done | Progress::Exact(_) | Progress::UntilClose => false,
        }
    }

    const fn new(length: BodyLength, side: Side, spaces: Spaces) -> Body {
        let progress = match length {
            BodyLength::None | BodyLength::Exact(0) => Progress::Done,
            BodyLength::Exact(bytes) => Progress::Exact(bytes),
            BodyLength::Chunked => Progress::Chunked(Decoder::new(spaces)),
            BodyLength::UntilClose => Progress::UntilClose,
        };
        Body { progress, side, tolerated: false }
    }

    /// Reads the next bytes of the connection and joins their payload, wherever it begins. Trailer lines (with their
    /// CRLF) are appended to `trailers`, which holds all of them when the body is done.
    ///
    /// Errors where the bytes are not what the body's framing allows; nothing of them may then be passed on.
    pub fn decode(&mut self, bytes: &mut [u8], trailers: &mut Vec<u8>) -> Result<Decoded, FaultKind> {
        let decoded = match &mut self.progress {
            Progress::Done => Decoded { start: 0, kept: 0, consumed: 0, done: true },
            Progress::UntilClose => Decoded { start: 0, kept: bytes.len(), consumed: bytes.len(), done: false },
            Progress::Exact(left) => {
                let count = take(left, bytes.len());
                Decoded { start: 0, kept: count, consumed: count, done: *left == 0 }
            }
            Progress::Chunked(decoder) => {
                let decoded = join(decoder, bytes, trailers).map_err(|Malformed| fault(self.side))?;
                if decoded.done && !trailers.is_empty() {
                    check_trailers(self.side, trailers)?;
                }
                decoded
            }
        };
        self.tolerated |= self.deviates();
        if decoded.done {
            self.progress = Progress::Done;
        }
        Ok(decoded)
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

/// Joins the payload of chunks behind that of the first.
fn join(decoder: &mut Decoder, bytes: &mut [u8], trailers: &mut Vec<u8>) -> Result<Decoded, Malformed> {
    let mut decoded = Decoded { start: 0, kept: 0, consumed: 0, done: false };
    while decoded.consumed < bytes.len() {
        let from = decoded.consumed;
        match decoder.next(&bytes[from..])? {
            Piece::Overhead(count) => decoded.consumed += count,
            Piece::Trailer(count) => {
                decoded.consumed += count;
                trailers.extend_from_slice(&bytes[from..from + count]);
            }
            Piece::Data(count) => {
                if decoded.kept == 0 {
                    decoded.start = from;
                }
                let to = decoded.start + decoded.kept;
                if from != to {
                    bytes.copy_within(from..from + count, to);
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

/// Refuses trailer lines of a request that must not be there, and takes out those that would harm a recipient: of a
/// request the names with `_`, which some origins read as `-`.
#[cold]
fn check_trailers(side: Side, trailers: &mut Vec<u8>) -> Result<(), FaultKind> {
    let name = |line: &[u8]| line.iter().position(|byte| *byte == b':').map_or(0, |colon| colon);
    let lines = trailers.split_inclusive(|byte| *byte == b'\n');
    match side {
        Side::Client => {
            if lines.clone().any(|line| rules::is_forbidden_in_trailers(&line[..name(line)])) {
                return Err(fault(side));
            }
            *trailers = lines.filter(|line| !line[..name(line)].contains(&b'_')).flatten().copied().collect();
        }
        Side::Upstream | Side::Gateway => {
            let kept = lines.filter(|line| !rules::is_dropped_from_trailers(&line[..name(line)]));
            *trailers = kept.flatten().copied().collect();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
