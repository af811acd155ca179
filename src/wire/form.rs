// SPDX-License-Identifier: Apache-2.0
//! Names and values of a form (`application/x-www-form-urlencoded`).
//!
//! `Form` is read as OAuth 2.0 sends it in queries and bodies, strictly: a name that stands twice (RFC 6749 section
//! 3.1), an escape that is none, and what is no UTF-8 make the whole form unreadable, because two readers could take it
//! differently.

use crate::base::ascii::hex_digit;
use crate::base::limits::FORM_FIELDS_MAX;

/// A form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// Reads one; `None` where it is not strict, or has more than `FORM_FIELDS_MAX` fields.
    pub(crate) fn read(text: &[u8]) -> Option<Form> {
        Form::read_repeating(text, &[])
    }

    /// The same, where these names may stand more than once.
    pub(crate) fn read_repeating(text: &[u8], repeated: &[&str]) -> Option<Form> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for pair in pairs(text) {
            let (name, value) = pair?;
            let (name, value) = (String::from_utf8(name).ok()?, String::from_utf8(value).ok()?);
            let is_twice = fields.iter().any(|(known, _)| *known == name) && !repeated.contains(&name.as_str());
            if fields.len() >= FORM_FIELDS_MAX || is_twice {
                return None;
            }
            fields.push((name, value));
        }
        Some(Form { fields })
    }

    /// All values of a name, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a name; of several the first.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Appends `name=value` to a form or a query.
pub(crate) fn append(name: &str, value: &str, out: &mut String) {
    if !out.is_empty() && !out.ends_with(['?', '&']) {
        out.push('&');
    }
    encode(name, out);
    out.push('=');
    encode(value, out);
}

/// Appends a text as a form has it.
pub(crate) fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.push('%');
                out.extend(digits.map(char::from));
            }
        }
    }
}

/// Names and values in order, as bytes, with `+` as a space; `None` for an escape that is none, because readers differ
/// about it.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = Option<(Vec<u8>, Vec<u8>)>> {
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        Some((decode(&pair[..end])?, decode(pair.get(end + 1..).unwrap_or_default())?))
    })
}

/// The bytes that a name or a value stands for; `None` for an escape that is none.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let ([high, low], behind) = rest.split_first_chunk::<2>()?;
                rest = behind;
                hex_digit(*high)? << 4 | hex_digit(*low)?
            }
            plain => *plain,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn a_form_is_read_in_one_way() {
        let form = Form::read(b"code=a%2Bb+c&state=&&iss=https%3a%2f%2Fa.test&flag").expect("a form");
        let values = ["code", "state", "iss", "flag", "other"].map(|name| form.get(name));
        assert_eq!(values, [Some("a+b c"), Some(""), Some("https://a.test"), Some(""), None]);
        assert_eq!(Form::read(b""), Some(Form::default()));
        let form = Form::read_repeating(b"to=a&scope=x&to=b", &["to"]).expect("a form");
        assert_eq!(form.all("to").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(Form::read_repeating(b"to=a&scope=x&scope=x&to=b", &["to"]), None);
        for bad in ["a=1&a=2", "a&a", "a=1&%61=2", "a=%", "a=%4", "a=%4g", "a=%ff", "%c3=x"] {
            assert_eq!(Form::read(bad.as_bytes()), None, "{bad}");
        }
        let many: Vec<String> = (0..=FORM_FIELDS_MAX).map(|number| number.to_string()).collect();
        assert_eq!(Form::read(many.join("&").as_bytes()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(".*", 0..8)) {
            let mut text = String::new();
            for (at, value) in values.iter().enumerate() {
                append(&at.to_string(), value, &mut text);
            }
            let form = Form::read(text.as_bytes()).expect("a form");
            for (at, value) in values.iter().enumerate() {
                prop_assert_eq!(form.get(&at.to_string()), Some(value.as_str()));
            }
        }
    }
}
