// SPDX-License-Identifier: Apache-2.0
//! Response heads whose lines end in LF alone, where they are tolerated (`Deviation::LineFeeds`).
//!
//! A recipient may take a single LF for the end of a line (RFC 9112 section 2.2). Here such lines get their CR, and the
//! result is parsed by the same rules as any head, so an accepted head still has one reading.

/// The bytes with CRLF for each LF alone, up to the end of the head at their front; what is behind the head stays as it
/// is. `None` where no line of the head ends in LF alone.
#[cold]
pub fn completed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let mut rest = bytes;
    let mut is_changed = false;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        is_changed |= line.len() == end;
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
    }
    out.extend_from_slice(rest);
    is_changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::h1::{Caps, Parsed, response};
    use crate::wire::head::{Method, ResponseHead};

    #[test]
    fn lines_of_the_head_are_completed_and_the_body_is_not() {
        let whole = completed(b"HTTP/1.1 200 OK\nA: b\r\nC: d\n\nx\ny\n\n").unwrap();
        assert_eq!(whole, b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\nx\ny\n\n");
        assert_eq!(completed(b"HTTP/1.1 200 OK\nA: b").unwrap(), b"HTTP/1.1 200 OK\r\nA: b");
        assert_eq!(completed(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nx\n"), None);
        assert_eq!(completed(b"HTTP/1.1 200 OK"), None);
    }

    proptest! {
        /// Whatever is done twice changes nothing more, and a head in pieces becomes what it is as a whole.
        #[test]
        fn any_split(text in "(HTTP/1.1 200 OK|A: b|\r\n|\n|\r|x){0,12}", at in 0_usize..80) {
            let bytes = text.as_bytes();
            let whole = completed(bytes).unwrap_or_else(|| bytes.to_vec());
            prop_assert_eq!(completed(&whole), None);
            let at = at.min(bytes.len());
            let mut pieces = completed(&bytes[..at]).unwrap_or_else(|| bytes[..at].to_vec());
            pieces.extend_from_slice(&bytes[at..]);
            prop_assert_eq!(completed(&pieces).unwrap_or(pieces), whole);
        }

        #[test]
        fn a_completed_head_says_what_lines_say(values in prop::collection::vec("[a-z]{1,5}", 0..4), bare: u8) {
            let mut text = "HTTP/1.1 200 OK".to_owned();
            for (at, value) in values.iter().enumerate() {
                let end = if bare >> at & 1 == 0 { "\r\n" } else { "\n" };
                text.push_str(&format!("{end}X-{at}: {value}"));
            }
            text.push_str("\n\n");
            let mut head = ResponseHead::default();
            let whole = completed(text.as_bytes()).unwrap();
            prop_assert_eq!(response::parse(&whole, &Caps::default(), Method::Get, &mut head), Ok(Parsed::Complete));
            let read: Vec<&[u8]> = head.fields.list.iter().map(|field| field.value.of(&whole)).collect();
            prop_assert_eq!(read, values.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
    }
}
