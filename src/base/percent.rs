// SPDX-License-Identifier: Apache-2.0
//! Percent-encoding of texts that people and programs put into URLs (RFC 3986 section 2.1). Not for paths of requests:
//! those are never decoded as a whole.

/// Percent-decodes; `None` where that is malformed, a control character or not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_malformed_is_refused() {
        assert_eq!(decode("a%20b%C3%A9+"), Some("a b\u{e9}+".to_owned()));
        for wrong in ["%", "%2", "%zz", "%+1", "%00", "%0A", "\n", "%ff"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
