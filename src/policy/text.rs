//! Hot. Small pieces of text written without formatting machinery.

/// Appends `number` in decimal.
pub(super) fn append_decimal(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

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

/// True where `value` may stand in a field line (RFC 9110 section 5.5): no control bytes but HTAB, no space at either
/// end.
pub(super) fn is_field_value(value: &[u8]) -> bool {
    let fits = |byte: &u8| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7F);
    value.iter().all(fits) && value.trim_ascii().len() == value.len()
}

/// True where `name` is a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings() {
        let mut out = Vec::new();
        for number in [0, 7, 10, u64::MAX] {
            append_decimal(number, &mut out);
            out.push(b' ');
        }
        append_field_string("a\"b\\c\né", &mut out);
        assert_eq!(out, b"0 7 10 18446744073709551615 \"a\\\"b\\\\c\"");
        assert!(is_field_value(b"a\tb") && is_field_value(b"") && !is_field_value(b"a\r\nb") && !is_field_value(b" a"));
        assert!(is_token(b"X-A") && !is_token(b"") && !is_token(b"a b") && !is_token(b"a:"));
    }
}
