// SPDX-License-Identifier: Apache-2.0
//! Body bytes that identify themselves: every 32 bytes name the exchange, the direction and the offset.
//!
//! So the reader finds any byte that ends up in another exchange or at another offset, and can say where it came from.

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// The exchange.
    pub exchange: u64,
    /// Zero for the request; for a response the origin's attempt, from one.
    pub attempt: u32,
}

/// Bytes of one block.
const BLOCK: usize = 32;

impl Tag {
    fn block(self, number: u64) -> [u8; BLOCK] {
        let mut block = *b"<........:....:............>...\n";
        hex(&mut block[1..9], self.exchange);
        hex(&mut block[10..14], u64::from(self.attempt));
        hex(&mut block[15..27], number);
        block
    }

    /// Writes the body's bytes from `offset` on into `into`.
    pub(super) fn fill(self, offset: u64, into: &mut [u8]) {
        let mut at = offset;
        let mut rest = into;
        while !rest.is_empty() {
            let block = self.block(at / BLOCK as u64);
            let from = (at % BLOCK as u64) as usize;
            let count = rest.len().min(BLOCK - from);
            rest[..count].copy_from_slice(&block[from..from + count]);
            rest = &mut rest[count..];
            at += count as u64;
        }
    }

    /// Are `bytes` those of this body from `offset` on?
    fn matches(self, offset: u64, bytes: &[u8]) -> bool {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let block = self.block(at / BLOCK as u64);
            let from = (at % BLOCK as u64) as usize;
            let count = rest.len().min(BLOCK - from);
            if rest[..count] != block[from..from + count] {
                return false;
            }
            rest = &rest[count..];
            at += count as u64;
        }
        true
    }
}

fn hex(into: &mut [u8], number: u64) {
    let digits = into.len();
    for (place, slot) in into.iter_mut().enumerate() {
        let digit = (number >> (4 * (digits - 1 - place))) & 15;
        *slot = b"0123456789abcdef"[digit as usize];
    }
}

/// Follows one body as it arrives.
#[derive(Clone, Debug)]
pub(super) struct Check {
    tag: Tag,
    seen: u64,
}

impl Check {
    /// Nothing has arrived.
    pub(super) fn new(tag: Tag) -> Check {
        Check { tag, seen: 0 }
    }

    /// Bytes that have arrived.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Checks the next bytes; describes them where they are not of this body.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let right = self.tag.matches(self.seen, bytes);
        let offset = self.seen;
        self.seen += bytes.len() as u64;
        if right {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        Err(format!("byte {offset} of {:?} is not its own: {shown:?}", self.tag))
    }
}

/// The value of `x-note` in heads of this exchange.
pub(super) fn note(id: u64) -> String {
    "note ".repeat(1 + id as usize % 4) + &(id / 3).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_of_a_body_is_recognised_and_no_other_body_is() {
        let tag = Tag { exchange: 0xAB, attempt: 2 };
        let mut body = vec![0; 200];
        tag.fill(0, &mut body);
        assert!(body.starts_with(b"<000000ab:0002:000000000000>...\n<000000ab:0002:000000000001>"));
        for split in 0..=200 {
            let mut check = Check::new(tag);
            assert!(check.take(&body[..split]).and_then(|()| check.take(&body[split..])).is_ok());
            assert_eq!(check.seen(), 200);
            let mut tail = vec![0; 200 - split];
            tag.fill(split as u64, &mut tail);
            assert_eq!(tail, body[split..]);
        }
        assert!(Check::new(Tag { attempt: 1, ..tag }).take(&body).is_err());
        assert!(Check::new(tag).take(&body[1..]).is_err());
    }
}
