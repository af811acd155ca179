// SPDX-License-Identifier: Apache-2.0
//! Hot. What single pieces of an XML document are: its declaration, characters by number, letters of names.

/// How characters above ASCII are written. All encodings that are accepted agree on ASCII, and so on markup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8, and ASCII with it.
    Utf8,
    /// ISO 8859-1: any byte is a character.
    Latin1,
}

/// What an XML declaration says of the encoding; `None` where it is not well formed, or names one that is not accepted.
pub(super) fn declared(declaration: &[u8]) -> Option<Encoding> {
    let text = std::str::from_utf8(declaration).ok()?.strip_suffix('?')?.trim();
    let mut encoding = Encoding::Utf8;
    let mut rest = text;
    let mut expected: &[&str] = &["version", "encoding", "standalone"];
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let at = expected.iter().position(|wanted| *wanted == name.trim())?;
        if expected.len() == 3 && at != 0 {
            return None;
        }
        expected = &expected[at + 1..];
        let after = after.trim_start();
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, after) = after[1..].split_once(quote)?;
        let good = match name.trim() {
            "version" => value == "1.0",
            "standalone" => matches!(value, "yes" | "no"),
            _ => true,
        };
        if !good || !(after.is_empty() || after.starts_with(|letter: char| letter.is_ascii_whitespace())) {
            return None;
        }
        if name.trim() == "encoding" {
            encoding = match value {
                _ if value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii") => Encoding::Utf8,
                _ if value.eq_ignore_ascii_case("iso-8859-1") => Encoding::Latin1,
                _ => return None,
            };
        }
        rest = after.trim_start();
    }
    (expected.len() < 3).then_some(encoding)
}

/// Is it the number of a character that XML allows?
pub(super) fn is_character(number: &[u8]) -> bool {
    let (digits, radix) = match number {
        [b'x', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let value =
        std::str::from_utf8(digits).ok().filter(|_| plain).and_then(|text| u32::from_str_radix(text, radix).ok());
    matches!(value, Some(0x9 | 0xA | 0xD | 0x20..=0xD7FF | 0xE000..=0xFFFD | 0x1_0000..=0x10_FFFF))
}

/// White space (XML 1.0 production 3).
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// May a name begin with it (production 4)? Characters above ASCII are all taken for letters.
pub(super) fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':' | 0x80..)
}

/// May it stand in a name (production 4a)?
pub(super) fn is_name(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}
