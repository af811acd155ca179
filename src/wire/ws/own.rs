// SPDX-License-Identifier: Apache-2.0
//! Frames that the gateway itself sends: close and ping.

use crate::wire::ws::frame::{CONTROL_BYTES_MAX, Sender};

/// Why a WebSocket is closed, as far as a gateway has reasons (RFC 6455 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// 1001: the gateway ends, or has waited long enough.
    GoingAway,
    /// 1002: a frame breaks a rule.
    Protocol,
    /// 1008: more than the policy allows.
    Policy,
    /// 1009: a message is too large.
    TooBig,
}

impl Code {
    /// The number.
    pub(crate) const fn number(self) -> u16 {
        match self {
            Code::GoingAway => 1001,
            Code::Protocol => 1002,
            Code::Policy => 1008,
            Code::TooBig => 1009,
        }
    }
}

/// The longest frame made here.
pub(crate) const FRAME_BYTES_MAX: usize = 2 + 4 + CONTROL_BYTES_MAX;

/// Appends a close frame with a reason as text, which is cut where it does not fit.
pub(crate) fn close(out: &mut Vec<u8>, code: Code, reason: &str, mask: Mask) {
    let mut room = reason.len().min(CONTROL_BYTES_MAX - 2);
    while !reason.is_char_boundary(room) {
        room -= 1;
    }
    let [high, low] = code.number().to_be_bytes();
    let mut payload = [0; CONTROL_BYTES_MAX];
    payload[..2].copy_from_slice(&[high, low]);
    payload[2..2 + room].copy_from_slice(&reason.as_bytes()[..room]);
    control(out, 8, &mut payload[..2 + room], mask);
}

/// Appends a ping without a payload.
pub(crate) fn ping(out: &mut Vec<u8>, mask: Mask) {
    control(out, 9, &mut [], mask);
}

/// Whether a frame is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mask {
    /// Not, since it goes to a client.
    None,
    /// With this key, since it goes to a server. The key must come from the machine's randomness.
    Key([u8; 4]),
}

impl Mask {
    /// What frames of `sender` need, with this chance.
    pub(crate) const fn of(sender: Sender, random: u64) -> Mask {
        match sender {
            Sender::Client => {
                let [a, b, c, d, ..] = random.to_be_bytes();
                Mask::Key([a, b, c, d])
            }
            Sender::Server => Mask::None,
        }
    }
}

fn control(out: &mut Vec<u8>, opcode: u8, payload: &mut [u8], mask: Mask) {
    debug_assert!(payload.len() <= CONTROL_BYTES_MAX);
    out.push(0x80 | opcode);
    match mask {
        Mask::None => out.push(payload.len() as u8),
        Mask::Key(key) => {
            out.push(0x80 | payload.len() as u8);
            out.extend_from_slice(&key);
            payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ws::frame::{Extensions, Kind, ScanStep, Scanner};

    fn kinds(sender: Sender, bytes: &[u8]) -> Vec<Kind> {
        let mut scanner = Scanner::new(sender, Extensions::None);
        let (mut at, mut kinds) = (0, Vec::new());
        loop {
            match scanner.step(&bytes[at..]).unwrap() {
                ScanStep::Frame(frame) => {
                    kinds.push(frame.kind);
                    at += frame.header;
                }
                ScanStep::Payload(count) => at += count,
                ScanStep::Partial => break,
            }
        }
        assert_eq!((at, scanner.is_between_frames()), (bytes.len(), true));
        kinds
    }

    #[test]
    fn frames_as_the_rfc_has_them() {
        let mut out = Vec::new();
        close(&mut out, Code::GoingAway, "bye", Mask::None);
        assert_eq!(out, b"\x88\x05\x03\xE9bye");
        out.clear();
        close(&mut out, Code::TooBig, "", Mask::Key([1, 2, 3, 4]));
        assert_eq!(out, [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xF1 ^ 2]);
        out.clear();
        ping(&mut out, Mask::None);
        assert_eq!(out, [0x89, 0]);
    }

    #[test]
    fn they_are_read_back() {
        for sender in [Sender::Client, Sender::Server] {
            let mut out = Vec::new();
            ping(&mut out, Mask::of(sender, 0x1234_5678_9ABC_DEF0));
            close(&mut out, Code::Policy, &"ä".repeat(200), Mask::of(sender, 7));
            assert!(out.len() <= 6 + FRAME_BYTES_MAX);
            assert_eq!(kinds(sender, &out), [Kind::Ping, Kind::Close]);
        }
        let mut out = Vec::new();
        close(&mut out, Code::Protocol, &"ä".repeat(200), Mask::None);
        assert!(std::str::from_utf8(&out[4..]).is_ok());
    }
}
