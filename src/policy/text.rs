// SPDX-License-Identifier: Apache-2.0
//! Hot. Quoted strings, written without formatting machinery.

/// Appends `text` as a JSON string (RFC 8259 section 7).
pub(super) fn append_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..=0x1F => {
                let hex = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends `text` as a Structured Fields string (RFC 9651 section 4.1.6); what such a string cannot hold is left out.
pub(super) fn append_field_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes().filter(|byte| (0x20..0x7F).contains(byte)) {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let mut out = Vec::new();
        append_field_string("a\"b\\c\né", &mut out);
        append_json_string("a\"\u{1}\né", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#""a\"b\\c""a\"\u0001\né""#);
    }
}
