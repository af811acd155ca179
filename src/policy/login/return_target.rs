// SPDX-License-Identifier: Apache-2.0
//! Where a browser may be sent after a login: a path and query of the origin that it came from, and nowhere else.
//!
//! Browsers read `//host`, `/\host`, and both with tabs and line breaks in between, as other hosts (WHATWG URL,
//! "special authority"). So a target begins with one slash, has no backslash, and no byte that a URL may not have.

use crate::base::limits::RETURN_TARGET_BYTES_MAX;

/// The target, where it is one of the same origin.
pub(crate) fn same_origin(target: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(byte);
    let good = target.len() <= RETURN_TARGET_BYTES_MAX
        && target.first() == Some(&b'/')
        && target.get(1) != Some(&b'/')
        && target.iter().all(plain);
    if good { std::str::from_utf8(target).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_origin_can_be_reached() {
        for good in ["/", "/a", "/a?b=c&d=%2F%2Fevil.test", "/a//b", "/?x=https://evil.test", "/@evil.test", "/%5Cevil"]
        {
            assert_eq!(same_origin(good.as_bytes()), Some(good));
        }
        for bad in [
            "",
            "a",
            "//evil.test",
            "///evil.test",
            "/\\evil.test",
            "\\\\evil.test",
            "/\t/evil.test",
            "/\n/evil.test",
            "\t//evil.test",
            " //evil.test",
            "/ /evil.test",
            "https://evil.test",
            "https:evil.test",
            "javascript:alert(1)",
            "@evil.test",
            "?x",
            "/a#b",
            "/\u{2028}x",
            "/é",
            "/a\0",
            "/<script>",
        ] {
            assert_eq!(same_origin(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(same_origin(&[b"/".as_slice(), &[b'a'; RETURN_TARGET_BYTES_MAX]].concat()), None);
    }
}
