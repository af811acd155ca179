// SPDX-License-Identifier: Apache-2.0
//! Hot. Writes texts from outside into log lines, so that none ends a line, ends a quoted text or controls a terminal.

use crate::base::ascii::hex_lower;
use crate::base::marks::{self, Escaped};
use crate::config::plan::LogEscape;

/// Appends `text` as the inside of a JSON string (RFC 8259 section 7).
///
/// Text in UTF-8 stays as it is. A byte that is not UTF-8 becomes `\u00XX`, so the line is valid UTF-8 always.
pub(super) fn json(out: &mut Vec<u8>, text: &[u8]) {
    if let Err(first) = marks::append_without::<Escaped>(out, text) {
        json_from(out, text, first);
    }
}

#[cold]
fn json_from(out: &mut Vec<u8>, text: &[u8], first: usize) {
    out.extend_from_slice(&text[..first]);
    for chunk in text[first..].utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' | '\\' => out.extend_from_slice(&[b'\\', letter as u8]),
                // C0, DEL and C1 controls.
                letter if letter.is_control() => push_unicode(out, letter as u8),
                letter => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        chunk.invalid().iter().for_each(|byte| push_unicode(out, *byte));
    }
}

fn push_unicode(out: &mut Vec<u8>, byte: u8) {
    let mut digits = [0; 2];
    hex_lower(&[byte], &mut digits);
    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
}

/// Appends `text` with `\xXX` for quotation marks, backslashes and all but printable ASCII, as nginx does.
pub(super) fn hex(out: &mut Vec<u8>, text: &[u8]) {
    if let Err(first) = marks::append_without::<Escaped>(out, text) {
        hex_from(out, text, first);
    }
}

#[cold]
fn hex_from(out: &mut Vec<u8>, text: &[u8], first: usize) {
    out.extend_from_slice(&text[..first]);
    for byte in &text[first..] {
        match byte {
            0x20..0x7F if !matches!(byte, b'"' | b'\\') => out.push(*byte),
            byte => {
                let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
                out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

/// Escapes what stands from `start` on in `out`, the value of a variable.
pub(super) fn appended(out: &mut Vec<u8>, start: usize, how: LogEscape) {
    if out.len() == start {
        out.extend_from_slice(absent(how).as_bytes());
        return;
    }
    let Some(first) = marks::find::<Escaped>(&out[start..]) else { return };
    match how {
        LogEscape::None => {}
        LogEscape::Default => {
            let text = out.split_off(start);
            hex_from(out, &text, first);
        }
        LogEscape::Json => {
            let text = out.split_off(start);
            json_from(out, &text, first);
        }
    }
}

/// What stands for a value that is not there.
pub(super) const fn absent(how: LogEscape) -> &'static str {
    match how {
        LogEscape::Default => "-",
        LogEscape::Json | LogEscape::None => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(how: LogEscape, text: &[u8]) -> String {
        let mut out = b"before ".to_vec();
        out.extend_from_slice(text);
        appended(&mut out, 7, how);
        String::from_utf8_lossy(&out[7..]).into_owned()
    }

    #[test]
    fn texts_look_as_in_logs_of_nginx() {
        for (text, default, json) in [
            (&b"plain"[..], "plain", "plain"),
            (b"", "-", ""),
            (b"a\"b\\c", r"a\x22b\x5Cc", r#"a\"b\\c"#),
            (b"\r\n\x1b[1m\x7f", r"\x0D\x0A\x1B[1m\x7F", r"\u000d\u000a\u001b[1m\u007f"),
            ("gr\u{fc}n".as_bytes(), r"gr\xC3\xBCn", "gr\u{fc}n"),
            ("\u{9b}2J".as_bytes(), r"\xC2\x9B2J", r"\u009b2J"),
            (b"\xff\xc3", r"\xFF\xC3", r"\u00ff\u00c3"),
        ] {
            assert_eq!(escaped(LogEscape::Default, text), default);
            assert_eq!(escaped(LogEscape::Json, text), json);
        }
        assert_eq!(escaped(LogEscape::None, b"a\"\\b"), "a\"\\b");
        assert_eq!(escaped(LogEscape::None, b""), "");
    }

    proptest! {
        #[test]
        fn json_is_json_and_text_in_utf8_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..60), text in ".*") {
            let read = |text: &[u8]| {
                let mut out = b"\"".to_vec();
                json(&mut out, text);
                out.push(b'"');
                serde_json::from_slice::<String>(&out)
            };
            prop_assert!(read(&bytes).is_ok());
            prop_assert_eq!(read(text.as_bytes()).ok(), Some(text));
        }

        #[test]
        fn hex_is_printable_and_nothing_is_lost(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut out = Vec::new();
            hex(&mut out, &bytes);
            prop_assert!(out.iter().all(|byte| (0x20..0x7F).contains(byte) && *byte != b'"'));
            let mut parts = out.split(|byte| *byte == b'\\');
            let mut back = parts.next().unwrap_or_default().to_vec();
            for part in parts {
                back.push(u8::from_str_radix(str::from_utf8(&part[1..3]).unwrap(), 16).unwrap());
                back.extend_from_slice(&part[3..]);
            }
            prop_assert_eq!(back, bytes);
        }
    }
}
