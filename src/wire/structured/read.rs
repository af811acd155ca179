// SPDX-License-Identifier: Apache-2.0
//! Reads structured fields (RFC 9651 section 4.2). The input is the combined value of a field.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Bare, Dictionary, InnerList, Item, Member, Parameters};

/// Section 4.2.7: padding may lack, and so may zeros behind the last byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// Digits of an integer.
const INTEGER_DIGITS: usize = 15;
/// Digits in front of a decimal's point, and behind it.
const DECIMAL_DIGITS: (usize, usize) = (12, 3);

/// Reads a dictionary; `None` where it is none. Empty where there is nothing.
pub(crate) fn dictionary(input: &[u8]) -> Option<Dictionary> {
    let mut reader = Reader { rest: trimmed(input)? };
    let mut found = Dictionary::new();
    while !reader.rest.is_empty() {
        let key = reader.key()?;
        let member = if reader.takes(b'=') {
            reader.member()?
        } else {
            Member::Item(Item { value: Bare::Boolean(true), parameters: reader.parameters()? })
        };
        put(&mut found, key, member);
        reader.comma()?;
    }
    Some(found)
}

/// Without spaces around it; `None` where a byte is not ASCII.
fn trimmed(input: &[u8]) -> Option<&[u8]> {
    let start = input.iter().position(|byte| *byte != b' ').unwrap_or(input.len());
    let end = input.iter().rposition(|byte| *byte != b' ').map_or(start, |last| last + 1);
    input.is_ascii().then(|| &input[start..end])
}

/// The last value of a name counts, at the place of the first.
fn put<T>(entries: &mut Vec<(String, T)>, name: String, value: T) {
    match entries.iter_mut().find(|(own, _)| *own == name) {
        Some((_, old)) => *old = value,
        None => entries.push((name, value)),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn takes(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn skip(&mut self, is_space: impl Fn(u8) -> bool) {
        let end = self.rest.iter().position(|byte| !is_space(*byte)).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    /// What is in front of the first byte that is none of these.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &[u8] {
        let end = self.rest.iter().position(|byte| !belongs(*byte)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    /// The end, or a comma with another member behind it.
    fn comma(&mut self) -> Option<()> {
        self.skip(|byte| byte == b' ' || byte == b'\t');
        if self.rest.is_empty() {
            return Some(());
        }
        if !self.takes(b',') {
            return None;
        }
        self.skip(|byte| byte == b' ' || byte == b'\t');
        (!self.rest.is_empty()).then_some(())
    }

    fn member(&mut self) -> Option<Member> {
        if self.takes(b'(') { Some(Member::Inner(self.inner_list()?)) } else { Some(Member::Item(self.item()?)) }
    }

    /// Behind the parenthesis.
    fn inner_list(&mut self) -> Option<InnerList> {
        let mut items = Vec::new();
        loop {
            self.skip(|byte| byte == b' ');
            if self.takes(b')') {
                return Some(InnerList { items, parameters: self.parameters()? });
            }
            items.push(self.item()?);
            if !matches!(self.rest.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Item> {
        Some(Item { value: self.bare()?, parameters: self.parameters()? })
    }

    fn parameters(&mut self) -> Option<Parameters> {
        let mut found = Parameters::new();
        while self.takes(b';') {
            self.skip(|byte| byte == b' ');
            let key = self.key()?;
            let value = if self.takes(b'=') { self.bare()? } else { Bare::Boolean(true) };
            put(&mut found, key, value);
        }
        Some(found)
    }

    fn key(&mut self) -> Option<String> {
        if !matches!(self.rest.first(), Some(b'a'..=b'z' | b'*')) {
            return None;
        }
        let belongs = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
        text(self.run(belongs))
    }

    fn bare(&mut self) -> Option<Bare> {
        match *self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
                text(self.run(belongs)).map(Bare::Token)
            }
            b':' => self.bytes(),
            b'?' => {
                self.takes(b'?');
                let truth = self.takes(b'1');
                (truth || self.takes(b'0')).then_some(Bare::Boolean(truth))
            }
            b'@' => {
                self.takes(b'@');
                if let Bare::Integer(seconds) = self.number()? { Some(Bare::Date(seconds)) } else { None }
            }
            b'%' => self.display(),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Bare> {
        let sign = if self.takes(b'-') { -1 } else { 1 };
        let whole = text(self.run(|byte| byte.is_ascii_digit()))?;
        if whole.is_empty() {
            return None;
        }
        if !self.takes(b'.') {
            let fits = whole.len() <= INTEGER_DIGITS;
            return fits.then(|| whole.parse::<i64>().ok().map(|number| Bare::Integer(sign * number)))?;
        }
        let part = text(self.run(|byte| byte.is_ascii_digit()))?;
        let (before, behind) = DECIMAL_DIGITS;
        if whole.len() > before || part.is_empty() || part.len() > behind {
            return None;
        }
        let thousandths: i64 = format!("{whole}{part:0<3}").parse().ok()?;
        Some(Bare::Decimal(sign * thousandths))
    }

    fn string(&mut self) -> Option<Bare> {
        self.takes(b'"');
        let mut found = String::new();
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return Some(Bare::String(found)),
                b'\\' => {
                    let (escaped, rest) = self.rest.split_first()?;
                    if !matches!(escaped, b'"' | b'\\') {
                        return None;
                    }
                    self.rest = rest;
                    found.push(char::from(*escaped));
                }
                0x20..=0x7e => found.push(char::from(*byte)),
                _ => return None,
            }
        }
    }

    fn bytes(&mut self) -> Option<Bare> {
        self.takes(b':');
        let end = self.rest.iter().position(|byte| *byte == b':')?;
        let (encoded, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        LENIENT.decode(encoded).ok().map(Bare::Bytes)
    }

    fn display(&mut self) -> Option<Bare> {
        self.rest = self.rest.strip_prefix(b"%\"")?;
        let mut found = Vec::new();
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return String::from_utf8(found).ok().map(Bare::Display),
                b'%' => {
                    let (digits, rest) = self.rest.split_at_checked(2)?;
                    let lower = |digit: &u8| digit.is_ascii_digit() || matches!(digit, b'a'..=b'f');
                    if !digits.iter().all(lower) {
                        return None;
                    }
                    self.rest = rest;
                    found.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                }
                0x20..=0x7e => found.push(*byte),
                _ => return None,
            }
        }
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}
