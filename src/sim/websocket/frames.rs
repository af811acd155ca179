// SPDX-License-Identifier: Apache-2.0
//! The simulator's own codec of WebSocket frames (RFC 6455): plain, strict, and independent of the gateway's.

use crate::sim::websocket::Side;

/// What a frame is (section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The last of its message.
    pub last: bool,
    /// The opcode.
    pub opcode: u8,
    /// The masking key.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub length: u64,
}

/// The opcode of a continuation frame.
pub(super) const CONTINUATION: u8 = 0;
/// The opcode of a text frame.
pub(super) const TEXT: u8 = 1;
/// The opcode of a binary frame.
pub(super) const BINARY: u8 = 2;
/// The opcode of a close frame.
pub(super) const CLOSE: u8 = 8;
/// The opcode of a ping.
pub(super) const PING: u8 = 9;
/// The opcode of a pong.
pub(super) const PONG: u8 = 10;

impl Frame {
    /// Is it a control frame?
    pub(crate) const fn is_control(self) -> bool {
        self.opcode >= 8
    }

    /// Appends the header.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.push(u8::from(self.last) << 7 | self.opcode);
        let masked = u8::from(self.mask.is_some()) << 7;
        match self.length {
            length @ 0..126 => out.push(masked | length as u8),
            length @ 126..65_536 => {
                out.push(masked | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(masked | 127);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
        out.extend_from_slice(self.mask.as_ref().map_or(&[][..], |key| key));
    }

    /// Masks or unmasks the payload's bytes from `offset` on.
    pub(crate) fn mask(self, offset: u64, bytes: &mut [u8]) {
        let Some(key) = self.mask else { return };
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte ^= key[(offset as usize + at) % 4];
        }
    }
}

/// Parses the header at the front of `bytes`, sent by `sender`. Returns it and its length; `None` where it is not
/// complete.
pub(super) fn read(bytes: &[u8], sender: Side) -> Result<Option<(Frame, usize)>, String> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let short = u64::from(second & 0x7F);
    let wide = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masked = second & 0x80 != 0;
    let header = 2 + wide + if masked { 4 } else { 0 };
    if bytes.len() < header {
        return Ok(None);
    }
    let length = rest[..wide].iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    let length = if wide == 0 { short } else { length };
    let least = [0, 126, 65_536][[0, 2, 8].iter().position(|known| *known == wide).unwrap_or(0)];
    let mask = masked.then(|| [0, 1, 2, 3].map(|at| bytes[header - 4 + at]));
    let frame = Frame { last: first & 0x80 != 0, opcode: first & 0x0F, mask, length };
    let broken = match frame {
        _ if first & 0x70 != 0 => "reserved bits",
        _ if masked != (sender == Side::Client) => "a mask where none belongs, or none where one does",
        _ if length < least => "a length that is not written in the shortest way",
        _ if frame.is_control() && (length > 125 || !frame.last) => "a control frame that is long or in parts",
        _ if matches!(frame.opcode, 3..=7 | 11..=15) => "an opcode that nobody uses",
        _ => return Ok(Some((frame, header))),
    };
    Err(format!("a frame with {broken}: {frame:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 40] {
            for (mask, sender) in [(None, Side::Origin), (Some([1, 2, 3, 4]), Side::Client)] {
                let frame = Frame { last: true, opcode: BINARY, mask, length };
                let mut bytes = Vec::new();
                frame.write(&mut bytes);
                assert_eq!(read(&bytes, sender), Ok(Some((frame, bytes.len()))));
                assert!(read(&bytes, sender.other()).is_err());
                assert!((0..bytes.len()).all(|cut| read(&bytes[..cut], sender) == Ok(None)));
            }
        }
        assert!(read(&[0x82, 126, 0, 5], Side::Origin).is_err());
        assert!(read(&[0x09, 0], Side::Origin).is_err());
        assert!(read(&[0x92, 0], Side::Origin).is_err());
    }
}
