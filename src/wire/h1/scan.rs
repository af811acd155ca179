// SPDX-License-Identifier: Apache-2.0
//! Hot. Decides when to parse a head that arrives in pieces, so that a peer that sends single bytes costs one
//! comparison for each byte and not one parse.
//!
//! The first piece is always parsed (nearly all heads come whole). After that, a head is parsed only when its empty
//! line has arrived, when a line has an invalid end, or when a cap is exceeded.

use memchr::memchr_iter;

use crate::wire::h1::Caps;

/// Where the search for the end of one head stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadScan {
    /// Bytes that were looked at.
    looked_at: usize,
    /// A line ended among them.
    line_ended: bool,
}

impl HeadScan {
    /// Is it worth parsing `bytes`, the head as far as it came? `bytes` only grows between calls; call `reset` between
    /// messages.
    pub fn ready(&mut self, bytes: &[u8], caps: &Caps) -> bool {
        let from = std::mem::replace(&mut self.looked_at, bytes.len());
        if from == 0 {
            return !bytes.is_empty();
        }
        for at in memchr_iter(b'\n', &bytes[from..]) {
            let before = &bytes[..from + at];
            self.line_ended = true;
            if !before.ends_with(b"\r") || before.ends_with(b"\n\r") {
                return true;
            }
        }
        let line_cap = if self.line_ended { usize::MAX } else { caps.request_line_bytes };
        bytes.len() >= caps.head_bytes || bytes.len() > line_cap
    }

    /// Forgets everything, for the next head.
    pub fn reset(&mut self) {
        *self = HeadScan::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls of `ready` that said yes while `bytes` arrived one by one.
    fn parses(bytes: &[u8], caps: &Caps) -> Vec<usize> {
        let mut scan = HeadScan::default();
        (1..=bytes.len()).filter(|len| scan.ready(&bytes[..*len], caps)).collect()
    }

    #[test]
    fn a_dribbled_head_is_parsed_twice() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(parses(bytes, &Caps::default()), [1, bytes.len()]);
    }

    #[test]
    fn a_bare_line_feed_is_not_waited_out() {
        assert_eq!(parses(b"GET / HTTP/1.1\nHost", &Caps::default()), [1, 15]);
    }

    #[test]
    fn caps_end_the_wait() {
        let caps = Caps { head_bytes: 64, request_line_bytes: 20, fields: 8, ..Caps::default() };
        assert_eq!(parses(&[b'a'; 30], &caps)[..2], [1, 21]);
        let mut long = b"GET / HTTP/1.1\r\nX: ".to_vec();
        long.resize(100, b'a');
        assert_eq!(parses(&long, &caps)[1], 64);
    }
}
