// SPDX-License-Identifier: Apache-2.0
//! Hot. Trace context (W3C Trace Context, `traceparent`) and request ids: parses them, and makes new ones from random
//! bits that the caller passes.
//!
//! A malformed `traceparent` is ignored, and a new trace starts (section 4.3 of the recommendation). Nothing a client
//! sends is trusted beyond being well-formed.

use crate::base::ascii::{hex_digit, hex_digits, hex_lower};
use crate::base::limits::REQUEST_ID_BYTES_MAX;

/// Length of a version 00 `traceparent`.
pub(crate) const TRACEPARENT_LEN: usize = 55;
/// Length of the ids that we make.
pub(crate) const REQUEST_ID_LEN: usize = 32;

/// Set where the caller recorded the trace.
const SAMPLED: u8 = 1;

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The whole trace; not zero.
    pub trace_id: [u8; 16],
    /// The span that sends; not zero.
    pub span_id: [u8; 8],
    /// Only `sampled` is defined.
    pub flags: u8,
}

impl Trace {
    /// Reads a `traceparent`. A later version counts as far as version 00 goes (section 4.3).
    pub(crate) fn parse(text: &[u8]) -> Option<Trace> {
        let (known, later) = text.split_at_checked(TRACEPARENT_LEN)?;
        let version = byte(&known[..2])?;
        let separated = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
        let ended = if version == 0 { later.is_empty() } else { later.is_empty() || later[0] == b'-' };
        if version == 0xFF || !separated || !ended {
            return None;
        }
        let mut trace = Trace { trace_id: [0; 16], span_id: [0; 8], flags: byte(&known[53..])? };
        read(&known[3..35], &mut trace.trace_id)?;
        read(&known[36..52], &mut trace.span_id)?;
        (trace.trace_id != [0; 16] && trace.span_id != [0; 8]).then_some(trace)
    }

    /// A new trace, recorded, from three random numbers.
    pub(crate) fn start(random: [u64; 3]) -> Trace {
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&random[0].to_be_bytes());
        // An id of zeros is no id; setting one bit of a random number costs one bit of its chance.
        trace_id[8..].copy_from_slice(&(random[1] | 1).to_be_bytes());
        Trace { trace_id, span_id: (random[2] | 1).to_be_bytes(), flags: SAMPLED }
    }

    /// Our span within this trace.
    pub(crate) fn child(&self, random: u64) -> Trace {
        Trace { span_id: (random | 1).to_be_bytes(), flags: self.flags & SAMPLED, ..*self }
    }

    /// The `traceparent` of this place.
    pub(crate) fn text(&self) -> [u8; TRACEPARENT_LEN] {
        let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex_lower(&self.trace_id, &mut out[3..35]);
        hex_lower(&self.span_id, &mut out[36..52]);
        hex_lower(&[self.flags], &mut out[53..55]);
        out
    }
}

fn read(text: &[u8], out: &mut [u8]) -> Option<()> {
    for (pair, out) in text.chunks_exact(2).zip(out) {
        *out = byte(pair)?;
    }
    Some(())
}

/// Two lower-case hexadecimal digits.
fn byte(pair: &[u8]) -> Option<u8> {
    let [high, low] = *pair else { return None };
    if high.is_ascii_uppercase() || low.is_ascii_uppercase() {
        return None;
    }
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

/// May this request id of a client be passed on and logged? Letters, digits and `-._~:+/=@`, not too long.
pub(crate) fn is_request_id(text: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:+/=@".contains(byte);
    !text.is_empty() && text.len() <= REQUEST_ID_BYTES_MAX && text.iter().all(allowed)
}

/// A new request id from two random numbers.
pub(crate) fn request_id(random: [u64; 2]) -> [u8; REQUEST_ID_LEN] {
    let mut out = [0; REQUEST_ID_LEN];
    out[..16].copy_from_slice(&hex_digits(random[0]));
    out[16..].copy_from_slice(&hex_digits(random[1]));
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &[u8; 55] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_and_continues() {
        let trace = Trace::parse(GOOD).unwrap();
        assert_eq!(trace.flags, SAMPLED);
        assert_eq!(&trace.text(), GOOD);
        let child = trace.child(0x0102_0304_0506_0708);
        assert_eq!(&child.text(), b"00-4bf92f3577b34da6a3ce929d0e0e4736-0102030405060709-01");
        let later = Trace::parse(b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-f1-what").unwrap();
        assert_eq!(later.child(1).flags, 1);
    }

    #[test]
    fn refuses_what_is_not_exact() {
        let text = |at: usize, byte: u8| {
            let mut text = *GOOD;
            text[at] = byte;
            Trace::parse(&text)
        };
        for at in [2, 35, 52, 3, 36, 53] {
            assert_eq!(text(at, b'G'), None, "{at}");
        }
        assert_eq!(text(3, b'A'), None);
        assert_eq!(Trace::parse(&GOOD[..54]), None);
        assert_eq!(Trace::parse(&[&GOOD[..], b"-"].concat()), None);
        assert_eq!(Trace::parse(b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), None);
        assert_eq!(Trace::parse(b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"), None);
        assert_eq!(Trace::parse(b"00-00000000000000000000000000000000-00f067aa0ba902b7-01"), None);
        assert_eq!(Trace::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"), None);
    }

    #[test]
    fn request_ids() {
        assert_eq!(&request_id([1, 0xAB]), b"000000000000000100000000000000ab");
        assert!(is_request_id(b"a-1.B_~:+/=@") && is_request_id(&[b'a'; REQUEST_ID_BYTES_MAX]));
        for bad in [&b""[..], b"a b", b"a\"", b"a\r", b"\xC3\xA9", b"a,b", &[b'a'; REQUEST_ID_BYTES_MAX + 1]] {
            assert!(!is_request_id(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn made_traces_are_read(random: [u64; 3], next: u64) {
            let trace = Trace::start(random);
            prop_assert_eq!(Trace::parse(&trace.text()), Some(trace));
            let child = trace.child(next);
            prop_assert_eq!(Trace::parse(&child.text()), Some(child));
        }

        #[test]
        fn garbage(text: Vec<u8>) {
            let _ = Trace::parse(&text);
        }
    }
}
