// SPDX-License-Identifier: Apache-2.0
//! The simulator's own codec of gRPC messages and of base64, independent of the gateway's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::sim::tag::{Check, Tag};

/// The flag of a compressed message. The payloads are not compressed, but the flag must arrive.
const COMPRESSED: u8 = 1;
/// The flag of gRPC-Web's trailers.
const TRAILERS: u8 = 0x80;

/// The messages of one body: the length of each, and the tag of their bytes.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Whose bytes.
    pub tag: Tag,
    /// Bytes of each payload.
    pub lengths: Vec<u64>,
}

impl Row {
    fn flags(&self, index: usize) -> u8 {
        if (self.tag.exchange as usize + index).is_multiple_of(7) { COMPRESSED } else { 0 }
    }

    /// A message with its prefix.
    pub(crate) fn message(&self, index: usize) -> Vec<u8> {
        let length = self.lengths[index];
        let mut bytes = vec![self.flags(index)];
        bytes.extend_from_slice(&(length as u32).to_be_bytes());
        let from = bytes.len();
        bytes.resize(from + length as usize, 0);
        self.tag.fill(self.lengths[..index].iter().sum(), &mut bytes[from..]);
        bytes
    }
}

/// Reads the messages of a body incrementally.
#[derive(Debug)]
pub(super) struct Reading {
    row: Row,
    /// Messages above it must not come.
    most: u64,
    check: Check,
    held: Vec<u8>,
    /// Bytes of the current payload that have not arrived.
    left: u64,
    /// Prefixes that have come.
    begun: usize,
    /// A trailers frame that has begun, where the body may have one.
    trailers: Option<Vec<u8>>,
}

impl Reading {
    /// Expects this row of messages, each of at most `most` bytes.
    pub(super) fn new(row: Row, most: u64) -> Reading {
        let check = Check::new(row.tag);
        Reading { row, most, check, held: Vec::new(), left: 0, begun: 0, trailers: None }
    }

    /// Messages that have come completely.
    pub(super) fn count(&self) -> usize {
        self.begun - usize::from(self.left > 0 && self.trailers.is_none())
    }

    /// Ends the body here on a boundary?
    pub(super) fn is_between(&self) -> bool {
        self.held.is_empty() && self.left == 0
    }

    /// Trailers that came as a frame.
    pub(super) fn trailers(&self) -> Option<&[u8]> {
        self.trailers.as_deref().filter(|_| self.left == 0)
    }

    /// Takes the next bytes of the body.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.held.extend_from_slice(bytes);
        loop {
            if self.left > 0 {
                let count = self.left.min(self.held.len() as u64) as usize;
                let payload: Vec<u8> = self.held.drain(..count).collect();
                self.left -= count as u64;
                match &mut self.trailers {
                    Some(trailers) => trailers.extend_from_slice(&payload),
                    None => self.check.take(&payload)?,
                }
            }
            if self.trailers.is_some() && self.left == 0 && !self.held.is_empty() {
                return Err(format!("{} bytes behind the trailers", self.held.len()));
            }
            if self.left > 0 || self.held.len() < 5 {
                return Ok(());
            }
            let prefix: Vec<u8> = self.held.drain(..5).collect();
            let length = prefix[1..].iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
            self.begin(prefix[0], length)?;
        }
    }

    fn begin(&mut self, flags: u8, length: u64) -> Result<(), String> {
        self.left = length;
        if flags == TRAILERS {
            self.trailers = Some(Vec::new());
            return Ok(());
        }
        let index = self.begun;
        self.begun += 1;
        let expected = self.row.lengths.get(index).copied();
        if expected != Some(length) || flags != self.row.flags(index) {
            return Err(format!("message {index} has flags {flags} and {length} bytes instead of {expected:?}"));
        }
        if length > self.most {
            return Err(format!("message {index} has {length} bytes, {} are allowed", self.most));
        }
        Ok(())
    }
}

/// Decodes concatenated base64 texts, each with its padding.
#[derive(Debug, Default)]
pub(super) struct Text {
    held: Vec<u8>,
}

impl Text {
    /// The bytes that are complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.held.extend_from_slice(bytes);
        let whole = self.held.len() / 4 * 4;
        let mut out = Vec::new();
        for group in self.held[..whole].chunks(4) {
            let decoded = STANDARD.decode(group).map_err(|error| format!("base64 that is none: {error}"))?;
            out.extend_from_slice(&decoded);
        }
        self.held.drain(..whole);
        Ok(out)
    }

    /// Does the text end here?
    pub(super) fn is_between(&self) -> bool {
        self.held.is_empty()
    }
}

/// Bytes as base64.
pub(super) fn encode(bytes: &[u8]) -> Vec<u8> {
    STANDARD.encode(bytes).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_in_any_split_and_no_other_row_is() {
        let row = Row { tag: Tag { exchange: 5, attempt: 1 }, lengths: vec![0, 40, 3] };
        let mut body = (0..3).flat_map(|index| row.message(index)).collect::<Vec<u8>>();
        let messages = body.len();
        body.extend_from_slice(b"\x80\0\0\0\x02ab");
        for split in 0..=body.len() {
            let mut reading = Reading::new(row.clone(), 40);
            reading.take(&body[..split]).and_then(|()| reading.take(&body[split..])).unwrap();
            assert_eq!((reading.count(), reading.is_between(), reading.trailers()), (3, true, Some(&b"ab"[..])));
        }
        assert!(Reading::new(row.clone(), 39).take(&body).is_err());
        let other = Row { lengths: vec![0, 40, 4], ..row.clone() };
        assert!(Reading::new(other, 40).take(&body).is_err());
        let mut reading = Reading::new(row, 40);
        assert!(reading.take(&body).is_ok() && reading.take(b"!").is_err());
        assert!(messages < body.len());
    }

    #[test]
    fn texts_with_padding_between_them_are_read_in_any_split() {
        let text = [encode(b"a"), encode(b"bcd"), encode(b"ef")].concat();
        for split in 0..=text.len() {
            let mut reading = Text::default();
            let mut read = reading.take(&text[..split]).unwrap();
            read.extend(reading.take(&text[split..]).unwrap());
            assert_eq!((&*read, reading.is_between()), (&b"abcdef"[..], true));
        }
        assert!(Text::default().take(b"a===").is_err());
    }
}
