// SPDX-License-Identifier: Apache-2.0
//! Hot. Values on their way into a path or URL that we write: what could end a part of it, or a line, is
//! percent-encoded.
//!
//! Values come from clients. `%` with two hex digits stays, because paths and queries are encoded as they come; any
//! other `%` becomes `%25`.

use crate::wire::template::{Lookup, Variable};

/// Which bytes a value may bring along as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// All that may stand anywhere in a URL.
    Url,
    /// All that may stand in a path: no `?` and no `#`.
    Path,
    /// All that neither ends a segment nor a query parameter: also no `/`, `&` and `=`.
    Value,
}

/// A lookup whose values are escaped for where they go.
pub(super) struct Escaping<'a, L> {
    pub(super) inner: &'a L,
    /// The weakest escape that any value gets: `Url` in a whole URL, `Path` in a path.
    pub(super) within: Keep,
}

impl<L: Lookup> Lookup for Escaping<'_, L> {
    fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
        let start = out.len();
        self.inner.append(variable, out);
        escape_from(out, start, self.keep(variable));
    }
}

impl<L> Escaping<'_, L> {
    fn keep(&self, variable: &Variable) -> Keep {
        match variable {
            // These were checked as parts of a request target, and are parts of one again.
            Variable::Target | Variable::Query => Keep::Url,
            Variable::Path | Variable::PathRaw | Variable::Param(_) | Variable::NamedParam(_) => Keep::Path,
            Variable::Host | Variable::Authority | Variable::Scheme => self.within,
            Variable::ClientIp
            | Variable::ClientPort
            | Variable::Method
            | Variable::ListenerPort
            | Variable::Route
            | Variable::RequestId
            | Variable::Consumer(_)
            | Variable::Claim(_)
            | Variable::Version
            | Variable::Country
            | Variable::Tls(_)
            | Variable::Header(_)
            | Variable::Cookie(_)
            | Variable::QueryValue(_)
            | Variable::Status
            | Variable::ResponseHeader(_)
            | Variable::Upstream
            | Variable::UpstreamAddress => Keep::Value,
        }
    }
}

/// Escapes `out[start..]` in place.
pub(super) fn escape_from(out: &mut Vec<u8>, start: usize, keep: Keep) {
    let len = out.len();
    let escaped = (start..len).filter(|at| !stays(out[*at], &out[at + 1..len], keep)).count();
    if escaped == 0 {
        return;
    }
    out.resize(len + 2 * escaped, 0);
    // From the end, so that nothing is overwritten before it is moved. The bytes behind `write` are the escaped form of
    // those behind `read`, and begin with two hex digits exactly if those do.
    let mut write = out.len();
    for read in (start..len).rev() {
        let byte = out[read];
        if stays(byte, &out[write..], keep) {
            write -= 1;
            out[write] = byte;
        } else {
            write -= 3;
            out[write..write + 3].copy_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

fn stays(byte: u8, behind: &[u8], keep: Keep) -> bool {
    match byte {
        b'%' => matches!(behind, [one, two, ..] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit()),
        b'?' | b'#' => keep == Keep::Url,
        b'/' | b'&' | b'=' => keep != Keep::Value,
        // Brackets stand around the IPv6 address of an authority; in a path they are escaped.
        b'[' | b']' => keep == Keep::Url,
        _ => byte.is_ascii_alphanumeric() || b"-._~!$'()*+,;:@".contains(&byte),
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &[u8], keep: Keep) -> String {
        let mut out = b"kept\n".to_vec();
        out.extend_from_slice(text);
        escape_from(&mut out, 5, keep);
        String::from_utf8(out.split_off(5)).unwrap()
    }

    #[test]
    fn what_ends_a_part_is_escaped() {
        assert_eq!(escaped(b"a/b?c=d&e#f", Keep::Url), "a/b?c=d&e#f");
        assert_eq!(escaped(b"a/b?c=d&e#f", Keep::Path), "a/b%3Fc=d&e%23f");
        assert_eq!(escaped(b"a/b?c=d&e#f", Keep::Value), "a%2Fb%3Fc%3Dd%26e%23f");
        assert_eq!(escaped(b"\r\nX: y\"\xff", Keep::Url), "%0D%0AX:%20y%22%FF");
        assert_eq!(escaped(b"%2F%zz%4%", Keep::Value), "%2F%25zz%254%25");
        assert_eq!(escaped(b"[::1]", Keep::Url), "[::1]");
    }

    proptest! {
        #[test]
        fn in_place_is_as_byte_by_byte(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            for keep in [Keep::Url, Keep::Path, Keep::Value] {
                let mut plain = Vec::new();
                for (at, byte) in text.iter().enumerate() {
                    if stays(*byte, &text[at + 1..], keep) {
                        plain.push(*byte);
                    } else {
                        plain.extend_from_slice(format!("%{byte:02X}").as_bytes());
                    }
                }
                prop_assert_eq!(escaped(&text, keep).into_bytes(), plain);
            }
        }
    }
}
