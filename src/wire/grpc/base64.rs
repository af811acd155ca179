// SPDX-License-Identifier: Apache-2.0
//! Hot. Base64 as gRPC-Web's text kind streams it: in any split, with padding wherever the sender flushed.
//!
//! Strict otherwise: no line ends, no foreign characters, no bits behind the end that are not zero.

use crate::wire::grpc::message::Offence;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOREIGN: u8 = 0xFF;
const VALUES: [u8; 256] = values();

/// Bytes to text. Holds back at most two bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Encoder {
    held: [u8; 2],
    len: u8,
}

impl Encoder {
    /// Nothing held back.
    pub(crate) const fn new() -> Encoder {
        Encoder { held: [0; 2], len: 0 }
    }

    /// Appends the text of `bytes`, as far as it is whole groups.
    pub(crate) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while self.len > 0 {
            let Some((byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            if self.len == 1 {
                self.held[1] = *byte;
                self.len = 2;
            } else {
                out.extend_from_slice(&group([self.held[0], self.held[1], *byte]));
                self.len = 0;
            }
        }
        out.reserve(bytes.len() / 3 * 4 + 4);
        let (groups, rest) = bytes.as_chunks::<3>();
        groups.iter().for_each(|bytes| out.extend_from_slice(&group(*bytes)));
        self.held[..rest.len()].copy_from_slice(rest);
        self.len = rest.len() as u8;
    }

    /// Appends what was held back, with padding. More may follow.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        let [first, second] = self.held;
        match self.len {
            1 => {
                let [a, b, ..] = group([first, 0, 0]);
                out.extend_from_slice(&[a, b, b'=', b'=']);
            }
            2 => {
                let [a, b, c, _] = group([first, second, 0]);
                out.extend_from_slice(&[a, b, c, b'=']);
            }
            _ => {}
        }
        self.len = 0;
    }
}

/// Text to bytes. Holds back at most three characters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decoder {
    held: [u8; 4],
    len: u8,
}

impl Decoder {
    /// Nothing held back.
    pub(crate) const fn new() -> Decoder {
        Decoder { held: [0; 4], len: 0 }
    }

    /// Appends the bytes of `text`, as far as it is whole groups. After an error nothing more may be decoded.
    pub(crate) fn push(&mut self, mut text: &[u8], out: &mut Vec<u8>) -> Result<(), Offence> {
        if self.len > 0 {
            let have = usize::from(self.len);
            let count = text.len().min(4 - have);
            self.held[have..have + count].copy_from_slice(&text[..count]);
            self.len += count as u8;
            text = &text[count..];
            if self.len < 4 {
                return Ok(());
            }
            self.len = 0;
            decode(self.held, out)?;
        }
        out.reserve(text.len() / 4 * 3);
        let (groups, rest) = text.as_chunks::<4>();
        for characters in groups {
            decode(*characters, out)?;
        }
        self.held[..rest.len()].copy_from_slice(rest);
        self.len = rest.len() as u8;
        Ok(())
    }

    /// The text ended here.
    pub(crate) const fn finish(&self) -> Result<(), Offence> {
        if self.len == 0 { Ok(()) } else { Err(Offence::Base64) }
    }
}

const fn group(bytes: [u8; 3]) -> [u8; 4] {
    let bits = (bytes[0] as usize) << 16 | (bytes[1] as usize) << 8 | bytes[2] as usize;
    [ALPHABET[bits >> 18], ALPHABET[bits >> 12 & 63], ALPHABET[bits >> 6 & 63], ALPHABET[bits & 63]]
}

fn decode(characters: [u8; 4], out: &mut Vec<u8>) -> Result<(), Offence> {
    let values = characters.map(|character| VALUES[usize::from(character)]);
    let bits = values.iter().fold(0, |bits, value| bits << 6 | u32::from(value & 63));
    let bytes = bits.to_be_bytes();
    let [a, b, c, d] = values.map(|value| value != FOREIGN);
    match (a && b, c, d) {
        (true, true, true) => out.extend_from_slice(&bytes[1..]),
        (true, true, false) if characters[3] == b'=' && bits >> 6 & 3 == 0 => out.extend_from_slice(&bytes[1..3]),
        (true, false, false) if characters[2..] == *b"==" && bits >> 12 & 15 == 0 => out.push(bytes[1]),
        (_, _, _) => return Err(Offence::Base64),
    }
    Ok(())
}

const fn values() -> [u8; 256] {
    let mut values = [FOREIGN; 256];
    let mut at = 0;
    while at < 64 {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use ::base64::Engine;
    use ::base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &[u8], step: usize) -> Result<Vec<u8>, Offence> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in text.chunks(step) {
            decoder.push(piece, &mut out)?;
        }
        decoder.finish().map(|()| out)
    }

    #[test]
    fn padding_in_the_middle() {
        for step in 1..20 {
            assert_eq!(decoded(b"YQ==YWI=YWJjYQ==", step).unwrap(), b"aababca");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in ["Y", "YQ", "YQ=", "YR==", "YWJ=", "Y===", "====", "Y=Q=", "YQ=Q", "YW-j", "YWJj\n", "=YQ="] {
            for step in 1..5 {
                assert_eq!(decoded(text.as_bytes(), step), Err(Offence::Base64), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn as_another_library(bytes in proptest::collection::vec(any::<u8>(), 0..100), step in 1usize..9) {
            let mut encoder = Encoder::default();
            let mut out = Vec::new();
            bytes.chunks(step).for_each(|piece| encoder.push(piece, &mut out));
            encoder.flush(&mut out);
            prop_assert_eq!(out.clone(), STANDARD.encode(&bytes).into_bytes());
            prop_assert_eq!(decoded(&out, step).unwrap(), bytes);
        }

        #[test]
        fn flushed_anywhere(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let mut encoder = Encoder::default();
            let mut out = Vec::new();
            for piece in &pieces {
                encoder.push(piece, &mut out);
                encoder.flush(&mut out);
            }
            for step in 1..9 {
                prop_assert_eq!(decoded(&out, step).unwrap(), pieces.concat());
            }
        }

        #[test]
        fn garbage(text in "[A-D=]{0,16}", step in 1usize..9) {
            prop_assert_eq!(decoded(text.as_bytes(), step), decoded(text.as_bytes(), 1));
        }
    }
}
