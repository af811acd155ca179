// SPDX-License-Identifier: Apache-2.0
//! Hot. Content into a content coding, piece by piece: bytes in, bytes out, until `STAGE_OUT_BYTES` of them wait.
//!
//! An encoder holds content back, because what comes next decides how it is best written. `flush` makes it give
//! everything that it has, so that the receiver can read up to there; `finish` writes the end, without which a receiver
//! takes the content for cut.

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::base::limits::STAGE_OUT_BYTES;
use crate::wire::coding::{ContentCoding, Encoding};

/// Codes the content of one message after another.
#[derive(Debug)]
pub(crate) struct Encoder {
    codec: Codec,
    level: u8,
    /// A message has begun and has not ended.
    begun: bool,
}

/// The coding's own state.
#[derive(Debug)]
enum Codec {
    /// A window of 32 KiB and what finds repetitions in it.
    Gzip(Compress),
}

/// The window of deflate, as an exponent: 32 KiB, the most that it has.
const WINDOW_BITS: u8 = 15;

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes of content that it took.
    pub taken: usize,
    /// It stopped because `out` holds `STAGE_OUT_BYTES`: send them, and call again.
    pub more: bool,
}

impl Step {
    /// Nothing waits.
    pub(crate) const ALL: Step = Step { taken: 0, more: false };

    /// All of `content` was taken, and nothing waits.
    pub(crate) const fn took(content: &[u8]) -> Step {
        Step { taken: content.len(), more: false }
    }
}

/// The codec's state is broken: a bug, never the content's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EncodeError;

impl Encoder {
    /// A fresh one. It owns some hundred kilobytes, so it is kept for the next message.
    pub(crate) fn new(encoding: Encoding) -> Encoder {
        let codec = match encoding.coding {
            ContentCoding::Gzip => Codec::Gzip(gzip(encoding.level)),
        };
        Encoder { codec, level: encoding.level, begun: false }
    }

    /// What it codes into.
    pub(crate) fn coding(&self) -> ContentCoding {
        match self.codec {
            Codec::Gzip(_) => ContentCoding::Gzip,
        }
    }

    /// Forgets everything, for a new message. Keeps its memory where the last message was finished.
    ///
    /// # Errors
    /// The level cannot be set.
    pub(crate) fn restart(&mut self, level: u8) -> Result<(), EncodeError> {
        match &mut self.codec {
            // `deflateReset` of zlib-rs 0.6.8 does not forget the block that level 1 leaves open: the next message
            // would be corrupt.
            Codec::Gzip(compress) if self.begun => *compress = gzip(level),
            Codec::Gzip(compress) => {
                compress.reset();
                if level != self.level {
                    compress.set_level(Compression::new(u32::from(level))).map_err(|_| EncodeError)?;
                }
            }
        }
        (self.level, self.begun) = (level, false);
        Ok(())
    }

    /// Takes content from the front of `content` and appends to `out` what comes of it, which may be nothing yet.
    ///
    /// # Errors
    /// The state is broken.
    pub(crate) fn push(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<Step, EncodeError> {
        self.run(content, FlushCompress::None, out)
    }

    /// Appends everything that was held back. The next flush without content between them writes nothing.
    ///
    /// # Errors
    /// The state is broken.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) -> Result<Step, EncodeError> {
        self.run(b"", FlushCompress::Sync, out)
    }

    /// Appends what was held back and the end. Nothing may be pushed behind it.
    ///
    /// # Errors
    /// The state is broken.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<Step, EncodeError> {
        self.run(b"", FlushCompress::Finish, out)
    }

    fn run(&mut self, content: &[u8], flush: FlushCompress, out: &mut Vec<u8>) -> Result<Step, EncodeError> {
        let Codec::Gzip(compress) = &mut self.codec;
        let before = out.len();
        out.resize(STAGE_OUT_BYTES.max(before), 0);
        let (read, written) = (compress.total_in(), compress.total_out());
        let outcome = compress.compress(content, &mut out[before..], flush);
        let taken = (compress.total_in() - read) as usize;
        let made = (compress.total_out() - written) as usize;
        out.truncate(before + made);
        self.begun = outcome.map_err(|_| EncodeError)? != Status::StreamEnd;
        Ok(Step { taken, more: out.len() >= STAGE_OUT_BYTES })
    }
}

/// Fresh state for gzip.
fn gzip(level: u8) -> Compress {
    Compress::new_gzip(Compression::new(u32::from(level)), WINDOW_BITS)
}

#[cfg(test)]
mod tests;
